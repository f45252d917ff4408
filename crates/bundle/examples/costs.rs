//! The planner's cost model held against this machine.
//!
//! ```text
//! costs fit                  measures each operation over ranks and row counts, fits the lines of `cost`
//! costs plan --bundle DIR    predicted and measured time of each strategy to search, and what the choice loses
//! ```
//!
//! Operations are measured inside real searches, where their misses and their neighbours are: a scan of all
//! rows by cosine (which skips none), a scan of rows here and there, searches in cells of many efforts,
//! whose times are taken apart by least squares over what each of them did, and walks over a graph. Times are
//! this thread's processor time: cases alternate, and each case's median counts. `plan` asks the
//! vectors of the bundle's own users, with and without filters, as `measure build` makes such a bundle.
//!
//! Constants are changed by hand in `search/cost.rs`: they are the same on every machine, and only their
//! ratios matter.

#[allow(dead_code)] // tests use more of it
#[path = "../tests/support/random.rs"]
mod random;

use marquee_bundle::*;
use marquee_core::model::recipe::Recipe;
use random::Random;
use std::path::Path;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ITEMS: &str = "item_factors";
const USERS: &str = "user_factors";
/// Ranks that lines are fitted over.
const RANKS: [usize; 4] = [16, 64, 128, 256];
/// Rows of the shards with cells: within the second cache, and beyond it.
const ROWS: [usize; 2] = [20_000, 80_000];
/// Rows of those with a graph, which takes longer to build.
const GRAPH_ROWS: usize = 20_000;
/// Rows of a block of a scan.
const BLOCK_ROWS: usize = 128;
/// Queries of one measurement.
const QUERIES: usize = 48;
/// Rounds that cases alternate in.
const ROUNDS: usize = 7;
/// A case is measured for at least this long in each round.
const MIN_MEASURED: Duration = Duration::from_millis(8);
/// Steps of the solver, far beyond what four unknowns need.
const SOLVER_STEPS: usize = 20_000;
/// Shares of the rows that filters of `plan` leave.
const SHARES: [f64; 5] = [1.0, 0.5, 0.1, 0.01, 0.001];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fit"] => fit(),
        ["plan", "--bundle", dir] => plan(Path::new(dir)),
        _ => Err("usage: costs fit, or costs plan --bundle DIR".into()),
    }
}

/// Something to search for, over and over.
#[derive(Clone, Copy)]
struct Case<'a> {
    shard: &'a BundleShard,
    measure: VectorMeasure,
    count: usize,
    allow: Option<&'a RowBitmap>,
    strategy: Option<DenseStrategy>,
    queries: &'a [Vec<f32>],
}

impl Case<'_> {
    /// Answers all queries; what searches in cells did, and how the last one was answered.
    fn run(&self, scratch: &mut SearchScratch) -> Result<(CellsWork, Option<DenseStrategy>)> {
        let cancel = CancelFlag::new();
        let allow = self.allow.map_or(Allow::All, Allow::Rows);
        let params = SearchParams {
            strategy: self.strategy,
            allow,
            ..SearchParams::new(self.count, &cancel)
        };
        let mut work = CellsWork::default();
        for query in self.queries {
            dense_top_k(self.shard, ITEMS, query, self.measure, &params, scratch)?;
            let did = scratch.last_work();
            work.cells += did.cells;
            work.blocks += did.blocks;
            work.passed += did.passed;
            work.scored += did.scored;
        }
        Ok((work, scratch.last_strategy()))
    }

    /// Nanoseconds of processor time of one query.
    fn time(&self, scratch: &mut SearchScratch) -> Result<f64> {
        let (start, mut passes) = (cpu_time::ThreadTime::now(), 0);
        while start.elapsed() < MIN_MEASURED {
            self.run(scratch)?;
            passes += 1;
        }
        Ok(start.elapsed().as_secs_f64() * 1e9 / (passes * self.queries.len()) as f64)
    }
}

/// The median time of each case, in alternated rounds after one that warms up.
fn times(cases: &[Case<'_>]) -> Result<Vec<f64>> {
    let mut scratch = SearchScratch::new();
    let mut rounds = vec![Vec::new(); cases.len()];
    for case in cases {
        case.run(&mut scratch)?;
    }
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter().zip(&mut rounds) {
            times.push(case.time(&mut scratch)?);
        }
    }
    Ok(rounds.into_iter().map(|mut times| median(&mut times)).collect())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What was measured at one rank, in nanoseconds of one operation.
struct Point {
    rank: usize,
    nanoseconds: f64,
}

fn fit() -> Result<()> {
    let (mut row, mut scattered, mut cell, mut block, mut walked) =
        (vec![], vec![], vec![], vec![], vec![]);
    let (mut passed, mut filters) = (Vec::new(), Vec::new());
    for rank in RANKS {
        let mut equations = Vec::new();
        let mut here = Vec::new();
        for rows in ROWS {
            let bundle = made(rows, rank, IndexKind::Cells)?;
            let (shard, queries) = (&bundle.1.shards()[0], queries_of(&bundle.1, QUERIES)?);
            // One row of eight, and so few that asking the filter costs more than scoring them.
            let sparse = [8, 512]
                .map(|every| RowBitmap::of(rows, (0..rows as u32).filter(|row| row % every == 3)));
            let scan = |allow| Case {
                shard,
                measure: VectorMeasure::Cosine,
                count: 10,
                allow,
                strategy: Some(DenseStrategy::Scan),
                queries: &queries,
            };
            let found = times(&[scan(None), scan(Some(&sparse[0])), scan(Some(&sparse[1]))])?;
            let blocks = rows.div_ceil(BLOCK_ROWS) as f64;
            let filtered = |at: usize| ([blocks, sparse[at].count() as f64], found[1 + at]);
            let [of_block, each] = least_squares(&[filtered(0), filtered(1)]);
            let in_order = found[0] / rows as f64;
            eprintln!(
                "rank {rank}, {rows} rows: {in_order:.2} ns a row of a scan, {each:.1} ns one here or there, {of_block:.1} ns a block of a filter",
            );
            row.push(Point { rank, nanoseconds: in_order });
            scattered.push(Point { rank, nanoseconds: each });
            filters.push(of_block);
            here.push(each);

            let mut cases = Vec::new();
            for count in [10, 100, 1_000] {
                for reach in [0.5, 1.0, 1.5, 2.0, 4.0] {
                    for pool in [1.25, 2.0, 4.0] {
                        let strategy = Some(DenseStrategy::Cells(Effort { reach, pool }));
                        cases.push(Case {
                            measure: VectorMeasure::InnerProduct,
                            count,
                            strategy,
                            ..scan(None)
                        });
                    }
                }
            }
            let found = times(&cases)?;
            let mut scratch = SearchScratch::new();
            for (case, time) in cases.iter().zip(found) {
                let (work, _) = case.run(&mut scratch)?;
                let each = |total: u64| total as f64 / case.queries.len() as f64;
                let did = [work.cells, work.blocks, work.passed, work.scored].map(each);
                equations.push((did, time));
            }
        }
        // Rows of a pool are scored as rows here and there are: three unknowns are told apart better
        // than four.
        let by_row = median(&mut here);
        let equations: Vec<_> = equations
            .into_iter()
            .map(|([cells, blocks, passed, scored], time)| {
                ([1.0, cells, blocks, passed], time - scored * by_row)
            })
            .collect();
        let solved = least_squares(&equations);
        eprintln!(
            "rank {rank}: a search in cells {:.0} ns, a cell {:.1}, a block {:.1}, a row that passes {:.2}; median error {:.0} %",
            solved[0],
            solved[1],
            solved[2],
            solved[3],
            100.0 * median_error(&equations, &solved)
        );
        cell.push(Point { rank, nanoseconds: solved[1] });
        block.push(Point { rank, nanoseconds: solved[2] });
        passed.push(solved[3]);

        let bundle = made(GRAPH_ROWS, rank, IndexKind::Hnsw)?;
        let (shard, queries) = (&bundle.1.shards()[0], queries_of(&bundle.1, QUERIES)?);
        let links = shard.dense(ITEMS)?.graph().map_or(0, FrozenGraph::links);
        let widths = [32, 100, 300];
        let cases = widths.map(|width| Case {
            shard,
            measure: VectorMeasure::InnerProduct,
            count: 10,
            allow: None,
            strategy: Some(DenseStrategy::Graph { width, thorough: false }),
            queries: &queries,
        });
        let mut scratch = SearchScratch::new();
        for ((width, case), time) in widths.into_iter().zip(&cases).zip(times(&cases)?) {
            let mut rows = 0;
            for query in &queries {
                Case { queries: std::slice::from_ref(query), ..*case }.run(&mut scratch)?;
                rows += scratch.last_walked();
            }
            let rows = rows as f64 / queries.len() as f64;
            let nanoseconds = time / rows;
            eprintln!(
                "rank {rank}: a walk of width {width} scores {rows:.0} rows of {:.0} by the model, {nanoseconds:.1} ns each",
                cost::walked_rows(width, links)
            );
            walked.push(Point { rank, nanoseconds });
        }
    }
    println!("| operation | ns measured, fixed | a column | constant, fixed | a column |");
    println!("|---|---|---|---|---|");
    for (name, points, constant) in [
        ("row of a scan", &row, cost::ROW),
        ("row here or there", &scattered, cost::SCATTERED_ROW),
        ("cell", &cell, cost::CELL),
        ("block of codes", &block, cost::BLOCK),
        ("row of a walk", &walked, cost::WALKED_ROW),
    ] {
        let (fixed, by_column) = line(points);
        let cost::Line { fixed: was, by_column: each } = constant;
        println!("| {name} | {fixed:.2} | {by_column:.3} | {was} | {each} |");
    }
    for (name, values, constant) in [
        ("row into the pool", &mut passed, cost::PASSED),
        ("block of a filtered scan", &mut filters, cost::FILTERED_BLOCK),
    ] {
        println!("| {name} | {:.2} | | {constant} | |", median(values));
    }
    Ok(())
}

/// The line through what was measured, by relative least squares, neither part negative.
fn line(points: &[Point]) -> (f64, f64) {
    let equation = |point: &Point| ([1.0, point.rank as f64], point.nanoseconds);
    let equations: Vec<_> = points.iter().map(equation).collect();
    let [fixed, by_column] = least_squares(&equations);
    (fixed, by_column)
}

/// The numbers, none of them negative, that explain these times best, each error relative to its time: by
/// descent along one coordinate after another.
fn least_squares<const N: usize>(equations: &[([f64; N], f64)]) -> [f64; N] {
    let mut solution = [0.0; N];
    for step in 0..SOLVER_STEPS {
        let at = step % N;
        let (mut above, mut below) = (0.0, 0.0);
        for (factors, time) in equations {
            let others: f64 = (0..N).filter(|&n| n != at).map(|n| factors[n] * solution[n]).sum();
            let weight = 1.0 / (time * time);
            above += weight * factors[at] * (time - others);
            below += weight * factors[at] * factors[at];
        }
        solution[at] = if below > 0.0 { f64::max(above / below, 0.0) } else { 0.0 };
    }
    solution
}

fn median_error<const N: usize>(equations: &[([f64; N], f64)], solution: &[f64; N]) -> f64 {
    let error = |(factors, time): &([f64; N], f64)| {
        let told: f64 = factors.iter().zip(solution).map(|(factor, value)| factor * value).sum();
        (told / time - 1.0).abs()
    };
    median(&mut equations.iter().map(error).collect::<Vec<_>>())
}

fn plan(dir: &Path) -> Result<()> {
    let bundle = Bundle::open(dir, &TrustedKeys::none(), &LoadOptions::default())?;
    let [shard] = bundle.shards() else { return Err("one shard can be measured".into()) };
    let queries = queries_of(&bundle, QUERIES)?;
    let matrix = shard.dense(ITEMS)?;
    let (rows, rank) = (matrix.rows(), matrix.rank());
    println!("{rows} × {rank}");
    println!("| k | allowed | strategy | predicted µs | measured µs | chosen, and what it loses |");
    println!("|---|---|---|---|---|---|");
    for count in [10, 100, 1_000, 10_000] {
        for share in SHARES {
            // Rows that have nothing to do with each other, as a filter's.
            let kept =
                |&row: &u32| f64::from(row.wrapping_mul(2_654_435_769)) < share * 4_294_967_296.0;
            let bitmap = RowBitmap::of(rows, (0..rows as u32).filter(kept));
            let allow = (share < 1.0).then_some(&bitmap);
            let measure = VectorMeasure::InnerProduct;
            let case =
                |strategy| Case { shard, measure, count, allow, strategy, queries: &queries };
            let cancel = CancelFlag::new();
            let params = SearchParams {
                allow: allow.map_or(Allow::All, Allow::Rows),
                ..SearchParams::new(count, &cancel)
            };
            let predicted = costs_of_strategies(shard, ITEMS, &queries[0], measure, &params)?;
            let cases: Vec<_> =
                predicted.iter().map(|&(strategy, _)| case(Some(strategy))).collect();
            let measured = times(&cases)?;
            let least = measured.iter().copied().fold(f64::INFINITY, f64::min);
            let mut scratch = SearchScratch::new();
            let (_, chosen) = case(None).run(&mut scratch)?;
            for (&(strategy, told), &time) in predicted.iter().zip(&measured) {
                let (told_us, time_us) = (told / 1e3, time / 1e3);
                // A search in cells may have ended as an exact one; what was chosen is named alike.
                let mark = if chosen.map(DenseStrategy::name) == Some(strategy.name()) {
                    format!("{:.2} ×", time / least)
                } else {
                    String::new()
                };
                let allowed = 100.0 * share;
                let name = strategy.name();
                println!(
                    "| {count} | {allowed} % | {name} | {told_us:.1} | {time_us:.1} | {mark} |"
                );
            }
        }
    }
    Ok(())
}

/// Vectors of users, to be used as queries.
fn queries_of(bundle: &Bundle, count: usize) -> Result<Vec<Vec<f32>>> {
    let users = bundle.shards()[0].dense(USERS)?;
    Ok((0..users.rows().min(count) as u32).map(|row| users.row(row).to_vec()).collect())
}

/// A bundle of made-up factors, and the directory that goes with it.
fn made(rows: usize, rank: usize, kind: IndexKind) -> Result<(tempfile::TempDir, Bundle)> {
    let index = IndexOptions { mode: IndexMode::Always, kind, ..IndexOptions::default() };
    let dense = |name: &str, entity, rows, seed, index| DenseInput {
        name: name.into(),
        entity,
        rank,
        data: factors(rows, rank, seed),
        index,
        rows: RowFormat::F32,
    };
    let item = |row: usize| ItemRecord { id: row.to_string(), ..ItemRecord::default() };
    let input = BundleInput {
        model: "costs".into(),
        recipe: Recipe::MatrixFactorisation {
            user_factors: USERS.into(),
            item_factors: ITEMS.into(),
            fold_in: None,
        },
        kind: "mf".into(),
        shards: 1,
        items: (0..rows).map(item).collect(),
        users: (0..QUERIES).map(|row| row.to_string()).collect(),
        terms: Vec::new(),
        dense: vec![
            dense(ITEMS, Entity::Item, rows, 1, Some(index)),
            dense(USERS, Entity::User, QUERIES, 2, None),
        ],
        history: None,
        popularity: Vec::new(),
        sparse: Vec::new(),
        quality: Quality::default(),
        parameters: Default::default(),
        forgotten: None,
        created_at_ms: 0,
    };
    let dir = tempfile::tempdir()?;
    let place = dir.path().join("bundle");
    write_bundle(input, &place, &|_| {})?;
    let bundle = Bundle::open(&place, &TrustedKeys::none(), &LoadOptions::default())?;
    Ok((dir, bundle))
}

/// Vectors like trained factors: around centres that all seeds share, their lengths log-normal.
fn factors(rows: usize, rank: usize, seed: u64) -> Vec<f32> {
    let mut shared = Random(0);
    let centres: Vec<Vec<f64>> =
        (0..100).map(|_| (0..rank).map(|_| shared.normal()).collect()).collect();
    let mut random = Random(seed);
    let mut values = Vec::with_capacity(rows * rank);
    for _ in 0..rows {
        let centre = &centres[random.below(centres.len())];
        let row: Vec<f64> = centre.iter().map(|centre| centre + 0.7 * random.normal()).collect();
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        let wanted = (0.5 * random.normal()).exp();
        values.extend(row.iter().map(|value| (value / length * wanted) as f32));
    }
    values
}
