//! Recall, measured: what searches find of what they should, by how many results are wanted, how many
//! of the best are excluded, and how many rows a filter leaves.

use super::random::Random;
use marquee_bundle::*;
use std::time::Duration;

/// Clusters that items of a [`catalogue`] are in, and directions in which those of one differ.
const CLUSTERS: usize = 100;
const DIRECTIONS: usize = 16;
/// How far items of a cluster differ along its own directions, and along all.
const OWN_SPREAD: f64 = 0.45;
const COMMON_SPREAD: f64 = 0.25;
/// Clusters that a user's vector is near.
const LIKED: usize = 3;

/// Items and users that resemble what matrix factorisation makes.
pub(crate) struct Catalogue {
    pub(crate) rank: usize,
    /// items × rank.
    pub(crate) items: Vec<f32>,
    /// users × rank.
    pub(crate) users: Vec<f32>,
}

/// Items in clusters of unlike size, whose lengths are log-normal, and users near three clusters.
pub(crate) fn catalogue(items: usize, users: usize, rank: usize, seed: u64) -> Catalogue {
    let mut random = Random(seed);
    let axes: Vec<f64> = (0..rank).map(|axis| (1.0 + axis as f64).powf(-0.5)).collect();
    let centres: Vec<Vec<f64>> = (0..CLUSTERS)
        .map(|_| unit(axes.iter().map(|axis| axis * random.normal()).collect()))
        .collect();
    let spreads: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| random.vector(DIRECTIONS * rank)).collect();
    let mut values = Vec::with_capacity(items * rank);
    for _ in 0..items {
        let cluster = cluster_of(&mut random);
        let mut row = centres[cluster].clone();
        for direction in spreads[cluster].chunks_exact(rank) {
            let along = OWN_SPREAD * random.normal() / (rank as f64).sqrt();
            for (value, part) in row.iter_mut().zip(direction) {
                *value += along * f64::from(*part);
            }
        }
        for (value, axis) in row.iter_mut().zip(&axes) {
            *value += COMMON_SPREAD * axis * random.normal();
        }
        let length = (0.5 * random.normal()).exp();
        values.extend(unit(row).iter().map(|value| (value * length) as f32));
    }
    let mut wanted = Vec::with_capacity(users * rank);
    for _ in 0..users {
        let shares: Vec<f64> = (0..LIKED).map(|_| -(1.0 - random.uniform()).ln()).collect();
        let sum: f64 = shares.iter().sum();
        let mut row = vec![0.0; rank];
        for share in shares {
            let cluster = cluster_of(&mut random);
            for (value, part) in row.iter_mut().zip(&centres[cluster]) {
                *value += share / sum * part;
            }
        }
        for (value, axis) in row.iter_mut().zip(&axes) {
            *value += 0.15 * axis * random.normal() + 0.05 * random.normal();
        }
        wanted.extend(unit(row).iter().map(|value| *value as f32));
    }
    Catalogue { rank, items: values, users: wanted }
}

/// A cluster, the earlier ones more often.
fn cluster_of(random: &mut Random) -> usize {
    // The density falls like the power −0.7 of the number.
    (random.uniform().powf(1.0 / 0.3) * CLUSTERS as f64) as usize
}

fn unit(row: Vec<f64>) -> Vec<f64> {
    let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.into_iter().map(|value| value / length).collect()
}

/// A kind of search.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// How many results are wanted.
    pub(crate) count: usize,
    /// How many of the best rows that the filter allows are excluded.
    pub(crate) excluded: usize,
    /// The filter, by its place in what [`measure`] is given; none: all rows.
    pub(crate) filter: Option<usize>,
    /// The strategy; none: the planner's.
    pub(crate) strategy: Option<DenseStrategy>,
}

/// What searches of one kind found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The recall of each query.
    pub(crate) recalls: Vec<f64>,
    /// How many queries were not searched exactly.
    pub(crate) approximate: usize,
    /// Processor time of all searches.
    pub(crate) cpu: Duration,
}

impl Found {
    /// The mean recall.
    pub(crate) fn mean(&self) -> f64 {
        self.recalls.iter().sum::<f64>() / self.recalls.len().max(1) as f64
    }

    /// The processor time of a query, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.recalls.len().max(1) as f64
    }

    /// The mean recall of the worst percent of the queries, at least one.
    pub(crate) fn worst_percent(&self) -> f64 {
        let mut rising = self.recalls.clone();
        rising.sort_by(f64::total_cmp);
        let worst = rising.len().div_ceil(100);
        rising[..worst].iter().sum::<f64>() / worst as f64
    }
}

/// Searches for what is wanted, for each of these queries, in all shards of a bundle; `filters` has rows that
/// are allowed by shard. A result counts where it is as good as the worst of the truly best.
pub(crate) fn measure(
    bundle: &Bundle,
    queries: &[f32],
    of: VectorMeasure,
    filters: &[Vec<RowBitmap>],
    wanted: &[Wanted],
) -> Vec<Found> {
    let mut found = vec![Found::default(); wanted.len()];
    let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
    let rank = bundle.shards()[0].dense("item_factors").expect("there").rank();
    for query in queries.chunks_exact(rank) {
        let order = best_first(bundle, query, of);
        for (kind, into) in wanted.iter().zip(&mut found) {
            let allowed = |&&(_, shard, row): &&Scored| {
                kind.filter.is_none_or(|filter| filters[filter][shard].contains(row))
            };
            let mut rows = order.iter().filter(allowed);
            let mut excluded = vec![Vec::new(); bundle.shards().len()];
            for &(_, shard, row) in rows.by_ref().take(kind.excluded) {
                excluded[shard].push(row);
            }
            let truth: Vec<&Scored> = rows.take(kind.count).collect();
            let Some((last, ..)) = truth.last() else { continue };
            let mut approximate = false;
            let mut hits = Vec::new();
            for (place, shard) in bundle.shards().iter().enumerate() {
                excluded[place].sort_unstable();
                let allow = match kind.filter {
                    None => Allow::All,
                    Some(filter) => Allow::Rows(&filters[filter][place]),
                };
                let params = SearchParams {
                    allow,
                    exclude_rows: &excluded[place],
                    strategy: kind.strategy,
                    ..SearchParams::new(kind.count, &cancel)
                };
                let began = cpu_time::ThreadTime::now();
                let answer = dense_top_k(shard, "item_factors", query, of, &params, &mut scratch);
                into.cpu += began.elapsed();
                hits.extend(answer.expect("searched").into_iter().map(|hit| hit.score));
                approximate |= matches!(
                    scratch.last_strategy(),
                    Some(DenseStrategy::Cells(_) | DenseStrategy::Graph { .. })
                );
            }
            hits.sort_by(|a, b| b.total_cmp(a));
            hits.truncate(kind.count);
            assert_eq!(hits.len(), truth.len(), "an answer came back short: {kind:?}");
            // Truth is computed in another order than a search's scores.
            let bar = last - 1e-5 * last.abs() - 1e-6;
            let right = hits.iter().filter(|&&score| score >= bar).count();
            into.recalls.push(right as f64 / truth.len() as f64);
            into.approximate += usize::from(approximate);
        }
    }
    found
}

/// A score, the place of the shard and the row.
type Scored = (f32, usize, u32);

/// All rows of all shards, best first.
fn best_first(bundle: &Bundle, query: &[f32], of: VectorMeasure) -> Vec<Scored> {
    let mut order: Vec<Scored> = Vec::new();
    let length = kernels::dot_f64(query, query).sqrt();
    for (place, shard) in bundle.shards().iter().enumerate() {
        let matrix = shard.dense("item_factors").expect("there");
        for row in 0..matrix.rows() as u32 {
            let values = matrix.row(row);
            let product = kernels::dot(query, values);
            let score = match of {
                VectorMeasure::InnerProduct => product,
                VectorMeasure::Cosine => {
                    let lengths = length * kernels::dot_f64(values, values).sqrt();
                    (f64::from(product) / lengths) as f32
                }
            };
            order.push((score, place, row));
        }
    }
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    order
}

/// Filters that leave about these shares of each shard's rows, whatever the rows are.
pub(crate) fn filters(bundle: &Bundle, shares: &[f64]) -> Vec<Vec<RowBitmap>> {
    let mut filters = Vec::new();
    for share in shares {
        let mut random = Random(share.to_bits());
        let of_shard = |shard: &BundleShard| {
            let rows = shard.items().len();
            RowBitmap::of(rows, (0..rows as u32).filter(|_| random.uniform() < *share))
        };
        filters.push(bundle.shards().iter().map(of_shard).collect());
    }
    filters
}

/// The bundle of a catalogue, whose index is made as told.
pub(crate) fn bundle_of(
    catalogue: &Catalogue,
    shards: u32,
    index: IndexOptions,
    rows: RowFormat,
) -> Bundle {
    let rank = catalogue.rank;
    let dense = |name: &str, entity, data: &[f32], index, rows| DenseInput {
        name: name.into(),
        entity,
        rank,
        data: data.to_vec(),
        index,
        rows,
    };
    let numbered = |count: usize| (0..count).map(|number| number.to_string());
    let given = BundleInput {
        model: "measured".into(),
        recipe: marquee_core::model::recipe::Recipe::MatrixFactorisation {
            user_factors: "user_factors".into(),
            item_factors: "item_factors".into(),
            fold_in: None,
        },
        kind: "mf".into(),
        shards,
        items: numbered(catalogue.items.len() / rank)
            .map(|id| ItemRecord { id, ..ItemRecord::default() })
            .collect(),
        users: numbered(catalogue.users.len() / rank).collect(),
        terms: Vec::new(),
        dense: vec![
            dense("item_factors", Entity::Item, &catalogue.items, Some(index), rows),
            dense("user_factors", Entity::User, &catalogue.users, None, RowFormat::F32),
        ],
        history: None,
        popularity: vec![],
        sparse: vec![],
        quality: Quality::default(),
        parameters: Default::default(),
        forgotten: None,
        created_at_ms: 0,
    };
    let dir = tempfile::tempdir().expect("temporary directory");
    write_bundle(given, &dir.path().join("b"), &|_| {}).expect("written");
    // The directory goes, the mapping stays.
    Bundle::open(&dir.path().join("b"), &TrustedKeys::none(), &LoadOptions::default())
        .expect("opened")
}
