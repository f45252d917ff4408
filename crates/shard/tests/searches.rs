//! Searches answer what a plain computation over the whole catalogue answers, however it is cut.

mod support;

use marquee_core::ranking::strategy::SearchStrategy;
use marquee_proto::shard::v1::{DenyList, Operation, Query, QueryResult, SearchOp};
use marquee_proto::v1::{AttributeRange, Filter};
use std::collections::BTreeMap;
use support::{Catalogue, Cluster, ITEMS, USERS, bytes_of, version};

fn op(shards: u32, matrix: &str, operation: Operation, queries: Vec<Query>) -> SearchOp {
    SearchOp {
        version: version(1),
        shards: (0..shards).collect(),
        matrix: matrix.into(),
        operation: operation.into(),
        queries,
        filters: Vec::new(),
        deny_lists: Vec::new(),
    }
}

fn inner_product(shards: u32, queries: Vec<Query>) -> SearchOp {
    op(shards, "item_factors", Operation::DenseInnerProduct, queries)
}

fn check_shape(catalogue: &Catalogue, result: &QueryResult) {
    let QueryResult { ordinals, scores, item_ids, titles, .. } = result;
    assert!(scores.is_sorted_by(|a, b| a >= b));
    for (place, &ordinal) in ordinals.iter().enumerate() {
        let item = catalogue.item(ordinal as usize);
        assert_eq!((&item_ids[place], &titles[place]), (&item.id, &item.title));
    }
    assert_eq!([scores.len(), item_ids.len(), titles.len()], [ordinals.len(); 3]);
}

#[tokio::test]
async fn however_the_catalogue_is_cut_the_lists_are_the_same() {
    let catalogue = Catalogue::new(1);
    let mut whole = None;
    for shards in [1, 2, 5] {
        let cluster = Cluster::with(&catalogue, shards).await;
        let queries = (0..USERS).map(|user| catalogue.query(user, 25)).collect();
        let popular = Query { count: 40, rows: vec![0], weights: vec![1.0], ..Query::default() };
        let similar = Query {
            count: 9,
            vector: bytes_of(&catalogue.item_factors[4]).into(),
            ..popular.clone()
        };
        let similar = Query { rows: Vec::new(), weights: Vec::new(), ..similar };
        let ops = vec![
            inner_product(shards, queries),
            op(shards, "popularity", Operation::SparseRowSum, vec![popular]),
            inner_product(shards, Vec::new()),
            op(shards, "item_factors", Operation::DenseCosine, vec![similar]),
        ];
        let response = cluster.search_all(ops).await.expect("an answer");
        let sizes: Vec<usize> = response.results.iter().map(|r| r.queries.len()).collect();
        assert_eq!(sizes, [USERS, 1, 0, 1]);
        for (user, result) in response.results[0].queries.iter().enumerate() {
            check_shape(&catalogue, result);
            let expected = catalogue.ranking(&catalogue.user_factors[user], false);
            assert_eq!(result.ordinals, expected[..25]);
        }
        let expected = catalogue.ranking(&catalogue.item_factors[4], true);
        assert_eq!(response.results[3].queries[0].ordinals, expected[..9]);
        assert_eq!(response.results[3].queries[0].ordinals[0], 4, "most like itself");
        let used = |op: usize| -> Vec<SearchStrategy> {
            response.results[op].queries[0].strategies().filter_map(|used| used.known()).collect()
        };
        assert_eq!([used(0), used(1)], [[SearchStrategy::Scan], [SearchStrategy::RowSum]]);
        let counts: Vec<_> = cluster.api.spent().strategies.used().collect();
        let (scans, sums) = ((USERS as u64 + 1) * u64::from(shards), u64::from(shards));
        assert_eq!(counts, [(SearchStrategy::Scan, scans), (SearchStrategy::RowSum, sums)]);
        // Not alike: equal, to the last bit of the scores.
        assert_eq!(whole.get_or_insert_with(|| response.clone()), &response);
        cluster.shard.shutdown().await;
    }
}

#[tokio::test]
async fn some_shards_answer_for_their_items_only() {
    let catalogue = Catalogue::new(2);
    let cluster = Cluster::with(&catalogue, 5).await;
    let mut part = inner_product(5, vec![catalogue.query(0, 1_000)]);
    part.shards = vec![3, 1];
    let found = cluster.search(part).await.expect("an answer");
    let mut expected = catalogue.ranking(&catalogue.user_factors[0], false);
    expected.retain(|&item| [1, 3].contains(&support::home(&item.to_string(), 5)));
    assert_eq!(found[0].ordinals, expected);
}

#[tokio::test]
async fn popularity_is_a_row_and_ties_go_to_the_smaller_ordinal() {
    let catalogue = Catalogue::new(3);
    let cluster = Cluster::with(&catalogue, 2).await;
    let query = Query { count: 300, rows: vec![0], weights: vec![2.0], ..Query::default() };
    let popular = op(2, "popularity", Operation::SparseRowSum, vec![query]);
    let found = cluster.search(popular).await.expect("an answer");
    let mut expected: Vec<u32> = (0..ITEMS as u32).collect();
    expected.sort_by(|&a, &b| {
        let popularity = |item| catalogue.popularity[item as usize];
        popularity(b).total_cmp(&popularity(a)).then(a.cmp(&b))
    });
    assert_eq!(found[0].ordinals, expected);
    assert_eq!(found[0].scores[0], 2.0 * catalogue.popularity[expected[0] as usize]);
}

#[tokio::test]
async fn rows_are_summed_with_their_weights() {
    let catalogue = Catalogue::new(4);
    let cluster = Cluster::with(&catalogue, 5).await;
    let (rows, weights) = (vec![7, 9, 7, 250], vec![1.0, -0.5, 0.25, 3.0]);
    let mut sums = BTreeMap::new();
    for (row, weight) in rows.iter().zip(&weights) {
        for (&item, &value) in &catalogue.neighbours[*row as usize] {
            *sums.entry(item).or_insert(0.0) += f64::from(*weight) * f64::from(value);
        }
    }
    let mut expected: Vec<(u32, f64)> = sums.into_iter().collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let query = Query { count: 100, rows, weights, ..Query::default() };
    let summed = op(5, "neighbours", Operation::SparseRowSum, vec![query]);
    let found = cluster.search(summed).await.expect("an answer");
    let expected: Vec<(u32, f32)> =
        expected.into_iter().map(|(item, sum)| (item, sum as f32)).collect();
    let found: Vec<(u32, f32)> =
        found[0].ordinals.iter().copied().zip(found[0].scores.iter().copied()).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_excluded_never_comes_back_and_costs_no_places() {
    let catalogue = Catalogue::new(5);
    let cluster = Cluster::with(&catalogue, 2).await;
    let ranking = catalogue.ranking(&catalogue.user_factors[3], false);
    let mut query = catalogue.query(3, 10);
    // Out of order, twice, and one that no shard knows.
    query.exclude_ordinals = vec![ranking[2], ranking[0], ranking[2], ranking[11]];
    query.exclude_item_ids =
        vec![ranking[1].to_string(), ranking[0].to_string(), "never heard of".into()];
    let found = cluster.search(inner_product(2, vec![query])).await.expect("an answer");
    let expected: Vec<u32> = ranking[3..].iter().copied().filter(|&i| i != ranking[11]).collect();
    assert_eq!(found[0].ordinals, expected[..10]);
}

#[tokio::test]
async fn each_query_has_its_own_deny_list_and_none_by_default() {
    let catalogue = Catalogue::new(5);
    for shards in [1, 5] {
        let cluster = Cluster::with(&catalogue, shards).await;
        let ranking = catalogue.ranking(&catalogue.user_factors[3], false);
        let ids = |items: &[u32]| items.iter().map(u32::to_string).collect::<Vec<_>>();
        let mut item_ids = ids(&[ranking[4], ranking[0], ranking[4]]);
        item_ids.push("never heard of".into());
        let deny_lists = vec![DenyList { item_ids }, DenyList { item_ids: ids(&ranking[..298]) }];
        let query = |deny_list, filter| Query {
            deny_list,
            filter,
            exclude_ordinals: vec![ranking[1]],
            ..catalogue.query(3, 10)
        };
        let even = Filter { include_tags: vec!["even".into()], ..Filter::default() };
        let queries = vec![query(0, 0), query(1, 0), query(2, 0), query(1, 1)];
        let op = SearchOp { deny_lists, filters: vec![even], ..inner_product(shards, queries) };
        let found = cluster.search(op).await.expect("an answer");
        let rest = |keep: &dyn Fn(u32) -> bool| -> Vec<u32> {
            let kept = ranking.iter().copied().filter(|&item| item != ranking[1] && keep(item));
            kept.take(10).collect()
        };
        let denied = |item| item == ranking[0] || item == ranking[4];
        assert_eq!(found[0].ordinals, rest(&|_| true));
        assert_eq!(found[1].ordinals, rest(&|item| !denied(item)));
        assert_eq!(found[2].ordinals, ranking[298..]);
        assert_eq!(found[3].ordinals, rest(&|item| !denied(item) && item % 2 == 0));
        cluster.shard.shutdown().await;
    }
}

#[tokio::test]
async fn filters_are_exact_at_any_selectivity() {
    let catalogue = Catalogue::new(6);
    let cluster = Cluster::with(&catalogue, 5).await;
    let ids = |items: &[u32]| items.iter().map(u32::to_string).collect::<Vec<_>>();
    let year = |min, max| AttributeRange { attribute: "year".into(), min, max };
    let filters = vec![
        Filter { include_tags: vec!["even".into(), "none has it".into()], ..Filter::default() },
        Filter { exclude_tags: vec!["even".into()], ..Filter::default() },
        Filter { ranges: vec![year(Some(1960.0), Some(1961.0))], ..Filter::default() },
        Filter { ranges: vec![year(None, None)], ..Filter::default() },
        Filter { include_item_ids: ids(&[5, 17, 230]), ..Filter::default() },
        Filter {
            include_item_ids: ids(&[5, 17, 230]),
            exclude_item_ids: ids(&[17]),
            ranges: vec![year(Some(2000.0), None)],
            include_seen: true,
            ..Filter::default()
        },
        Filter::default(),
        Filter { include_tags: vec!["none has it".into()], ..Filter::default() },
    ];
    let allows: [fn(u32) -> bool; 8] = [
        |item| item % 2 == 0,
        |item| item % 2 == 1,
        |item| item % 10 != 0 && (10..=11).contains(&(item % 70)),
        |item| item % 10 != 0,
        |item| [5, 17, 230].contains(&item),
        |item| [5, 230].contains(&item) && item % 10 != 0 && item % 70 >= 50,
        |_| true,
        |_| false,
    ];
    // Each filter for two users, in turns, and one query without any.
    let mut queries: Vec<Query> = (0..16)
        .map(|n| Query { filter: n % 8 + 1, ..catalogue.query(n as usize % 2, 1_000) })
        .collect();
    queries.push(catalogue.query(0, 1_000));
    let mut filtered = inner_product(5, queries);
    filtered.filters = filters;
    let found = cluster.search(filtered).await.expect("an answer");
    for (n, result) in found.iter().enumerate() {
        let mut expected = catalogue.ranking(&catalogue.user_factors[n % 2], false);
        if let Some(allows) = (n < 16).then(|| allows[n % 8]) {
            expected.retain(|&item| allows(item));
        }
        assert_eq!(result.ordinals, expected, "query {n}");
    }
}

#[tokio::test]
async fn users_are_searched_like_items() {
    let catalogue = Catalogue::new(7);
    let cluster = Cluster::with(&catalogue, 2).await;
    let mut query = catalogue.query(11, 3);
    let alike = |query| op(2, "user_factors", Operation::DenseCosine, vec![query]);
    let found = cluster.search(alike(query.clone())).await.expect("an answer");
    assert_eq!((found[0].item_ids[0].as_str(), found[0].titles[0].as_str()), ("user-11", ""));
    query.exclude_ordinals = vec![found[0].ordinals[0]];
    let others = cluster.search(alike(query)).await.expect("an answer");
    assert_eq!(others[0].item_ids[..2], found[0].item_ids[1..]);
}
