//! What `manifest.json` says.

use super::names::shard_directory;
use crate::effort::Effort;
use crate::format::{FileInfo, FileKind};
use crate::manifest::names::file_path;
use crate::options::{IndexKind, RowFormat};
use marquee_core::model::recipe::{Entity, MatrixShape, Recipe, RowSpace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one bundle is. Its JSON is `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the format, [`FORMAT_VERSION`](crate::format::FORMAT_VERSION) when written by this code.
    pub format_version: u32,
    /// The name of the model.
    pub model: String,
    /// What trained it, such as `mf`.
    pub kind: String,
    /// How the model turns a request into scores.
    pub recipe: Recipe,
    /// When it was trained, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// How many shards it is cut into.
    pub shards: u32,
    /// The numbers of users, items, terms and interactions.
    pub counts: Counts,
    /// The matrices, by name.
    pub matrices: Vec<MatrixInfo>,
    /// What the evaluation on held-out interactions measured.
    pub quality: Quality,
    /// The parameters of training, for information only.
    pub parameters: BTreeMap<String, String>,
    /// Whom the training left out, if it was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forgotten: Option<ForgottenUpTo>,
    /// Every file but the manifest's own, by path.
    pub files: Vec<FileInfo>,
}

/// That a training left out all users whom a cluster had forgotten up to a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgottenUpTo {
    /// The id of the cluster's list: the numbers of another cluster's tombstones mean nothing there.
    pub list_id: String,
    /// The number of the tombstone.
    pub number: u64,
}

/// The numbers of users, items, terms and interactions in a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Users, over all shards.
    pub users: u64,
    /// Items, over all shards.
    pub items: u64,
    /// Entries of the history.
    pub interactions: u64,
    /// Terms, over all shards; 0 in bundles without terms.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub terms: u64,
}

/// One matrix of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixInfo {
    /// Its name, unique in the bundle.
    pub name: String,
    /// What its rows and columns are, and how it lies over the shards.
    pub layout: MatrixLayout,
}

/// What a matrix holds and how it lies over the shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MatrixLayout {
    /// rows × rank values; each shard has the rows of its own users or items.
    Dense {
        /// What the rows belong to.
        entity: Entity,
        /// The number of columns.
        rank: u32,
        /// What of the rows is kept in memory.
        #[serde(skip_serializing_if = "RowFormat::is_plain", default)]
        rows: RowFormat,
        /// The indexes over it, if it was to have any.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        index: Option<IndexInfo>,
    },
    /// Sparse rows of a shard's own users; columns are the bundle's ordinals of items or terms.
    SparseByRow {
        /// What the columns are.
        #[serde(skip_serializing_if = "Entity::is_item", default = "items")]
        columns: Entity,
        /// Entries over all shards.
        entries: u64,
    },
    /// Sparse rows that every shard has, each with the columns of its own items or users.
    SparseByColumn {
        /// What the rows are.
        rows: RowSpace,
        /// What the columns are.
        #[serde(skip_serializing_if = "Entity::is_item", default = "items")]
        columns: Entity,
        /// Entries over all shards.
        entries: u64,
    },
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn items() -> Entity {
    Entity::Item
}

impl MatrixLayout {
    /// Whether there are coarse rows to search, so that the exact ones are read from disk where they matter.
    fn rows_stay_on_disk(&self) -> bool {
        matches!(self, Self::Dense { rows: RowFormat::Int8, .. })
    }

    /// What recipes need to know of it, with the rank of a dense one.
    pub fn shape(&self) -> (MatrixShape, usize) {
        match self {
            Self::Dense { entity, rank, .. } => {
                (MatrixShape::Dense { entity: *entity, rank_of: 0 }, *rank as usize)
            }
            Self::SparseByRow { columns: Entity::Term, .. } => (MatrixShape::TermsByUser, 0),
            Self::SparseByRow { .. } => (MatrixShape::ByUser, 0),
            Self::SparseByColumn { rows, columns, .. } => {
                (MatrixShape::Sums { rows: *rows, columns: *columns }, 0)
            }
        }
    }
}

/// What was measured of a matrix's indexes when they were built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexInfo {
    /// The kind of the indexes.
    pub kind: IndexKind,
    /// Of graphs: links of a row on each upper layer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub m: Option<u32>,
    /// Of graphs: width of the search at building.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ef_construction: Option<u32>,
    /// The mean over shards that have an index, weighted by rows; none where every search is exact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recall: Option<Recall>,
    /// Each shard's index, in order.
    pub shards: Vec<ShardIndexInfo>,
}

/// The index of one shard's matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardIndexInfo {
    /// Rows of the shard.
    pub rows: u64,
    /// The graph, if it was built and kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub graph: Option<GraphInfo>,
    /// The cells, if they were built; else the shard scans exactly.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cells: Option<CellsInfo>,
}

impl ShardIndexInfo {
    /// The recall that was measured, if there is an index.
    pub fn recall(&self) -> Option<Recall> {
        let of_graph = self.graph.as_ref().map(|graph| graph.recall);
        of_graph.or(self.cells.as_ref().map(|cells| cells.recall))
    }
}

/// What was measured of one shard's cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellsInfo {
    /// How many cells there are.
    pub cells: u64,
    /// Recall at the efforts below, by inner product, against the exact scan.
    pub recall: Recall,
    /// The effort of a search for 10 rows; none where no effort reached the recall, and such searches
    /// are exact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub effort_at_10: Option<Effort>,
    /// The effort of a search for 100 rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub effort_at_100: Option<Effort>,
    /// The effort of a search for 1,000 rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub effort_at_1000: Option<Effort>,
    /// What was found of searches by inner product that it was not tuned with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub audited: Vec<AuditedRecall>,
    /// The same by cosine, for items like an item.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub audited_by_cosine: Vec<AuditedRecall>,
}

/// The recall of one kind of search, of queries that an index was not tuned with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditedRecall {
    /// How many results were wanted.
    pub count: u32,
    /// How many of the best rows were excluded.
    pub excluded: u32,
    /// The share of the truly best rows that were found.
    pub recall: f64,
    /// That of the worst percent of the queries, at least one.
    pub worst_percent: f64,
    /// Over how many queries.
    pub queries: u64,
}

/// What was measured of one graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphInfo {
    /// Recall at the widths below, against the exact scan.
    pub recall: Recall,
    /// The width of a search for 10 rows.
    pub ef_at_10: u32,
    /// The width of a search for 100 rows.
    pub ef_at_100: u32,
    /// The width of a search for 1,000 rows; 0 where none reached the recall, and such searches scan.
    pub ef_at_1000: u32,
    /// The share of rows that extra links had to be made for, as no path of the builder's led there.
    pub linked_extra: f64,
    /// The share of rows that no path leads to.
    pub unreachable: f64,
    /// What was found of searches that it was not tuned with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub audited: Vec<AuditedRecall>,
}

/// The share of the truly best rows that searches find.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// Of the best 10.
    pub at_10: f64,
    /// Of the best 100.
    pub at_100: f64,
    /// Over how many queries.
    pub queries: u64,
}

/// What the evaluation on held-out interactions measured; each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Recall in the first 20 recommendations.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recall_at_20: Option<f64>,
    /// Normalised discounted cumulative gain of the first 20 recommendations.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ndcg_at_20: Option<f64>,
    /// Recall of the popularity baseline on the same users.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub popularity_recall_at_20: Option<f64>,
    /// Normalised discounted cumulative gain of the popularity baseline on the same users.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub popularity_ndcg_at_20: Option<f64>,
    /// How many users were evaluated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub users_evaluated: Option<u64>,
}

/// The BLAKE3 checksum of the manifest's bytes: names a bundle's whole content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ManifestDigest([u8; 32]);

impl ManifestDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest's own bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Display for ManifestDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl std::fmt::Debug for ManifestDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ManifestDigest({self})")
    }
}

impl Manifest {
    /// The matrix of that name.
    pub fn matrix(&self, name: &str) -> Option<&MatrixInfo> {
        self.matrices.iter().find(|matrix| matrix.name == name)
    }

    /// Bytes of one shard that a node keeps in memory to serve it: all its files but exact rows that coarse
    /// rows stand for, which stay on disk until a search wants some.
    pub fn shard_bytes(&self, shard: u32) -> u64 {
        let cold: Vec<String> = self
            .matrices
            .iter()
            .filter(|matrix| matrix.layout.rows_stay_on_disk())
            .map(|matrix| file_path(shard, &matrix.name, FileKind::Dense))
            .collect();
        let kept = self.shard_files(shard).filter(|file| !cold.contains(&file.path));
        kept.map(|file| file.bytes).sum()
    }

    /// The files of one shard.
    pub fn shard_files(&self, shard: u32) -> impl Iterator<Item = &FileInfo> {
        let prefix = format!("{}/", shard_directory(shard));
        self.files.iter().filter(move |file| file.path.starts_with(&prefix))
    }
}
