//! Searches against the plain definition: score everything, sort, cut off.

mod support;

use marquee_bundle::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use support::{Random, factors, input, open, write};

/// What a search must give: every admitted row scored by `score`, sorted, cut off.
fn expected(
    table: &IdTable,
    count: usize,
    admits: impl Fn(u32) -> bool,
    score: impl Fn(u32) -> Option<f32>,
) -> Vec<Hit> {
    let rows = (0..table.len() as u32).filter(|&row| admits(row));
    let mut hits: Vec<Hit> = rows
        .filter_map(|row| Some(Hit { ordinal: table.ordinal(row), row, score: score(row)? + 0.0 }))
        .collect();
    hits.sort_by(|a, b| {
        b.score.partial_cmp(&a.score).expect("no NaN").then(a.ordinal.cmp(&b.ordinal))
    });
    hits.truncate(count);
    hits
}

fn opened(given: BundleInput) -> Bundle {
    let dir = tempfile::tempdir().expect("temporary directory");
    write(given, &dir.path().join("b"));
    // The directory goes, the mapping stays.
    open(&dir.path().join("b")).expect("opened")
}

/// A bundle of one shard with just these rows as `item_factors`.
fn of_rows(rows: &[Vec<f32>], index: Option<IndexOptions>) -> Bundle {
    let mut given = input(rows.len(), 2, rows[0].len(), 1);
    given.dense[0].data = rows.concat();
    given.dense[0].index = index;
    opened(given)
}

fn top(bundle: &Bundle, query: &[f32], params: &SearchParams<'_>) -> Result<Vec<Hit>, SearchError> {
    let (shard, mut scratch) = (&bundle.shards()[0], SearchScratch::new());
    dense_top_k(shard, "item_factors", query, VectorMeasure::InnerProduct, params, &mut scratch)
}

fn graph() -> IndexOptions {
    IndexOptions { mode: IndexMode::Always, kind: IndexKind::Hnsw, ..IndexOptions::default() }
}

fn poor_graph() -> Option<IndexOptions> {
    Some(IndexOptions { target_recall: 0.5, ..graph() })
}

fn walk(width: usize) -> Option<DenseStrategy> {
    Some(DenseStrategy::Graph { width, thorough: true })
}

/// Each search strategy, where the index is there for it, and the one that is chosen.
fn strategies() -> [Option<DenseStrategy>; 5] {
    let cells = DenseStrategy::Cells(Effort { reach: 2.0, pool: 2.0 });
    [None, Some(DenseStrategy::Scan), Some(cells), Some(DenseStrategy::ExactCells), walk(300)]
}

/// No index, and each kind of it.
fn any_index() -> [Option<IndexOptions>; 3] {
    let cells = IndexOptions { mode: IndexMode::Always, ..IndexOptions::default() };
    [None, poor_graph(), Some(cells)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_scan_is_the_definition(
        items in 1usize..700, rank in 1usize..70, seed in 0u64..1000, count in 0usize..300,
        keep in 0usize..4, excluded in prop::collection::btree_set(0u32..700, 0..40),
    ) {
        let mut given = input(items, 3, rank, 1);
        given.dense[0].data = factors(items, rank, seed);
        let bundle = opened(given);
        let shard = &bundle.shards()[0];
        let matrix = shard.dense("item_factors").expect("there");
        let rows = matrix.rows() as u32;
        let excluded: Vec<u32> = excluded.into_iter().filter(|&row| row < rows).collect();
        // From no row over a few to all of them.
        let bitmap = RowBitmap::of(items, (0..rows).filter(|row| match keep {
            0 => row % 97 == 5,
            1 => row % 2 == 0,
            2 => *row < 130,
            _ => true,
        }));
        let cancel = CancelFlag::new();
        let mut scratch = SearchScratch::new();
        let query = Random(seed).vector(rank);
        for allow in [Allow::All, Allow::Rows(&bitmap)] {
            let params = SearchParams { allow, exclude_rows: &excluded, ..SearchParams::new(count, &cancel) };
            let admits = |row: u32| {
                !excluded.contains(&row) && (matches!(allow, Allow::All) || bitmap.contains(row))
            };
            let measure = VectorMeasure::InnerProduct;
            let hits = dense_top_k(shard, "item_factors", &query, measure, &params, &mut scratch);
            let right = expected(shard.items(), count, admits, |row| Some(kernels::dot(&query, matrix.row(row))));
            prop_assert_eq!(hits.expect("found"), right);

            let cosine = |row: u32| {
                let lengths = kernels::dot_f64(&query, &query) * kernels::dot_f64(matrix.row(row), matrix.row(row));
                kernels::dot_f64(&query, matrix.row(row)) / lengths.sqrt()
            };
            let measure = VectorMeasure::Cosine;
            let hits = dense_top_k(shard, "item_factors", &query, measure, &params, &mut scratch)
                .expect("found");
            let right = expected(shard.items(), count, admits, |row| Some(cosine(row) as f32));
            prop_assert_eq!(hits.len(), right.len());
            for (hit, right) in hits.iter().zip(&right) {
                prop_assert!(admits(hit.row));
                prop_assert!((f64::from(hit.score) - cosine(hit.row)).abs() < 1e-5);
                prop_assert!((hit.score - right.score).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn the_row_sum_is_the_definition(
        items in 1usize..120, shards in 1u32..4, seed in 0u64..1000, count in 0usize..150,
        picked in prop::collection::vec((0u32..120, -3i8..4), 0..30),
    ) {
        let mut random = Random(seed);
        let mut matrix = CsrInput { offsets: vec![0], ..CsrInput::default() };
        for _ in 0..items {
            let columns: BTreeSet<u32> = (0..random.below(9)).map(|_| random.below(items) as u32).collect();
            matrix.values.extend(columns.iter().map(|_| random.below(5) as f32 - 1.0));
            matrix.columns.extend(columns.iter().rev());
            matrix.offsets.push(matrix.columns.len());
        }
        let mut given = input(items, 3, 2, shards);
        given.sparse = vec![SparseInput { name: "rules".into(), shape: SparseShape::ITEM_ROWS, matrix: matrix.clone() }];
        let bundle = opened(given.clone());
        let ordinal_of = |index: usize| {
            let id = &given.items[index].id;
            let shards = bundle.shards().iter();
            shards.flat_map(|shard| Some(shard.items().ordinal(shard.items().find(id)?))).next().expect("there")
        };
        let by_ordinal: std::collections::BTreeMap<u32, usize> = (0..items).map(|at| (ordinal_of(at), at)).collect();
        let (rows, weights): (Vec<u32>, Vec<f32>) =
            picked.iter().filter(|(row, _)| (*row as usize) < items).map(|&(row, weight)| (row, f32::from(weight))).unzip();
        let cancel = CancelFlag::new();
        let mut scratch = SearchScratch::new();
        for shard in bundle.shards() {
            let bitmap = RowBitmap::of(shard.items().len(), (0..shard.items().len() as u32).filter(|row| row % 3 > 0));
            for allow in [Allow::All, Allow::Rows(&bitmap)] {
                let params = SearchParams { allow, ..SearchParams::new(count, &cancel) };
                let hits = sparse_row_sum(shard, "rules", &rows, &weights, &params, &mut scratch).expect("found");
                let sum = |row: u32| {
                    let item = by_ordinal[&shard.items().ordinal(row)] as u32;
                    let (mut sum, mut touched) = (0.0, false);
                    for (&from, &weight) in rows.iter().zip(&weights) {
                        let from = by_ordinal[&from];
                        for at in matrix.offsets[from]..matrix.offsets[from + 1] {
                            if matrix.columns[at] == item {
                                sum += weight * matrix.values[at];
                                touched = true;
                            }
                        }
                    }
                    touched.then_some(sum)
                };
                let admits = |row: u32| matches!(allow, Allow::All) || bitmap.contains(row);
                prop_assert_eq!(hits, expected(shard.items(), count, admits, sum));
            }
        }
    }
}

/// Recall of walks against the exact scan on vectors like trained factors: of all rows, of half of
/// them by a filter, with many rows excluded, and for many results.
#[test]
fn walks_find_what_the_scan_finds() {
    let (items, rank, users) = (6_000, 24, 100);
    let mut given = input(items, users, rank, 2);
    given.dense[0].index = Some(graph());
    let bundle = opened(given);
    let MatrixLayout::Dense { index: Some(info), .. } =
        &bundle.manifest().matrix("item_factors").expect("there").layout
    else {
        panic!("an index was asked for");
    };
    let audited = info.recall.expect("measured");
    assert!(audited.at_10 >= 0.95 && audited.at_100 >= 0.95, "{audited:?}");
    let cancel = CancelFlag::new();
    let mut scratch = SearchScratch::new();
    for (name, count, filtered, excluded) in [
        ("plain", 100, false, 0),
        ("few", 10, false, 0),
        ("filtered", 10, true, 0),
        ("excluding", 10, false, 60),
    ] {
        let (mut found, mut wanted, mut walked) = (0, 0, 0);
        for shard in bundle.shards() {
            let graph = &info.shards[shard.shard() as usize].graph.as_ref().expect("kept");
            assert_eq!(graph.unreachable, 0.0, "every row is reachable");
            let rows = shard.items().len();
            let bitmap = RowBitmap::of(
                rows,
                (0..rows as u32).filter(|row| row.wrapping_mul(2_654_435_761) >> 31 == 0),
            );
            for query in factors(users, rank, 2).chunks_exact(rank) {
                let allow = if filtered { Allow::Rows(&bitmap) } else { Allow::All };
                let params = SearchParams { allow, ..SearchParams::new(count + excluded, &cancel) };
                let mut search = |params: SearchParams<'_>| {
                    dense_top_k(
                        shard,
                        "item_factors",
                        query,
                        VectorMeasure::InnerProduct,
                        &params,
                        &mut scratch,
                    )
                    .expect("found")
                };
                let best = search(SearchParams { exact: true, ..params });
                let mut exclude: Vec<u32> = best[..excluded].iter().map(|hit| hit.row).collect();
                exclude.sort_unstable();
                // A strategy of its own makes it walk whatever the costs.
                let strategy = walk(200);
                let hits =
                    search(SearchParams { count, exclude_rows: &exclude, strategy, ..params });
                walked += usize::from(hits != best[excluded..]);
                wanted += count;
                found += best[excluded..].iter().filter(|hit| hits.contains(hit)).count();
                assert!(hits.iter().all(|hit| !exclude.contains(&hit.row)));
                assert!(!filtered || hits.iter().all(|hit| bitmap.contains(hit.row)));
                assert!(hits.windows(2).all(|pair| {
                    pair[0].score > pair[1].score
                        || pair[0].score == pair[1].score && pair[0].ordinal < pair[1].ordinal
                }));
            }
        }
        let recall = found as f64 / wanted as f64;
        assert!(recall >= 0.95, "{name}: {recall}");
        assert!(name != "plain" || walked > 0, "all answers are exact: did it walk at all?");
    }
}

/// The default width, too, reaches what was audited.
#[test]
fn the_default_width_reaches_the_target() {
    let (items, rank, users) = (8_000, 16, 200);
    let mut given = input(items, users, rank, 1);
    given.dense[0].index = Some(graph());
    let bundle = opened(given);
    let shard = &bundle.shards()[0];
    let matrix = shard.dense("item_factors").expect("there");
    let graph = matrix.graph().expect("built");
    let cancel = CancelFlag::new();
    let mut scratch = SearchScratch::new();
    for count in [10, 100] {
        let (mut found, mut different) = (0, 0);
        for query in factors(users, rank, 77).chunks_exact(rank) {
            let params = SearchParams::new(count, &cancel);
            let mut search = |params: SearchParams<'_>| {
                dense_top_k(
                    shard,
                    "item_factors",
                    query,
                    VectorMeasure::InnerProduct,
                    &params,
                    &mut scratch,
                )
                .expect("found")
            };
            let width = graph.width_for(count).expect("reached");
            let strategy = Some(DenseStrategy::Graph { width, thorough: false });
            let (best, hits) = (
                search(SearchParams { exact: true, ..params }),
                search(SearchParams { strategy, ..params }),
            );
            different += usize::from(best != hits);
            found += best.iter().filter(|hit| hits.contains(hit)).count();
        }
        let recall = found as f64 / (users * count) as f64;
        assert!(recall >= 0.94, "recall@{count} {recall}");
        assert!(different > 0, "it must have walked");
    }
}

/// Rows that point straight along the query reach the bound by which blocks are skipped, and in
/// another matrix than the one that rows are ordered by, long ones lie in any block.
#[test]
fn no_block_is_skipped_that_matters() {
    let mut random = Random(6);
    for rank in [1, 2, 40] {
        let mut given = input(3_000, 2, 3, 1);
        let direction = random.vector(rank);
        let data = (0..3_000).flat_map(|_| {
            let length = 1.0 - 1e-5 * random.uniform() as f32;
            direction.iter().map(move |value| value * length).collect::<Vec<_>>()
        });
        given.dense.push(DenseInput {
            name: "parallel".into(),
            entity: Entity::Item,
            rank,
            data: data.collect(),
            index: None,
            rows: RowFormat::F32,
        });
        let bundle = opened(given);
        let (shard, cancel) = (&bundle.shards()[0], CancelFlag::new());
        let (matrix, mut scratch) = (shard.dense("parallel").expect("there"), SearchScratch::new());
        for count in [1, 10, 200] {
            let params = SearchParams::new(count, &cancel);
            let hits = dense_top_k(
                shard,
                "parallel",
                &direction,
                VectorMeasure::InnerProduct,
                &params,
                &mut scratch,
            );
            let score = |row: u32| Some(kernels::dot(&direction, matrix.row(row)));
            assert_eq!(
                hits.expect("found"),
                expected(shard.items(), count, |_| true, score),
                "rank {rank}"
            );
        }
    }
}

/// A filter that keeps just what the walk doesn't come by.
#[test]
fn a_filter_against_the_query_is_exact() {
    let rows: Vec<Vec<f32>> = factors(2_000, 8, 5).chunks_exact(8).map(<[f32]>::to_vec).collect();
    let bundle = of_rows(&rows, poor_graph());
    let cancel = CancelFlag::new();
    for query in factors(10, 8, 6).chunks_exact(8) {
        let all =
            top(&bundle, query, &SearchParams { exact: true, ..SearchParams::new(2_000, &cancel) });
        let worst = &all.expect("found")[700..];
        let bitmap = RowBitmap::of(2_000, worst.iter().map(|hit| hit.row));
        let params = SearchParams {
            allow: Allow::Rows(&bitmap),
            strategy: walk(30),
            ..SearchParams::new(10, &cancel)
        };
        assert_eq!(top(&bundle, query, &params).expect("found"), worst[..10]);
    }
}

#[test]
fn a_walk_that_comes_back_short_scans() {
    let rows: Vec<Vec<f32>> = factors(900, 6, 5).chunks_exact(6).map(<[f32]>::to_vec).collect();
    let bundle = of_rows(&rows, poor_graph());
    assert!(bundle.shards()[0].dense("item_factors").expect("there").graph().is_some());
    let cancel = CancelFlag::new();
    let query = Random(1).vector(6);
    for count in [1, 899, 900, 5_000] {
        let params = SearchParams { strategy: walk(1), ..SearchParams::new(count, &cancel) };
        let hits = top(&bundle, &query, &params).expect("found");
        assert_eq!(hits.len(), count.min(900));
        if count >= 900 {
            assert_eq!(
                hits,
                top(&bundle, &query, &SearchParams { exact: true, ..params }).expect("found")
            );
        }
    }
}

#[test]
fn ties_go_to_the_smaller_ordinal() {
    for index in any_index() {
        for row in [vec![1.0f32, 2.0], vec![0.0, 0.0]] {
            let bundle = of_rows(&vec![row; 300], index.clone());
            let (shard, cancel, mut scratch) =
                (&bundle.shards()[0], CancelFlag::new(), SearchScratch::new());
            for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
                for query in [[3.0f32, -1.0], [-1.0, 0.5], [0.0, 0.0]] {
                    for strategy in strategies() {
                        let params = SearchParams { strategy, ..SearchParams::new(20, &cancel) };
                        let hits = dense_top_k(
                            shard,
                            "item_factors",
                            &query,
                            measure,
                            &params,
                            &mut scratch,
                        )
                        .expect("found");
                        let ordinals: Vec<u32> = hits.iter().map(|hit| hit.ordinal).collect();
                        assert_eq!(
                            ordinals,
                            (0..20).collect::<Vec<_>>(),
                            "{query:?} {measure:?} {strategy:?}"
                        );
                    }
                }
            }
        }
    }
}

/// Rows and queries whose lengths span forty orders of magnitude: the right answer, or an error that
/// says why not. Never a NaN, an infinity or a wrong order.
#[test]
fn extreme_lengths_are_answered_or_refused() {
    let mut random = Random(8);
    let rows: Vec<Vec<f32>> = (0..400)
        .map(|at| {
            let scale =
                10f64.powf(random.uniform() * 40.0 - 20.0) * if at % 50 == 0 { 0.0 } else { 1.0 };
            random.vector(5).iter().map(|&value| (f64::from(value) * scale) as f32).collect()
        })
        .collect();
    for index in any_index() {
        let bundle = of_rows(&rows, index);
        let (shard, cancel, mut scratch) =
            (&bundle.shards()[0], CancelFlag::new(), SearchScratch::new());
        let matrix = shard.dense("item_factors").expect("there");
        let (mut answered, mut refused) = (0, 0);
        for scale in [1e-38, 1e-20, 1.0, 1e15, 1e20, 1e30, 1e38] {
            let query: Vec<f32> = random.vector(5).iter().map(|&value| value * scale).collect();
            if query.iter().any(|value| !value.is_finite()) {
                continue;
            }
            let score = |row: u32| kernels::dot_f64(&query, matrix.row(row));
            let params = SearchParams::new(30, &cancel);
            match dense_top_k(
                shard,
                "item_factors",
                &query,
                VectorMeasure::InnerProduct,
                &params,
                &mut scratch,
            ) {
                Ok(hits) => {
                    answered += 1;
                    let right =
                        expected(shard.items(), 30, |_| true, |row| Some(score(row) as f32));
                    for (hit, right) in hits.iter().zip(&right) {
                        assert!(hit.score.is_finite());
                        let near = |a: f64, b: f64| {
                            (a - b).abs() <= 1e-5 * a.abs().max(b.abs()).max(1e-37)
                        };
                        assert!(near(f64::from(hit.score), score(hit.row)), "{scale}: {hit:?}");
                        assert!(
                            near(f64::from(hit.score), f64::from(right.score)),
                            "{scale}: {hit:?} {right:?}"
                        );
                    }
                }
                Err(SearchError::ScoreRange { .. }) => {
                    refused += 1;
                    let largest = (0..400).map(score).fold(0.0, |a: f64, b| a.max(b.abs()));
                    assert!(largest > f64::from(f32::MAX) * 0.9, "{scale}: {largest} fits");
                }
                Err(other) => panic!("{other}"),
            }
            let hits = dense_top_k(
                shard,
                "item_factors",
                &query,
                VectorMeasure::Cosine,
                &params,
                &mut scratch,
            )
            .expect("in range");
            let length = kernels::dot_f64(&query, &query).sqrt();
            let cosine = |row: u32| {
                let own = kernels::dot_f64(matrix.row(row), matrix.row(row)).sqrt();
                if own == 0.0 { 0.0 } else { score(row) / own / length }
            };
            let right = expected(shard.items(), 30, |_| true, |row| Some(cosine(row) as f32));
            for (hit, right) in hits.iter().zip(&right) {
                assert!((f64::from(hit.score) - cosine(hit.row)).abs() < 1e-5, "{scale}: {hit:?}");
                assert!((hit.score - right.score).abs() < 1e-5, "{scale}: {hit:?} {right:?}");
            }
        }
        assert!(answered >= 4 && refused >= 1, "{answered} {refused}");
    }
}

#[test]
fn wrong_questions_get_errors_that_say_so() {
    let bundle = opened(input(40, 10, 4, 1));
    let (shard, cancel, mut scratch) =
        (&bundle.shards()[0], CancelFlag::new(), SearchScratch::new());
    let params = SearchParams::new(5, &cancel);
    let mut dense = |matrix: &str, query: &[f32], params: &SearchParams<'_>| {
        dense_top_k(shard, matrix, query, VectorMeasure::InnerProduct, params, &mut scratch)
            .expect_err("wrong")
            .to_string()
    };
    assert!(dense("nothing", &[0.0; 4], &params).contains("no dense matrix \"nothing\""));
    assert!(dense("history", &[0.0; 4], &params).contains("no dense matrix \"history\""));
    assert!(dense("item_factors", &[0.0; 3], &params).contains("has 4 columns, the query 3"));
    assert!(dense("item_factors", &[], &params).contains("has 4 columns, the query 0"));
    assert_eq!(
        dense("item_factors", &[0.0, f32::NAN, 0.0, 0.0], &params),
        "query[1] is not a finite number"
    );
    assert_eq!(
        dense("item_factors", &[0.0, 0.0, 0.0, f32::INFINITY], &params),
        "query[3] is not a finite number"
    );
    let many = SearchParams { count: MAX_SEARCH_COUNT + 1, ..params };
    assert!(dense("item_factors", &[0.0; 4], &many).contains("at most 10000"));
    let other = RowBitmap::all(41);
    assert!(
        dense("item_factors", &[0.0; 4], &SearchParams { allow: Allow::Rows(&other), ..params })
            .contains("another shard")
    );

    let mut sparse = |matrix: &str, rows: &[u32], weights: &[f32]| {
        sparse_row_sum(shard, matrix, rows, weights, &params, &mut scratch)
            .expect_err("wrong")
            .to_string()
    };
    assert!(sparse("item_factors", &[0], &[1.0]).contains("no sparse matrix"));
    assert!(sparse("history", &[0], &[1.0]).contains("partitioned by row"));
    assert!(sparse("popularity", &[0, 0], &[1.0]).contains("2 rows but 1 weights"));
    assert!(sparse("popularity", &[1], &[1.0]).contains("has 1 rows: there is no row 1"));
    assert_eq!(sparse("popularity", &[0], &[f32::NAN]), "weights[0] is not a finite number");
    assert!(sparse("popularity", &[0, 0], &[f32::MAX, f32::MAX]).contains("beyond the range"));
    // Sums that went wrong leave no trace in the next.
    let hits =
        sparse_row_sum(shard, "popularity", &[0], &[1.0], &params, &mut scratch).expect("found");
    assert_eq!(hits.iter().map(|hit| hit.score).fold(0.0, f32::max), 16.0);

    cancel.cancel();
    let error = sparse_row_sum(shard, "popularity", &[0], &[1.0], &params, &mut scratch);
    assert_eq!(error, Err(SearchError::Cancelled));
    let error = dense_top_k(
        shard,
        "item_factors",
        &[0.0; 4],
        VectorMeasure::InnerProduct,
        &params,
        &mut scratch,
    );
    assert_eq!(error, Err(SearchError::Cancelled));
}

#[test]
fn nothing_wanted_or_allowed_is_an_empty_answer() {
    for index in any_index() {
        let rows: Vec<Vec<f32>> = factors(50, 4, 3).chunks_exact(4).map(<[f32]>::to_vec).collect();
        let bundle = of_rows(&rows, index);
        let cancel = CancelFlag::new();
        assert_eq!(top(&bundle, &[1.0; 4], &SearchParams::new(0, &cancel)), Ok(vec![]));
        let none = RowBitmap::none(50);
        let params = SearchParams { allow: Allow::Rows(&none), ..SearchParams::new(10, &cancel) };
        assert_eq!(top(&bundle, &[1.0; 4], &params), Ok(vec![]));
        let all: Vec<u32> = (0..50).collect();
        let params = SearchParams { exclude_rows: &all, ..SearchParams::new(10, &cancel) };
        assert_eq!(top(&bundle, &[1.0; 4], &params), Ok(vec![]));
        let params = SearchParams { exclude_rows: &all[1..], ..SearchParams::new(10, &cancel) };
        assert_eq!(top(&bundle, &[1.0; 4], &params).expect("found").len(), 1);
        assert_eq!(
            top(&bundle, &[1.0; 4], &SearchParams::new(60, &cancel)).expect("found").len(),
            50
        );
    }
}

#[test]
fn one_item_and_empty_shards_are_fine() {
    for mode in [IndexMode::Always, IndexMode::Auto] {
        let mut given = input(1, 1, 3, 8);
        given.dense[0].index = Some(IndexOptions { mode, min_rows: 0, ..IndexOptions::default() });
        given.dense[1].index = Some(IndexOptions { mode, min_rows: 0, ..IndexOptions::default() });
        let bundle = opened(given);
        let (cancel, mut scratch, mut found) = (CancelFlag::new(), SearchScratch::new(), 0);
        for shard in bundle.shards() {
            let params = SearchParams::new(10, &cancel);
            for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
                let hits =
                    dense_top_k(shard, "item_factors", &[1.0; 3], measure, &params, &mut scratch)
                        .expect("found");
                assert_eq!(hits.len(), shard.items().len());
            }
            found += sparse_row_sum(shard, "popularity", &[0], &[1.0], &params, &mut scratch)
                .expect("found")
                .len();
            let filter = FilterSpec { exclude_ids: vec!["0".into()], ..FilterSpec::default() };
            assert_eq!(filter_rows(shard, &filter).expect("fine").expect("some").count(), 0);
        }
        assert_eq!(found, 1);
    }
}

#[test]
fn scratch_serves_shards_of_any_size() {
    let (large, small) = (opened(input(500, 5, 6, 1)), opened(input(7, 5, 3, 1)));
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    for _ in 0..3 {
        for (bundle, rank) in [(&large, 6), (&small, 3), (&large, 6)] {
            let shard = &bundle.shards()[0];
            let params = SearchParams { strategy: walk(50), ..SearchParams::new(20, &cancel) };
            let query = Random(4).vector(rank);
            let mut search = |params: &SearchParams<'_>| {
                dense_top_k(
                    shard,
                    "item_factors",
                    &query,
                    VectorMeasure::InnerProduct,
                    params,
                    &mut scratch,
                )
                .expect("found")
            };
            let fresh = dense_top_k(
                shard,
                "item_factors",
                &query,
                VectorMeasure::InnerProduct,
                &params,
                &mut SearchScratch::new(),
            );
            assert_eq!(search(&params), fresh.expect("found"));
            let sums = sparse_row_sum(shard, "popularity", &[0], &[2.0], &params, &mut scratch)
                .expect("found");
            assert_eq!(sums.len(), 20.min(shard.items().len()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Queries that are scanned for together, more of them than go together at once, each with its own
    /// count, filter and exclusions: the same hits as one by one, and an error stays with its query.
    #[test]
    fn searches_together_answer_as_one_by_one(
        items in 1usize..700, rank in 1usize..70, seed in 0u64..1000, batch in 1usize..20,
        int8 in any::<bool>(), index in 0usize..3,
    ) {
        let mut given = input(items, 3, rank, 1);
        given.dense[0].data = factors(items, rank, seed);
        given.dense[0].index = any_index()[index].clone();
        given.dense[0].rows = if int8 { RowFormat::Int8 } else { RowFormat::F32 };
        let bundle = opened(given);
        let shard = &bundle.shards()[0];
        let cancel = CancelFlag::new();
        let bitmap = RowBitmap::of(items, (0..items as u32).filter(|row| row % 3 == 0));
        let mut random = Random(seed);
        let mut vectors: Vec<Vec<f32>> = (0..batch).map(|_| random.vector(rank)).collect();
        vectors[batch / 2][0] = if batch > 2 { f32::NAN } else { 1.0 };
        let excluded: Vec<Vec<u32>> =
            (0..batch).map(|at| (0..items as u32).step_by(at + 2).collect()).collect();
        let queries: Vec<DenseQuery<'_>> = vectors.iter().zip(&excluded).enumerate()
            .map(|(at, (vector, excluded))| DenseQuery {
                vector,
                params: SearchParams {
                    allow: if at % 3 == 1 { Allow::Rows(&bitmap) } else { Allow::All },
                    exclude_rows: if at % 2 == 1 { excluded } else { &[] },
                    exact: at % 5 == 0,
                    ..SearchParams::new(at * 7, &cancel)
                },
            })
            .collect();
        let mut scratch = SearchScratch::new();
        for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
            let together = dense_top_k_each(shard, "item_factors", measure, &queries, &mut scratch);
            prop_assert_eq!(together.len(), batch);
            for (query, answer) in queries.iter().zip(together) {
                let DenseQuery { vector, params } = query;
                let alone = dense_top_k(shard, "item_factors", vector, measure, params, &mut scratch);
                match (answer, alone) {
                    (Ok(answer), Ok(alone)) => {
                        prop_assert_eq!(&answer.hits, &alone);
                        let bits = |hits: &[Hit]| -> Vec<u32> {
                            hits.iter().map(|hit| hit.score.to_bits()).collect()
                        };
                        prop_assert_eq!(bits(&answer.hits), bits(&alone));
                    }
                    (Err(answer), Err(alone)) => prop_assert_eq!(answer, alone),
                    (answer, alone) => prop_assert!(false, "{:?} but {:?}", answer, alone),
                }
            }
        }
    }
}
