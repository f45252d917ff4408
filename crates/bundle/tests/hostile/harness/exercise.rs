//! Runs every kind of query on a shard, and checks what is guaranteed of every bundle that opens, whatever
//! wrote it: answers in order, of rows that exist, with finite scores.

use marquee_bundle::*;

/// Rows, tags and matrices that are asked for one by one: more would only take longer.
const MAX_ASKED: usize = 24;
/// Results of a search.
const COUNT: usize = 12;
/// A walk over the graph that keeps few rows.
const NARROW: DenseStrategy = DenseStrategy::Graph { width: COUNT, thorough: true };
/// The search strategies, where the index is there for them, and how many results they are to find.
const STRATEGIES: [(Option<DenseStrategy>, usize); 6] = [
    (None, COUNT),
    (Some(DenseStrategy::Scan), COUNT),
    (Some(DenseStrategy::Cells(Effort { reach: 1.0, pool: 1.5 })), COUNT),
    (Some(DenseStrategy::ExactCells), COUNT),
    (Some(NARROW), COUNT),
    (Some(DenseStrategy::Graph { width: 500, thorough: true }), 200),
];

/// Runs every kind of query on `shard`.
pub(super) fn exercise(shard: &BundleShard, manifest: &Manifest, scratch: &mut SearchScratch) {
    for table in [shard.users(), shard.items(), shard.ids(Entity::Term)] {
        for row in 0..table.len().min(MAX_ASKED) as u32 {
            if let Some(found) = table.find(table.id(row)) {
                assert_eq!(table.id(found), table.id(row));
            }
            let ordinal = table.ordinal(row);
            assert!((ordinal as usize) < table.total());
            assert_eq!(table.row_of_ordinal(ordinal), Some(row));
            assert!(table.title(row).len() <= MAX_TITLE_BYTES);
        }
        assert_eq!(table.rows_by_ordinal().len(), table.len());
        for ordinal in [0, 1, table.total() as u32 / 2, u32::MAX] {
            let _ = table.row_of_ordinal(ordinal);
        }
        let _ = (table.find("none"), table.find(""));
    }
    let bitmap = filters(shard);
    let allows = [Allow::All, bitmap.as_ref().map_or(Allow::All, Allow::Rows)];
    for matrix in manifest.matrices.iter().take(MAX_ASKED) {
        match &matrix.layout {
            MatrixLayout::Dense { entity, .. } => {
                let allows = if *entity == Entity::Item { &allows[..] } else { &allows[..1] };
                dense(shard, &matrix.name, allows, scratch);
            }
            MatrixLayout::SparseByRow { .. } | MatrixLayout::SparseByColumn { .. } => {
                sparse(shard, &matrix.name, &allows, scratch);
            }
        }
    }
    assert!(shard.bytes_mapped() > 0);
}

/// Every tag and attribute of items, and a filter of some of them.
fn filters(shard: &BundleShard) -> Option<RowBitmap> {
    let (labels, rows) = (shard.labels(), shard.items().len());
    for row in 0..rows.min(MAX_ASKED) as u32 {
        assert!(labels.tags_of(row).all(|tag| tag.len() <= MAX_TAG_BYTES));
    }
    let (tags, attributes) = (labels.tags(), labels.attributes());
    let tags: Vec<String> = tags.take(MAX_ASKED).map(str::to_owned).collect();
    for tag in &tags {
        assert!(labels.rows_with_tag(tag).iter().all(|&row| (row as usize) < rows));
    }
    let ranges = attributes.take(MAX_ASKED).map(|attribute| AttributeRange {
        attribute: attribute.to_owned(),
        min: Some(1_960.0),
        max: None,
    });
    let ranges: Vec<AttributeRange> = ranges.collect();
    for range in &ranges {
        assert!(labels.attribute(&range.attribute).is_none_or(|values| values.len() == rows));
    }
    let id = |row: u32| shard.items().id(row).to_owned();
    let some = |row: u32| (rows as u32 > row).then(|| id(row)).into_iter().collect();
    let narrow = FilterSpec {
        include_ids: (0..rows.min(MAX_ASKED) as u32).map(id).collect(),
        exclude_ids: some(1),
        include_tags: tags.clone(),
        exclude_tags: tags.iter().take(1).cloned().collect(),
        ranges,
    };
    let _ = filter_rows(shard, &narrow).expect("a fine filter");
    let wide = FilterSpec { exclude_ids: some(2), ..FilterSpec::default() };
    filter_rows(shard, &wide).expect("a fine filter")
}

fn dense(shard: &BundleShard, name: &str, allows: &[Allow<'_>], scratch: &mut SearchScratch) {
    let matrix = shard.dense(name).expect("the manifest has it");
    let rows = matrix.rows();
    let query: Vec<f32> = (0..matrix.rank()).map(|column| [1.0, -0.5, 0.25][column % 3]).collect();
    let cancel = CancelFlag::new();
    for row in 0..rows.min(MAX_ASKED) as u32 {
        assert!(matrix.row(row).iter().all(|value| value.is_finite()));
    }
    for measure in [VectorMeasure::InnerProduct, VectorMeasure::Cosine] {
        for (&allow, (strategy, count)) in
            allows.iter().flat_map(|it| STRATEGIES.map(|strategy| (it, strategy)))
        {
            let exclude_rows = if strategy.is_none() { &[0, 3][..] } else { &[] };
            let params =
                SearchParams { allow, strategy, exclude_rows, ..SearchParams::new(count, &cancel) };
            check(dense_top_k(shard, name, &query, measure, &params, scratch), &params, rows);
        }
    }
    // A stored row as a query, as SimilarItems uses it, and one that leads out of `f32`.
    if rows > 0 {
        let params = SearchParams::new(COUNT, &cancel);
        let own = matrix.row(rows as u32 - 1).to_vec();
        check(
            dense_top_k(shard, name, &own, VectorMeasure::Cosine, &params, scratch),
            &params,
            rows,
        );
        let vast = vec![f32::MAX; matrix.rank()];
        let params = SearchParams { strategy: Some(NARROW), ..params };
        check(
            dense_top_k(shard, name, &vast, VectorMeasure::InnerProduct, &params, scratch),
            &params,
            rows,
        );
        // Scanned for together, each gets what it gets alone, an error too.
        let params = SearchParams { strategy: Some(DenseStrategy::Scan), ..params };
        let queries = [&query, &vast, &own].map(|vector| DenseQuery { vector, params });
        let measure = VectorMeasure::InnerProduct;
        let together = dense_top_k_each(shard, name, measure, &queries, scratch);
        for (DenseQuery { vector, params }, answer) in queries.iter().zip(together) {
            let alone = dense_top_k(shard, name, vector, measure, params, scratch);
            assert_eq!(answer.map(|answer| answer.hits), alone);
        }
    }
}

fn sparse(shard: &BundleShard, name: &str, allows: &[Allow<'_>], scratch: &mut SearchScratch) {
    let matrix = shard.sparse(name).expect("the manifest has it");
    for row in 0..matrix.rows().min(MAX_ASKED) as u32 {
        let (columns, values) = matrix.row(row);
        assert_eq!(columns.len(), values.len());
        assert!(columns.iter().all(|&column| (column as usize) < matrix.columns()));
    }
    let last = matrix.rows().saturating_sub(1) as u32;
    let cancel = CancelFlag::new();
    for &allow in allows {
        let params = SearchParams { allow, ..SearchParams::new(COUNT, &cancel) };
        for (rows, weights) in [
            (&[0, last / 2, last][..], &[1.0, -2.0, 0.5][..]),
            (&[last, last], &[f32::MAX, f32::MAX]),
        ] {
            let found = sparse_row_sum(shard, name, rows, weights, &params, scratch);
            check(found, &params, matrix.columns());
        }
    }
}

/// Checks what is guaranteed of every answer.
fn check(found: Result<Vec<Hit>, SearchError>, params: &SearchParams<'_>, rows: usize) {
    let hits = match found {
        Ok(hits) => hits,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(hits.len() <= params.count);
    let mut seen = RowBitmap::none(rows);
    for hit in &hits {
        assert!(hit.score.is_finite() && seen.insert(hit.row), "{hit:?}");
        assert!(!params.exclude_rows.contains(&hit.row), "{hit:?} was excluded");
        if let Allow::Rows(bitmap) = params.allow {
            assert!(bitmap.contains(hit.row), "{hit:?} is not allowed");
        }
    }
    let ordered = |pair: &[Hit]| {
        pair[0].score > pair[1].score
            || pair[0].score == pair[1].score && pair[0].ordinal < pair[1].ordinal
    };
    assert!(hits.windows(2).all(ordered), "{hits:?}");
}
