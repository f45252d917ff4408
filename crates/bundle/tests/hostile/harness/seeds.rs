//! The seeds: small valid bundles of unlike shapes, which together have every kind of file.
//!
//! They are written anew by each process, so they are always of the current format.

use crate::support::{factors, input, with_terms, write};
use marquee_bundle::format::memory::MemoryDirectory;
use marquee_bundle::*;

/// A valid bundle in memory.
pub(super) struct Seed {
    pub(super) directory: MemoryDirectory,
    pub(super) manifest: Manifest,
}

/// All seeds. New ones go to the end, as inputs name them by number.
pub(super) fn all() -> Vec<Seed> {
    vec![
        seed(with_neighbours(with_indexes(input(30, 8, 3, 1)))),
        // More than one block of rows, and a graph with upper layers.
        seed(with_indexes(input(140, 3, 2, 1))),
        // Vectors longer than the kernels' partial sums, and two shards.
        seed(with_indexes(input(24, 6, 33, 2))),
        // As little as there can be.
        seed(input(1, 0, 1, 1)),
        seed(popular()),
        seed(with_terms(input(12, 9, 2, 1), 5)),
    ]
}

fn seed(input: BundleInput) -> Seed {
    let dir = tempfile::tempdir().expect("temporary directory");
    let place = dir.path().join("bundle");
    let manifest = write(input, &place);
    // Any key will do, as long as it is the same each time.
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "07".repeat(32)).expect("written");
    sign_bundle(&place, &secret, SignedTerms::default()).expect("signed");
    Seed { directory: MemoryDirectory::read(&place).expect("read"), manifest }
}

fn with_indexes(mut given: BundleInput) -> BundleInput {
    let index = IndexOptions {
        mode: IndexMode::Always,
        m: 4,
        target_recall: 0.1,
        ..IndexOptions::default()
    };
    given.dense[0].index = Some(index.clone());
    given.dense[0].rows = RowFormat::Int8;
    given.dense[1].index = Some(IndexOptions { kind: IndexKind::Hnsw, ..index });
    given
}

fn with_neighbours(mut given: BundleInput) -> BundleInput {
    let items = given.items.len();
    let row = |at: usize| [(at + 1) % items, (at + 7) % items].map(|column| column as u32);
    given.sparse = vec![SparseInput {
        name: "neighbours".into(),
        shape: marquee_bundle::SparseShape::ITEM_ROWS,
        matrix: CsrInput {
            offsets: (0..=items).map(|at| 2 * at).collect(),
            columns: (0..items).flat_map(row).collect(),
            values: (0..2 * items).map(|at| at as f32).collect(),
        },
    }];
    given
}

/// No factors but an embedding of items beside the recipe, without titles.
fn popular() -> BundleInput {
    let mut given = input(20, 0, 5, 1);
    given.recipe = marquee_core::model::recipe::Recipe::Popularity;
    given.items.iter_mut().for_each(|item| item.title.clear());
    given.dense.truncate(1);
    given.dense[0].name = "embedding".into();
    given.dense[0].data = factors(20, 5, 4);
    given.dense[0].index = None;
    given
}
