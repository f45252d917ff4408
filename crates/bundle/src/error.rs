//! What can go wrong with a bundle: writing, opening and searching it.

use marquee_core::id::IdError;
use std::path::PathBuf;

/// Why a bundle could not be written, signed or opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The operating system refused; its message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The input of a new bundle is wrong.
    #[error("cannot write the bundle: {reason}")]
    Input {
        /// What is wrong, where, and what would be right.
        reason: String,
    },
    /// An id or a name is refused.
    #[error("cannot write the bundle: {0}")]
    Id(#[from] IdError),
    /// Something stands where the bundle is to be written.
    #[error("{path} exists and is not an empty directory: choose another place or remove it")]
    Exists {
        /// The path that is taken.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has format version {found}, written by a newer marquee: upgrade the nodes first \
         (this one reads up to {supported})"
    )]
    NewerFormat {
        /// The path of the file.
        path: PathBuf,
        /// The format version that it has.
        found: u32,
        /// The newest that is understood here.
        supported: u32,
    },
    /// A file that the manifest names isn't there.
    #[error("{path} is missing: fetch the bundle again")]
    Missing {
        /// The path of the file.
        path: PathBuf,
    },
    /// A file that the manifest doesn't name lies in the bundle.
    #[error("{path} is not named by the manifest: remove it, or fetch the bundle again")]
    Unexpected {
        /// The path of the file.
        path: PathBuf,
    },
    /// A file hasn't the length that the manifest says.
    #[error("{path} has {found} bytes where the manifest says {expected}: fetch the bundle again")]
    Length {
        /// The path of the file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length it should have.
        expected: u64,
    },
    /// A file's bytes aren't those that were written.
    #[error(
        "{path} is damaged: its checksum differs from the {source_of_truth}'s; fetch the bundle again"
    )]
    Checksum {
        /// The path of the file.
        path: PathBuf,
        /// Which file holds the checksum.
        source_of_truth: &'static str,
    },
    /// The manifest's bytes are as written, but the manifest makes no sense.
    #[error("{path} is not a valid part of a bundle: {defect}")]
    Manifest {
        /// The path of the manifest.
        path: PathBuf,
        /// What is wrong with it.
        defect: ManifestDefect,
    },
    /// A file's bytes are as written, but they don't make sense.
    #[error("{path} is not a valid part of a bundle: {defect}")]
    Format {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it.
        defect: FileDefect,
    },
    /// The signature is missing, wrong, or made by an unknown key.
    #[error("{path}: {reason}")]
    Signature {
        /// The signature's or key's file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The bundle has no shard of this number.
    #[error("the bundle has {shards} shards: there is no shard {shard}")]
    NoSuchShard {
        /// The shard asked for.
        shard: u32,
        /// How many there are.
        shards: u32,
    },
}

/// What is wrong with a file of a bundle, other than its manifest.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FileDefect {
    /// It is a directory, a pipe or alike.
    #[error("it is not a regular file")]
    NotRegular,
    /// It is larger than any file of its kind.
    #[error("it has more than {max} bytes")]
    TooLarge {
        /// The most bytes that are read.
        max: u64,
    },
    /// It ends within its header.
    #[error("{bytes} bytes are too few for a header")]
    TooShort {
        /// The bytes that it has.
        bytes: usize,
    },
    /// It is no file of a bundle.
    #[error("it does not begin with the magic of a bundle's file")]
    Magic,
    /// Its format version is none that was ever written.
    #[error("format version {0} was never released")]
    NeverReleased(u32),
    /// Its header is that of another kind of file.
    #[error("it holds another kind of data than its name says")]
    OtherKind,
    /// It was cut off, or something was appended.
    #[error("the length in its header is not its length")]
    HeaderLength,
    /// Its header names more sections than any file has.
    #[error("{found} sections are more than {max}")]
    TooManySections {
        /// How many are named.
        found: usize,
        /// The most that there may be.
        max: usize,
    },
    /// It ends within its table of sections.
    #[error("its table of sections is cut off")]
    TableCutOff,
    /// An entry of its table of sections contradicts those before, or is out of bounds.
    #[error("entry {0} of its table of sections is not in order")]
    TableEntry(usize),
    /// It ends within the section of this number.
    #[error("section {0} is cut off")]
    SectionCutOff(usize),
    /// It goes on after its last section.
    #[error("there are bytes after its last section")]
    TrailingBytes,
    /// It has no section of this name.
    #[error("section {0} is missing")]
    SectionMissing(String),
    /// A section has more or fewer elements than it must have.
    #[error("section {section} has {found} elements, not {expected}")]
    SectionLength {
        /// The name of the section.
        section: String,
        /// The elements that it has.
        found: usize,
        /// The elements that it must have.
        expected: usize,
    },
    /// A section has elements of another size than it must have.
    #[error("section {section} has elements of {found} bytes, not {expected}")]
    SectionWidth {
        /// The name of the section.
        section: String,
        /// Bytes of an element.
        found: usize,
        /// Bytes that an element must have.
        expected: usize,
    },
    /// The section of this name cannot be read in place.
    #[error("section {0} is not aligned in memory")]
    Unaligned(String),
    /// The section of this name holds no text.
    #[error("section {0} is not UTF-8")]
    NotUtf8(String),
    /// The offsets in the section of this name fall, or lead out of what they divide.
    #[error("the offsets in section {0} are not in order")]
    Offsets(String),
    /// A list of numbers does not ascend, or leads out of what it is about.
    #[error("list {at} in section {section} is not in order")]
    List {
        /// The name of the section.
        section: String,
        /// The number of the list.
        at: usize,
    },
    /// A number is greater than it may be.
    #[error("{what} is {found}, more than {most}")]
    OutOfBounds {
        /// What the number says.
        what: String,
        /// The value that it has.
        found: u64,
        /// The most that is allowed.
        most: usize,
    },
    /// It is made for a bundle with another number of users, items or terms.
    #[error("it is of {found} {entities}, the manifest of {expected}")]
    Total {
        /// What is counted, in the plural.
        entities: &'static str,
        /// How many the file says there are.
        found: usize,
        /// How many the manifest says there are.
        expected: u64,
    },
    /// Its rows and columns together are more than can be counted.
    #[error("its shape is beyond memory")]
    ShapeBeyondMemory,
    /// What its sections hold contradicts itself or the manifest.
    #[error("{0}")]
    Content(&'static str),
    /// The bundle lacks what its recipe needs.
    #[error(transparent)]
    Search(#[from] SearchError),
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestDefect {
    /// It is too large to be a manifest of ours.
    #[error("it has more than {max} values")]
    TooManyValues {
        /// The most values that there may be.
        max: usize,
    },
    /// Its text is not that of a manifest.
    #[error("{0}")]
    Json(String),
    /// Its format version is none that was ever written.
    #[error("format version {0} was never released")]
    NeverReleased(u32),
    /// A name is refused.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A number is out of its bounds.
    #[error("{field} is {found}: {least} to {most} are allowed")]
    OutOfBounds {
        /// The number, such as `counts.users`.
        field: String,
        /// The value that it has.
        found: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// Two matrices have one name.
    #[error("matrix {0:?} is named twice")]
    MatrixTwice(String),
    /// An index has more or fewer shards than the bundle.
    #[error("the index of matrix {0:?} has another number of shards")]
    IndexShards(String),
    /// The recipe and the matrices don't fit.
    #[error("{0}")]
    Recipe(String),
    /// A file is named that belongs to no matrix.
    #[error("file {0:?} belongs to none of its matrices, or is named twice")]
    NeedlessFile(String),
    /// It names a path that leads out of the bundle.
    #[error("it names a file outside of the bundle: {0:?}")]
    OutsideFile(String),
    /// It is the manifest of another bundle than the one that was asked for.
    #[error("it is of another bundle: its digest is {found} and not {expected}")]
    OtherBundle {
        /// The digest that it has.
        found: String,
        /// The digest that was asked for.
        expected: String,
    },
    /// A file that the bundle needs is not named.
    #[error("it doesn't name {0}, which the bundle needs")]
    UnnamedFile(String),
}

/// The parts of a query that have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryPart {
    /// The vector of a dense query.
    Vector,
    /// The weights of a row-sum.
    Weights,
}

impl std::fmt::Display for QueryPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Vector => "query",
            Self::Weights => "weights",
        })
    }
}

/// Why a search has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// No matrix of that name and kind.
    #[error("the bundle has no {kind} matrix {name:?}: its recipe and the request disagree")]
    NoSuchMatrix {
        /// The name asked for.
        name: String,
        /// `dense` or `sparse`.
        kind: &'static str,
    },
    /// A query of the wrong length.
    #[error(
        "matrix {matrix:?} has {expected} columns, the query {found}: send a vector of {expected} values"
    )]
    Rank {
        /// The name of the matrix.
        matrix: String,
        /// The number of its columns.
        expected: usize,
        /// The number of values of the query.
        found: usize,
    },
    /// A query or weight that is NaN or infinite.
    #[error("{part}[{index}] is not a finite number")]
    NotFinite {
        /// The part of the query that it is in.
        part: QueryPart,
        /// The place of the number.
        index: usize,
    },
    /// A score beyond the range of 32-bit floats.
    #[error(
        "the score of row {row} of {matrix:?} is beyond the range of 32-bit floats: scale the query down"
    )]
    ScoreRange {
        /// The name of the matrix.
        matrix: String,
        /// The number of the row in its shard.
        row: u32,
    },
    /// Rows and weights that aren't pairs.
    #[error("{rows} rows but {weights} weights: send one weight for each row")]
    Weights {
        /// The number of rows.
        rows: usize,
        /// The number of weights.
        weights: usize,
    },
    /// A row that the matrix doesn't have.
    #[error("matrix {matrix:?} has {rows} rows: there is no row {row}")]
    Row {
        /// The name of the matrix.
        matrix: String,
        /// The row asked for.
        row: u32,
        /// How many it has.
        rows: usize,
    },
    /// A matrix partitioned the other way.
    #[error("matrix {matrix:?} is partitioned by row: it has rows to look up, not columns to sum")]
    Partition {
        /// The name of the matrix.
        matrix: String,
    },
    /// More results than any caller may want.
    #[error("count is {count}: at most {max} are allowed")]
    Count {
        /// The count asked for.
        count: usize,
        /// The greatest count that is allowed.
        max: usize,
    },
    /// A filter's range that no number can satisfy.
    #[error("filter range on {attribute:?} is not valid: {reason}")]
    Range {
        /// The name of the attribute.
        attribute: String,
        /// What is wrong with the range.
        reason: &'static str,
    },
    /// A bitmap of another shard or entity.
    #[error("the filter has {found} rows, the matrix {expected}: it was made for another shard")]
    Bitmap {
        /// Rows of the matrix.
        expected: usize,
        /// Rows of the bitmap.
        found: usize,
    },
    /// The caller gave up.
    #[error("the search was cancelled")]
    Cancelled,
}
