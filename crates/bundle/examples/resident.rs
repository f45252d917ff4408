//! What of a bundle is in memory while it is served: `resident DIR [--cold]`, a bundle that `measure build`
//! wrote.
//!
//! Opens it as a shard node does, asks for the best 10 items for its users, up to 1,000, and prints
//! how much of each file the process has mapped in before and after, by `/proc/self/smaps`. Then,
//! when memory counts no more, the answers' recall@10 against the exact scan. `--cold` empties the
//! system's page cache before opening, and again after it, so that what is not mapped in has to
//! come from disk as queries want it; it takes root.

use marquee_bundle::*;
use std::collections::BTreeMap;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ITEMS: &str = "item_factors";
const USERS: &str = "user_factors";
/// Results of a query.
const COUNT: usize = 10;
/// The most queries that are measured.
const QUERIES: usize = 1_000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (dir, cold) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [dir] => (dir, false),
        [dir, "--cold"] => (dir, true),
        _ => return Err("usage: resident DIR [--cold]".into()),
    };
    let forget = || if cold { fs_err::write("/proc/sys/vm/drop_caches", "1") } else { Ok(()) };
    forget()?;
    let bundle = Bundle::open(Path::new(dir), &TrustedKeys::none(), &LoadOptions::default())?;
    let [shard] = bundle.shards() else { return Err("one shard can be measured".into()) };
    let opened = Memory::now()?;

    let users = shard.dense(USERS)?;
    let rows = 0..users.rows().min(QUERIES) as u32;
    let queries: Vec<Vec<f32>> = rows.map(|row| users.row(row).to_vec()).collect();
    forget()?;
    let start = std::time::Instant::now();
    let answers = answer(shard, &queries, None)?;
    let a_query = start.elapsed().as_secs_f64() * 1e6 / queries.len() as f64;
    let asked = Memory::now()?;

    println!("| | after opening, MB | after {} queries, MB |", queries.len());
    println!("|---|---|---|");
    let row = |name: &str, before: u64, after: u64| {
        println!("| {name} | {:.1} | {:.1} |", before as f64 / 1e3, after as f64 / 1e3);
    };
    for (file, &after) in &asked.files {
        row(file, opened.files.get(file).copied().unwrap_or(0), after);
    }
    row("all of the process", opened.process, asked.process);

    let truth = answer(shard, &queries, Some(DenseStrategy::Scan))?;
    let found = answers.iter().zip(&truth).map(|(answer, truth)| {
        answer.iter().filter(|hit| truth.iter().any(|other| other.row == hit.row)).count()
    });
    let wanted: usize = truth.iter().map(Vec::len).sum();
    let recall = found.sum::<usize>() as f64 / wanted as f64;
    println!("recall@{COUNT} {recall:.4}, {a_query:.0} µs a query by the clock");
    Ok(())
}

fn answer(
    shard: &BundleShard,
    queries: &[Vec<f32>],
    strategy: Option<DenseStrategy>,
) -> std::result::Result<Vec<Vec<Hit>>, SearchError> {
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    let params = SearchParams { strategy, ..SearchParams::new(COUNT, &cancel) };
    let search = |query: &Vec<f32>| {
        dense_top_k(shard, ITEMS, query, VectorMeasure::InnerProduct, &params, &mut scratch)
    };
    queries.iter().map(search).collect()
}

/// Kilobytes that are mapped in.
struct Memory {
    /// Of the files of the items' matrix, by name.
    files: BTreeMap<String, u64>,
    process: u64,
}

impl Memory {
    fn now() -> Result<Self> {
        let (mut files, mut process, mut file) = (BTreeMap::new(), 0, None);
        for line in fs_err::read_to_string("/proc/self/smaps")?.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["Rss:", kilobytes, _] => {
                    let kilobytes: u64 = kilobytes.parse()?;
                    process += kilobytes;
                    if let Some(file) = &file {
                        *files.entry(String::clone(file)).or_insert(0) += kilobytes;
                    }
                }
                // Where a mapping begins: addresses, rights, offset, device, inode, and the file.
                [addresses, _, _, _, _, ..] if !addresses.ends_with(':') => {
                    let path = words.get(5).map(Path::new).and_then(Path::file_name);
                    let name = path.map(|name| name.to_string_lossy().into_owned());
                    file = name.filter(|name| name.starts_with(ITEMS));
                }
                _ => {}
            }
        }
        Ok(Self { files, process })
    }
}
