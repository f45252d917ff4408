//! What searches find, whatever is asked: the long form of tests/recall.rs.
//!
//! ```text
//! recall [--rows 100000] [--rank 64] [--shards 1] [--index cells|hnsw] [--rows-format f32|int8] [--queries 200]
//!        [--brief yes] [--effort REACH/POOL]
//! ```
//!
//! Prints a table for each measure: by the results wanted, how many of the best are excluded and the share
//! of rows that a filter leaves, the mean recall of queries that no index was tuned with, that of the
//! worst percent of them, and the processor time of a search.

#[allow(dead_code)] // tests use more of it
#[path = "../tests/support/random.rs"]
mod random;
#[path = "../tests/support/recall.rs"]
mod recall;

use marquee_bundle::*;
use recall::{Wanted, bundle_of, catalogue, filters, measure};
use std::time::Instant;

const COUNTS: [usize; 14] = [1, 3, 10, 11, 20, 40, 60, 99, 100, 101, 250, 500, 900, 1_000];
const EXCLUDED: [usize; 6] = [0, 10, 30, 100, 300, 1_000];
const SHARES: [f64; 4] = [0.5, 0.1, 0.01, 0.001];
/// Queries that the index is tuned with are others.
const SEED: u64 = 20_261_201;

fn main() {
    let mut flags = std::collections::HashMap::new();
    let args: Vec<String> = std::env::args().skip(1).collect();
    for pair in args.chunks(2) {
        let [name, value] = pair else { panic!("{} needs a value", pair[0]) };
        flags.insert(name.trim_start_matches("--").to_owned(), value.clone());
    }
    let mut flag =
        |name: &str, otherwise: &str| flags.remove(name).unwrap_or_else(|| otherwise.to_owned());
    let number = |text: String| text.parse::<usize>().expect("a number");
    let (rows, rank) = (number(flag("rows", "100000")), number(flag("rank", "64")));
    let shards = number(flag("shards", "1")) as u32;
    let queries = number(flag("queries", "200"));
    let kind = match flag("index", "cells").as_str() {
        "cells" => IndexKind::Cells,
        "hnsw" => IndexKind::Hnsw,
        other => panic!("--index {other} is not known: cells and hnsw are"),
    };
    let format = match flag("rows-format", "f32").as_str() {
        "f32" => RowFormat::F32,
        "int8" => RowFormat::Int8,
        other => panic!("--rows-format {other} is not known: f32 and int8 are"),
    };
    let brief = flag("brief", "no") == "yes";
    let strategy = flag("effort", "").split_once('/').map(|(reach, pool)| {
        DenseStrategy::Cells(Effort {
            reach: reach.parse().expect("a number"),
            pool: pool.parse().expect("a number"),
        })
    });
    assert!(flags.is_empty(), "not known: {:?}", flags.keys());
    let started = Instant::now();
    // Half of the users tune the index, the others ask.
    let mut made = catalogue(rows, 300 + queries, rank, SEED);
    let asking = made.users.split_off(300 * rank);
    let index = IndexOptions { mode: IndexMode::Always, kind, ..IndexOptions::default() };
    let bundle = bundle_of(&made, shards, index, format);
    eprintln!("made in {:?}", started.elapsed());
    if let MatrixLayout::Dense { index: Some(info), .. } =
        &bundle.manifest().matrix("item_factors").expect("there").layout
    {
        eprintln!("{}", serde_json::to_string(&info).expect("written"));
    }
    let allowed = filters(&bundle, &SHARES);
    let items = &made.items[..queries * rank];
    for (of, queries) in
        [(VectorMeasure::InnerProduct, &asking[..]), (VectorMeasure::Cosine, items)]
    {
        println!("{of:?}");
        let counts: Vec<usize> = COUNTS
            .into_iter()
            .filter(|count| !brief || [10, 11, 100, 101, 1_000].contains(count))
            .collect();
        let shares: Vec<Option<usize>> =
            std::iter::once(None).chain((0..SHARES.len()).map(Some)).collect();
        let mut wanted = Vec::new();
        for &filter in &shares {
            for &count in &counts {
                wanted.extend(EXCLUDED.map(|excluded| Wanted {
                    count,
                    excluded,
                    filter,
                    strategy,
                }));
            }
        }
        let found = measure(&bundle, queries, of, &allowed, &wanted);
        let mut lines = found.chunks(EXCLUDED.len());
        for &filter in &shares {
            let share = filter.map_or(1.0, |filter| SHARES[filter]);
            println!("| allowed {share} | {} |", EXCLUDED.map(|m| m.to_string()).join(" | "));
            for count in &counts {
                let mut cells = Vec::new();
                for found in lines.next().expect("one for each count") {
                    let exact = if found.approximate == 0 { "=" } else { "" };
                    cells.push(match found.recalls.len() {
                        0 => "-".to_owned(),
                        _ => format!(
                            "{exact}{:.3} {:.2} {:.0}",
                            found.mean(),
                            found.worst_percent(),
                            found.cpu_us()
                        ),
                    });
                }
                println!("| {count} | {} |", cells.join(" | "));
            }
        }
    }
}
