//! One shard of a bundle, mapped and checked: what a replica holds.

use crate::entities::ids::IdTable;
use crate::entities::labels::Labels;
use crate::error::{BundleError, FileDefect, ManifestDefect, SearchError};
use crate::format::{FileInfo, FileKind, LoadOptions, has_failed_below};
use crate::manifest::names::{MANIFEST_FILE, file_path, shard_directory};
use crate::manifest::stray_files::check_no_stray_files;
use crate::manifest::{Manifest, MatrixLayout, ShardIndexInfo};
use crate::matrix::cells::Cells;
use crate::matrix::coarse::CoarseRows;
use crate::matrix::dense::DenseMatrix;
use crate::matrix::graph::FrozenGraph;
use crate::matrix::sparse::{Partition, SparseMatrix};
use crate::options::RowFormat;
use marquee_core::model::recipe::{Entity, RowSpace};
use std::path::{Path, PathBuf};

/// One shard of a bundle. All data lies in mapped files: opening copies nothing to the heap, and
/// sharing it by `Arc` is all that threads need.
pub struct BundleShard {
    shard: u32,
    directory: PathBuf,
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
        check_no_stray_files(dir, manifest, shard)?;
        let files = ShardFiles { dir, manifest, shard };
        let users = IdTable::open(dir, files.get(Entity::User.plural(), FileKind::Ids)?, options)?;
        let items = IdTable::open(dir, files.get(Entity::Item.plural(), FileKind::Ids)?, options)?;
        let terms = match manifest.counts.terms {
            0 => users.without_rows(),
            _ => IdTable::open(dir, files.get(Entity::Term.plural(), FileKind::Ids)?, options)?,
        };
        for (table, entity, total) in [
            (&users, Entity::User, manifest.counts.users),
            (&items, Entity::Item, manifest.counts.items),
            (&terms, Entity::Term, manifest.counts.terms),
        ] {
            if table.total() as u64 != total {
                return Err(BundleError::Format {
                    path: files.path(entity.plural(), FileKind::Ids),
                    defect: FileDefect::Total {
                        entities: entity.plural(),
                        found: table.total(),
                        expected: total,
                    },
                });
            }
        }
        let labels = Labels::open(
            dir,
            files.get(Entity::Item.plural(), FileKind::Labels)?,
            items.len(),
            options,
        )?;
        let mut opened = Self {
            shard,
            directory: dir.join(shard_directory(shard)),
            users,
            items,
            terms,
            labels,
            dense: Vec::new(),
            sparse: Vec::new(),
        };
        for matrix in &manifest.matrices {
            match &matrix.layout {
                MatrixLayout::Dense { entity, rank, rows, index } => {
                    let shape = (opened.ids(*entity).len(), *rank as usize);
                    let indexes = index.as_ref().and_then(|index| index.shards.get(shard as usize));
                    let dense =
                        files.open_dense(&matrix.name, *entity, shape, *rows, indexes, options)?;
                    opened.dense.push(dense);
                }
                MatrixLayout::SparseByRow { columns, .. } => {
                    let shape = (opened.users.len(), opened.ids(*columns).total());
                    let by_row = Partition::ByRow;
                    let sparse =
                        files.open_sparse(&matrix.name, by_row, shape, *columns, options)?;
                    opened.sparse.push(sparse);
                }
                MatrixLayout::SparseByColumn { rows, columns, .. } => {
                    let shape = (opened.rows_of_space(*rows), opened.ids(*columns).len());
                    let by_column = Partition::ByColumn;
                    let sparse =
                        files.open_sparse(&matrix.name, by_column, shape, *columns, options)?;
                    opened.sparse.push(sparse);
                }
            }
        }
        Ok(opened)
    }

    /// Whether a mapped file of it has turned out to be unreadable: what it answers since then is wrong.
    pub fn has_failed(&self) -> bool {
        has_failed_below(&self.directory)
    }

    /// The rows of a matrix whose rows are this space: those of all shards.
    fn rows_of_space(&self, space: RowSpace) -> usize {
        match space {
            RowSpace::Single => 1,
            RowSpace::Items => self.items.total(),
            RowSpace::Users => self.users.total(),
            RowSpace::Terms => self.terms.total(),
        }
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

/// The files of one shard, as the manifest names them.
struct ShardFiles<'a> {
    dir: &'a Path,
    manifest: &'a Manifest,
    shard: u32,
}

impl<'a> ShardFiles<'a> {
    fn get(&self, stem: &str, kind: FileKind) -> Result<&'a FileInfo, BundleError> {
        let path = file_path(self.shard, stem, kind);
        let found = self.manifest.files.iter().find(|file| file.path == path);
        found.ok_or_else(|| BundleError::Manifest {
            path: self.dir.join(MANIFEST_FILE),
            defect: ManifestDefect::UnnamedFile(path),
        })
    }

    /// Opens a dense matrix, with the coarse rows and the indexes that it has.
    fn open_dense(
        &self,
        name: &str,
        entity: Entity,
        shape: (usize, usize),
        format: RowFormat,
        indexes: Option<&ShardIndexInfo>,
        options: &LoadOptions,
    ) -> Result<DenseMatrix, BundleError> {
        let Self { dir, .. } = *self;
        // Where coarse rows tell which of the exact ones matter, those may stay on disk.
        let has_coarse = format == RowFormat::Int8;
        let kept = LoadOptions { populate: options.populate && !has_coarse, ..*options };
        let info = self.get(name, FileKind::Dense)?;
        let mut opened = DenseMatrix::open(dir, info, name, entity, shape, &kept)?;
        if has_coarse {
            let coarse = self.get(name, FileKind::Coarse)?;
            opened = opened.with_coarse(CoarseRows::open(dir, coarse, shape, options)?);
        }
        if indexes.is_some_and(|built| built.graph.is_some()) {
            let graph = self.get(name, FileKind::Graph)?;
            opened = opened.with_graph(FrozenGraph::open(dir, graph, shape.0, options)?);
        }
        if indexes.is_some_and(|built| built.cells.is_some()) {
            let cells = self.get(name, FileKind::Cells)?;
            opened = opened.with_cells(Cells::open(dir, cells, shape, options)?);
        }
        Ok(opened)
    }

    /// Opens a sparse matrix.
    fn open_sparse(
        &self,
        name: &str,
        partition: Partition,
        shape: (usize, usize),
        columns_of: Entity,
        options: &LoadOptions,
    ) -> Result<SparseMatrix, BundleError> {
        let info = self.get(name, FileKind::Sparse)?;
        let opened = SparseMatrix::open(self.dir, info, name, partition, shape, options)?;
        Ok(opened.with_columns_of(columns_of))
    }

    fn path(&self, stem: &str, kind: FileKind) -> PathBuf {
        self.dir.join(file_path(self.shard, stem, kind))
    }
}
