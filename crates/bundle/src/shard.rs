//! One shard of a bundle, mapped and checked: what a replica holds.

use crate::bundle::check_no_strangers;
use crate::cells::Cells;
use crate::coarse::CoarseRows;
use crate::dense::DenseMatrix;
use crate::error::{BundleError, SearchError};
use crate::format::{Kind, LoadOptions};
use crate::graph::FrozenGraph;
use crate::ids::IdTable;
use crate::input::{Entity, RowFormat, RowSpace};
use crate::labels::Labels;
use crate::manifest::{FileInfo, Manifest, MatrixLayout, shard_directory};
use crate::sparse::{Partition, SparseMatrix};
use std::path::{Path, PathBuf};

/// One shard of a bundle. All data lies in mapped files: opening copies nothing to the heap, and
/// sharing it by `Arc` is all that threads need.
pub struct BundleShard {
    shard: u32,
    users: IdTable,
    items: IdTable,
    terms: IdTable,
    labels: Labels,
    dense: Vec<DenseMatrix>,
    sparse: Vec<SparseMatrix>,
}

impl std::fmt::Debug for BundleShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleShard")
            .field("shard", &self.shard)
            .field("users", &self.users.len())
            .field("items", &self.items.len())
            .finish_non_exhaustive()
    }
}

impl BundleShard {
    /// Opens one shard of the bundle at `dir`, whose manifest was read by
    /// [`read_manifest`](crate::read_manifest).
    ///
    /// Before it returns, every byte was compared with the manifest's checksums (unless
    /// `options.verify` is off), every offset and every link was found to stay within its file, and
    /// every number to be finite.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(
        dir: &Path,
        manifest: &Manifest,
        shard: u32,
        options: &LoadOptions,
    ) -> Result<Self, BundleError> {
        if shard >= manifest.shards {
            return Err(BundleError::NoSuchShard { shard, shards: manifest.shards });
        }
        check_no_strangers(dir, manifest, shard)?;
        let files = Files { dir, manifest, shard };
        let users = IdTable::open(dir, files.get(Entity::User.plural(), Kind::Ids)?, options)?;
        let items = IdTable::open(dir, files.get(Entity::Item.plural(), Kind::Ids)?, options)?;
        let terms = match manifest.counts.terms {
            0 => users.without_rows(),
            _ => IdTable::open(dir, files.get(Entity::Term.plural(), Kind::Ids)?, options)?,
        };
        for (table, entity, total) in [
            (&users, Entity::User, manifest.counts.users),
            (&items, Entity::Item, manifest.counts.items),
            (&terms, Entity::Term, manifest.counts.terms),
        ] {
            if table.total() as u64 != total {
                let reason = format!(
                    "it is of {} {}, the manifest of {total}",
                    table.total(),
                    entity.plural()
                );
                return Err(BundleError::Format {
                    path: files.path(entity.plural(), Kind::Ids),
                    reason,
                });
            }
        }
        let labels = Labels::open(
            dir,
            files.get(Entity::Item.plural(), Kind::Labels)?,
            items.len(),
            options,
        )?;
        let table = |entity| match entity {
            Entity::User => &users,
            Entity::Item => &items,
            Entity::Term => &terms,
        };
        let (mut dense, mut sparse) = (Vec::new(), Vec::new());
        for matrix in &manifest.matrices {
            let name = matrix.name.as_str();
            let (partition, columns_of, shape) = match &matrix.layout {
                MatrixLayout::Dense { entity, rank, rows: format, index } => {
                    let rows = table(*entity).len();
                    let shape = (rows, *rank as usize);
                    let info = files.get(name, Kind::Dense)?;
                    // Where coarse rows say which of the exact ones matter, those may stay on disk.
                    let coarse = *format == RowFormat::Int8;
                    let kept = LoadOptions { populate: options.populate && !coarse, ..*options };
                    let mut opened = DenseMatrix::open(dir, info, name, *entity, shape, &kept)?;
                    if coarse {
                        let info = files.get(name, Kind::Coarse)?;
                        opened = opened.with_coarse(CoarseRows::open(dir, info, shape, options)?);
                    }
                    let built = index.as_ref().and_then(|index| index.shards.get(shard as usize));
                    if built.is_some_and(|built| built.graph.is_some()) {
                        let info = files.get(name, Kind::Graph)?;
                        opened = opened.with_graph(FrozenGraph::open(dir, info, rows, options)?);
                    }
                    if built.is_some_and(|built| built.cells.is_some()) {
                        let info = files.get(name, Kind::Cells)?;
                        opened = opened.with_cells(Cells::open(dir, info, shape, options)?);
                    }
                    dense.push(opened);
                    continue;
                }
                MatrixLayout::SparseByRow { columns, .. } => {
                    (Partition::ByRow, *columns, (users.len(), table(*columns).total()))
                }
                MatrixLayout::SparseByColumn { rows, columns, .. } => {
                    let rows = match rows {
                        RowSpace::Single => 1,
                        RowSpace::Items => items.total(),
                        RowSpace::Users => users.total(),
                        RowSpace::Terms => terms.total(),
                    };
                    (Partition::ByColumn, *columns, (rows, table(*columns).len()))
                }
            };
            let info = files.get(name, Kind::Sparse)?;
            let opened = SparseMatrix::open(dir, info, name, partition, shape, options)?;
            sparse.push(opened.with_columns_of(columns_of));
        }
        Ok(Self { shard, users, items, terms, labels, dense, sparse })
    }

    /// Which shard of the bundle it is, from 0.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// Bytes of the mapped files.
    pub fn bytes_mapped(&self) -> u64 {
        self.users.bytes()
            + self.items.bytes()
            + self.terms.bytes()
            + self.labels.bytes()
            + self.dense.iter().map(DenseMatrix::bytes).sum::<u64>()
            + self.sparse.iter().map(SparseMatrix::bytes).sum::<u64>()
    }

    /// The ids of its users.
    pub fn users(&self) -> &IdTable {
        &self.users
    }

    /// The ids and titles of its items.
    pub fn items(&self) -> &IdTable {
        &self.items
    }

    /// The ids of its users, items or terms.
    pub fn ids(&self, entity: Entity) -> &IdTable {
        match entity {
            Entity::User => &self.users,
            Entity::Item => &self.items,
            Entity::Term => &self.terms,
        }
    }

    /// Tags and attributes of its items.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The dense matrix of that name.
    pub fn dense(&self, name: &str) -> Result<&DenseMatrix, SearchError> {
        let found = self.dense.iter().find(|matrix| matrix.name() == name);
        found.ok_or_else(|| SearchError::NoSuchMatrix { name: name.into(), kind: "dense" })
    }

    /// The sparse matrix of that name.
    pub fn sparse(&self, name: &str) -> Result<&SparseMatrix, SearchError> {
        let found = self.sparse.iter().find(|matrix| matrix.name() == name);
        found.ok_or_else(|| SearchError::NoSuchMatrix { name: name.into(), kind: "sparse" })
    }
}

/// The files of one shard in the manifest.
struct Files<'a> {
    dir: &'a Path,
    manifest: &'a Manifest,
    shard: u32,
}

impl<'a> Files<'a> {
    fn get(&self, stem: &str, kind: Kind) -> Result<&'a FileInfo, BundleError> {
        let path = file_path(self.shard, stem, kind);
        let found = self.manifest.files.iter().find(|file| file.path == path);
        found.ok_or_else(|| BundleError::Format {
            path: self.dir.join(crate::bundle::MANIFEST_FILE),
            reason: format!("it doesn't name {path}, which the bundle needs"),
        })
    }

    fn path(&self, stem: &str, kind: Kind) -> PathBuf {
        self.dir.join(file_path(self.shard, stem, kind))
    }
}

/// The path of a shard's file within the bundle.
pub(crate) fn file_path(shard: u32, stem: &str, kind: Kind) -> String {
    format!("{}/{stem}.{}", shard_directory(shard), kind.extension())
}
