//! The kinds of binary files.

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// External ids, ordinals and titles.
    Ids,
    /// Tags and attributes of items.
    Labels,
    /// A dense matrix.
    Dense,
    /// The graph over a dense matrix.
    Graph,
    /// The cells over a dense matrix.
    Cells,
    /// The coarse rows of a dense matrix.
    Coarse,
    /// A sparse matrix.
    Sparse,
}

impl FileKind {
    /// The four letters in the header.
    pub(crate) fn letters(self) -> [u8; 4] {
        match self {
            Self::Ids => *b"idtb",
            Self::Labels => *b"labl",
            Self::Dense => *b"dens",
            Self::Graph => *b"grph",
            Self::Cells => *b"cell",
            Self::Coarse => *b"int8",
            Self::Sparse => *b"csrm",
        }
    }

    /// The end of the file's name.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Labels => "labels",
            Self::Dense => "dense",
            Self::Graph => "graph",
            Self::Cells => "cells",
            Self::Coarse => "int8",
            Self::Sparse => "sparse",
        }
    }
}
