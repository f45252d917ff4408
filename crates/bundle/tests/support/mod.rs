//! Inputs that tests share: made by a small generator, so that a failure repeats.
#![allow(dead_code)] // each test file uses some of it

pub(crate) mod heap;
mod random;
pub(crate) mod recall;

use marquee_bundle::*;
use marquee_core::model::recipe::Recipe;
pub(crate) use random::Random;
use std::path::Path;

/// Vectors like trained factors: clustered, their lengths log-normal.
pub(crate) fn factors(rows: usize, rank: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let centres: Vec<Vec<f32>> = (0..30).map(|_| random.vector(rank)).collect();
    let mut values = Vec::with_capacity(rows * rank);
    for _ in 0..rows {
        let centre = &centres[random.below(centres.len())];
        let row: Vec<f64> = centre.iter().map(|&c| f64::from(c) + 0.7 * random.normal()).collect();
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        let wanted = (0.5 * random.normal()).exp();
        values.extend(row.iter().map(|v| (v / length * wanted) as f32));
    }
    values
}

/// A model of matrix factorisation with everything in it.
pub(crate) fn input(items: usize, users: usize, rank: usize, shards: u32) -> BundleInput {
    let mut random = Random(42);
    let tags = ["action", "comedy", "drama", "été", "film noir"];
    let mut history = CsrInput { offsets: vec![0], ..CsrInput::default() };
    for user in 0..users {
        let mut columns: Vec<u32> =
            (0..random.below(6).min(items)).map(|_| random.below(items) as u32).collect();
        columns.sort_unstable();
        columns.dedup();
        columns.reverse();
        history.values.extend(columns.iter().map(|&column| 1.0 + (column + user as u32) as f32));
        history.columns.extend(columns);
        history.offsets.push(history.columns.len());
    }
    let item = |at: usize| ItemRecord {
        id: if at % 7 == 3 { format!("item-{at}") } else { at.to_string() },
        title: if at.is_multiple_of(5) { String::new() } else { format!("Title {at} ü") },
        tags: (0..at % 4).map(|tag| tags[(at + tag) % tags.len()].to_owned()).collect(),
        attributes: if at.is_multiple_of(3) {
            vec![]
        } else {
            vec![("year".into(), 1950.0 + (at % 70) as f64)]
        },
    };
    BundleInput {
        model: "films".into(),
        recipe: Recipe::MatrixFactorisation {
            user_factors: "user_factors".into(),
            item_factors: "item_factors".into(),
            fold_in: None,
        },
        kind: "mf".into(),
        shards,
        items: (0..items).map(item).collect(),
        users: (0..users).map(|at| format!("u{at}")).collect(),
        terms: Vec::new(),
        dense: vec![
            DenseInput {
                name: "item_factors".into(),
                entity: Entity::Item,
                rank,
                data: factors(items, rank, 1),
                index: Some(IndexOptions { min_rows: 20, ..IndexOptions::default() }),
                rows: RowFormat::F32,
            },
            DenseInput {
                name: "user_factors".into(),
                entity: Entity::User,
                rank,
                data: factors(users, rank, 2),
                index: None,
                rows: RowFormat::F32,
            },
        ],
        history: Some(history),
        popularity: (0..items).map(|at| (at * 31 % 17) as f32).collect(),
        sparse: vec![],
        quality: Quality { recall_at_20: Some(0.25), ..Quality::default() },
        parameters: [("factors".to_owned(), rank.to_string())].into(),
        forgotten: None,
        created_at_ms: 1_700_000_000_000,
    }
}

/// Writes it without watching.
pub(crate) fn write(input: BundleInput, dir: &Path) -> Manifest {
    write_bundle(input, dir, &|_| {}).expect("written")
}

/// Opens all of it.
pub(crate) fn open(dir: &Path) -> Result<Bundle, BundleError> {
    Bundle::open(dir, &TrustedKeys::none(), &LoadOptions::default())
}

/// Every file under a directory, relative to it, sorted.
pub(crate) fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).expect("listed") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path)
            } else {
                found.push(path.strip_prefix(dir).expect("below").to_owned())
            }
        }
    }
    found.sort();
    found
}

/// With so many terms, no multiple of seven, and a matrix of each shape that is about them.
pub(crate) fn with_terms(mut given: BundleInput, terms: usize) -> BundleInput {
    given.terms = (0..terms).map(|n| format!("word:{}", n * 7 % terms)).collect();
    let (users, items) = (given.users.len(), given.items.len());
    given.dense.push(DenseInput {
        name: "term_topics".into(),
        entity: Entity::Term,
        rank: 3,
        data: factors(terms, 3, 9),
        index: None,
        rows: RowFormat::F32,
    });
    let sparse = |name: &str, shape, rows: usize, columns: usize| SparseInput {
        name: name.into(),
        shape,
        matrix: CsrInput {
            offsets: (0..=rows).collect(),
            columns: (0..rows).map(|row| (row * 5 % columns) as u32).collect(),
            values: (0..rows).map(|row| row as f32 + 0.5).collect(),
        },
    };
    let sums = SparseShape::Sums { rows: RowSpace::Terms, columns: Entity::Item };
    given.sparse.push(sparse("profile", sums, terms, items));
    given.sparse.push(sparse("user_terms", SparseShape::TermsByUser, users, terms));
    given
}
