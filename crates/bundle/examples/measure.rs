//! Measures graph and scan on vectors given as raw little-endian f32 files.
//!
//! `measure ITEMS.f32 QUERIES.f32 RANK [SHARDS]`: writes a bundle into a temporary directory, then
//! prints the processor time of building, opening and searching.

use marquee_bundle::*;
use marquee_core::recipe::Recipe;
use std::path::Path;

fn read(path: &str) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("readable");
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Processor seconds of this process so far; of the one thread while it searches.
fn cpu() -> f64 {
    cpu_time::ThreadTime::now().as_duration().as_secs_f64()
}

fn all_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    (fields[11].parse::<f64>().expect("utime") + fields[12].parse::<f64>().expect("stime")) / 100.0
}

fn status(field: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    text.lines().find(|line| line.starts_with(field)).unwrap_or_default().to_owned()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let rank: usize = args[3].parse().expect("rank");
    let shards: u32 = args.get(4).map_or(1, |n| n.parse().expect("shards"));
    let m = args.get(5).map_or(16, |n| n.parse().expect("m"));
    let ef_construction = args.get(6).map_or(100, |n| n.parse().expect("ef_construction"));
    let (items, queries) = (read(&args[1]), read(&args[2]));
    let keep = std::env::var("KEEP").ok();
    let temporary = tempfile::tempdir().expect("temporary directory");
    let dir = keep.map_or(temporary.path().join("b"), Into::into);
    if !dir.exists() {
        build(&items, &queries, rank, shards, m, ef_construction, &dir);
    }
    let queries: Vec<&[f32]> = queries.chunks_exact(rank).take(500).collect();

    for options in [LoadOptions::default(), LoadOptions { verify: false, populate: true }] {
        let (wall, start) = (std::time::Instant::now(), all_cpu());
        let bundle = Bundle::open(&dir, &TrustedKeys::none(), &options).expect("opened");
        println!(
            "open {options:?}: {:?}, cpu {:.2} s, {}",
            wall.elapsed(),
            all_cpu() - start,
            status("RssAnon")
        );
        drop(bundle);
    }
    let bundle = Bundle::open(&dir, &TrustedKeys::none(), &LoadOptions::default()).expect("opened");
    let info = bundle.manifest().matrices.iter().find(|matrix| matrix.name == "item_factors");
    println!("{:?}", info.map(|info| &info.layout));
    let cancel = CancelFlag::new();
    let mut scratch = SearchScratch::new();
    let mut run = |name: &str, metric, params: SearchParams<'_>| {
        let mut results = Vec::new();
        for round in 0..6 {
            let start = cpu();
            results.clear();
            for query in &queries {
                let mut hits = Vec::new();
                for shard in bundle.shards() {
                    hits.extend(
                        dense_top_k(shard, "item_factors", query, metric, &params, &mut scratch)
                            .expect("found"),
                    );
                }
                hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal)));
                hits.truncate(params.count);
                results.push(hits);
            }
            let each = (cpu() - start) / queries.len() as f64 * 1e6;
            if round == 5 {
                println!("{name}: {each:.1} µs CPU a query");
            }
        }
        results
    };
    let recall = |truth: &[Vec<Hit>], found: &[Vec<Hit>]| {
        let hits: usize = truth
            .iter()
            .zip(found)
            .map(|(truth, found)| {
                truth
                    .iter()
                    .filter(|hit| found.iter().any(|other| other.ordinal == hit.ordinal))
                    .count()
            })
            .sum();
        hits as f64 / truth.iter().map(Vec::len).sum::<usize>() as f64
    };
    for count in [10, 100, 1000] {
        let params = SearchParams::new(count, &cancel);
        let truth = run(
            &format!("exact scan, k {count}"),
            Metric::InnerProduct,
            SearchParams { exact: true, ..params },
        );
        let found = run(&format!("default, k {count}"), Metric::InnerProduct, params);
        println!("   recall {:.4}", recall(&truth, &found));
        for ef in [16, 32, 64, 100, 128, 160, 192, 256, 384, 512, 1_000, 1_500, 2_200, 3_300] {
            if ef >= count && ef < 20 * count {
                let found = run(
                    &format!("walk, k {count}, ef {ef}"),
                    Metric::InnerProduct,
                    SearchParams { ef: Some(ef), ..params },
                );
                println!("   recall {:.4}", recall(&truth, &found));
            }
        }
    }
    run("cosine scan, k 100", Metric::Cosine, SearchParams::new(100, &cancel));
}

fn build(
    items: &[f32],
    queries: &[f32],
    rank: usize,
    shards: u32,
    m: usize,
    ef_construction: usize,
    dir: &Path,
) {
    let dense = |name: &str, entity, data: &[f32], index| DenseInput {
        name: name.into(),
        entity,
        rank,
        data: data.to_vec(),
        index,
    };
    let index =
        IndexOptions { mode: IndexMode::Always, m, ef_construction, ..IndexOptions::default() };
    let input = BundleInput {
        model: "measured".into(),
        recipe: Recipe::MatrixFactorisation {
            user_factors: "user_factors".into(),
            item_factors: "item_factors".into(),
        },
        kind: "mf".into(),
        shards,
        items: (0..items.len() / rank)
            .map(|at| ItemRecord { id: at.to_string(), ..ItemRecord::default() })
            .collect(),
        users: (0..queries.len() / rank).map(|at| at.to_string()).collect(),
        dense: vec![
            dense("item_factors", Entity::Item, items, Some(index)),
            dense("user_factors", Entity::User, queries, None),
        ],
        history: None,
        popularity: vec![],
        item_rows: vec![],
        quality: Quality::default(),
        parameters: Default::default(),
        created_at_ms: 0,
    };
    let start = all_cpu();
    write_bundle(input, dir, &|_| {}).expect("written");
    println!("build: {:.1} s CPU, {}", all_cpu() - start, status("VmHWM"));
}
