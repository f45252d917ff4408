//! Each family on tables small enough to compute by hand, and what holds for all of them.

use super::score::{KnownUser, Ranker};
use super::*;
use crate::csr::Csr;
use crate::error::TrainError;
use crate::interactions::Interactions;
use crate::interactions::{Duplicates, RawRow};
use crate::settings::{ModelSettings, Value};
use crate::weight::Weight;
use marquee_bundle::{IndexOptions, ItemRecord, RowFormat};
use marquee_core::model::recipe::{BlendMember, Recipe, Seen};
use proptest::prelude::*;

mod reference;

/// Interactions of users 0.. with items 0.., each (user, item, value, time).
fn table(users: usize, items: usize, rows: &[(u32, u32, f32, f64)]) -> Interactions {
    let ids = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let (users, items) = (ids(users), ids(items));
    let raw: Vec<RawRow> =
        rows.iter().map(|&(user, item, value, time)| RawRow { user, item, value, time }).collect();
    Interactions::from_rows(
        &users.iter().map(String::as_str).collect::<Vec<_>>(),
        &items.iter().map(String::as_str).collect::<Vec<_>>(),
        &raw,
        true,
        true,
        Duplicates::Last,
    )
    .0
}

const SEED: u64 = 1;

fn options() -> TrainingOptions {
    TrainingOptions {
        weight: Weight::None,
        seed: SEED,
        index: IndexOptions::default(),
        row_format: RowFormat::F32,
        predict_cold_items: false,
    }
}

/// A family with its defaults.
fn of(model: ModelKind) -> ModelConfig {
    ModelConfig::of(model)
}

fn records(rows: &Interactions) -> Vec<ItemRecord> {
    let genre = |n: usize| if n.is_multiple_of(2) { "even" } else { "odd" };
    let record = |(n, id): (usize, &String)| ItemRecord {
        id: id.clone(),
        title: format!("Number {}", n / 2),
        tags: vec![genre(n).into()],
        ..ItemRecord::default()
    };
    rows.items.iter().enumerate().map(record).collect()
}

fn trained(
    rows: &Interactions,
    items: &[ItemRecord],
    config: &ModelConfig,
) -> Result<TrainedPart, TrainError> {
    config.check()?;
    config.train(rows, items, &options(), "fitting")
}

fn fitted(rows: &Interactions, config: &ModelConfig) -> TrainedPart {
    trained(rows, &records(rows), config).unwrap_or_else(|error| panic!("{error}"))
}

/// The entries of a sparse matrix of a part, as (row, column, value).
fn entries(part: &TrainedPart, name: &str) -> Vec<(usize, u32, f32)> {
    let matrix = &part.sparse.iter().find(|matrix| matrix.name == name).expect("there").matrix;
    let row = |row: usize| {
        let range = matrix.offsets[row]..matrix.offsets[row + 1];
        range.map(move |at| (row, matrix.columns[at], matrix.values[at]))
    };
    (0..matrix.rows()).flat_map(row).collect()
}

fn assert_close(found: &[(usize, u32, f32)], expected: &[(usize, u32, f64)]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1), "{found:?}");
        assert!((f64::from(found.2) - expected.2).abs() < 1e-5, "{found:?} is not {expected:?}");
    }
}

/// Users 0: a b, 1: a b c, 2: c. Items a and b have the same two users, c shares one with each.
fn three_items() -> Interactions {
    table(
        3,
        3,
        &[
            (0, 0, 1.0, 1.0),
            (0, 1, 1.0, 2.0),
            (1, 0, 1.0, 1.0),
            (1, 1, 1.0, 2.0),
            (1, 2, 1.0, 3.0),
            (2, 2, 1.0, 1.0),
        ],
    )
}

#[test]
fn similarities_of_items_by_hand() {
    let rows = three_items();
    let of = |similarity: &str, shrinkage: Option<f64>| {
        let mut config = of(ModelKind::ItemKnn).with("similarity", similarity);
        if let Some(shrinkage) = shrinkage {
            config = config.with("shrinkage", shrinkage);
        }
        entries(&fitted(&rows, &config), item_knn::ITEM_NEIGHBOURS)
    };
    let all =
        |ab: f64, ac: f64| [(0, 1, ab), (0, 2, ac), (1, 0, ab), (1, 2, ac), (2, 0, ac), (2, 1, ac)];
    assert_close(&of("cosine", None), &all(1.0, 0.5));
    assert_close(&of("cosine", Some(2.0)), &all(0.5, 0.25));
    assert_close(&of("jaccard", None), &all(1.0, 1.0 / 3.0));
    // Rarity: ln(3 / 3) = 0 for user 0, at least 0 for user 1, ln(3 / 2) for user 2: no user with two
    // items says anything.
    assert_close(&of("tf-idf", None), &[]);
    // Of each item only the most similar stays, the smaller of equal ones.
    let one =
        ModelConfig::of(ModelKind::ItemKnn).with("similarity", "cosine").with("neighbours", 1);
    let kept = entries(&fitted(&rows, &one), item_knn::ITEM_NEIGHBOURS);
    assert_close(&kept, &[(0, 1, 1.0), (1, 0, 1.0), (2, 0, 0.5)]);
}

/// The same weights as from the definition, by Gauss elimination, with more users than items and fewer.
#[test]
fn ease_is_its_definition_from_either_side() {
    let tall = three_items();
    let wide = table(
        2,
        4,
        &[(0, 0, 1.0, 1.0), (0, 1, 1.0, 2.0), (0, 3, 1.0, 3.0), (1, 1, 1.0, 1.0), (1, 2, 1.0, 2.0)],
    );
    for rows in [tall, wide] {
        let config = of(ModelKind::Ease).with("regularization", 0.5);
        let found = entries(&fitted(&rows, &config), ease::EASE);
        let n = rows.items.len();
        let mut system = vec![vec![0.0; 2 * n]; n];
        for user in 0..rows.users.len() {
            for &a in rows.items_of(user) {
                for &b in rows.items_of(user) {
                    system[a as usize][b as usize] += 1.0;
                }
            }
        }
        for (k, row) in system.iter_mut().enumerate() {
            row[k] += 0.5;
            row[n + k] = 1.0;
        }
        for k in 0..n {
            let pivot = system[k][k];
            system[k].iter_mut().for_each(|x| *x /= pivot);
            let pivot_row = system[k].clone();
            for row in (0..n).filter(|row| *row != k) {
                let factor = system[row][k];
                system[row].iter_mut().zip(&pivot_row).for_each(|(x, p)| *x -= factor * p);
            }
        }
        let p = |a: usize, b: usize| system[a][n + b];
        for a in 0..n {
            for b in (0..n).filter(|b| *b != a) {
                let weight = -p(a, b) / p(b, b);
                let entry = found.iter().find(|entry| (entry.0, entry.1) == (a, b as u32));
                let value = entry.map_or(0.0, |entry| f64::from(entry.2));
                assert!((value - weight).abs() < 1e-5, "{a} {b}: {value} is not {weight}");
            }
            assert!(found.iter().all(|entry| entry.0 != entry.1 as usize), "the diagonal is 0");
        }
    }
}

#[test]
fn walks_of_three_steps_by_hand() {
    let config = of(ModelKind::Rp3beta).with("beta", 1.0);
    // From a to users 0 and 1 evenly; 0 goes to b by 1/2, 1 to b and c by 1/3 each; all have two users.
    let (ab, ac) = ((0.25 + 1.0 / 6.0) / 2.0, 1.0 / 6.0 / 2.0);
    // From c to user 1 by 1/2, and on to a and b by 1/3 each.
    let ca = 1.0 / 6.0 / 2.0;
    let found = entries(&fitted(&three_items(), &config), rp3beta::RP3BETA);
    assert_close(&found, &[(0, 1, ab), (0, 2, ac), (1, 0, ab), (1, 2, ac), (2, 0, ca), (2, 1, ca)]);
}

#[test]
fn transitions_follow_the_order_of_time() {
    let config = of(ModelKind::Transitions).with("window", 2).with("window-decay", 0.5);
    // a → b twice, b → c once, a → c once at distance 2; every item has two users.
    let scale = 2f64.powf(0.5);
    let found = entries(&fitted(&three_items(), &config), transitions::TRANSITIONS);
    assert_close(&found, &[(0, 1, 2.0 / scale), (0, 2, 0.5 / scale), (1, 2, 1.0 / scale)]);
    let timeless = Interactions { time: Vec::new(), ..three_items() };
    let error = trained(&timeless, &[], &config).expect_err("refused").to_string();
    assert!(error.contains("needs times"), "{error}");
}

#[test]
fn what_is_trending_halves_with_every_half_life() {
    let day = 86_400.0;
    let rows = table(2, 2, &[(0, 0, 1.0, 0.0), (1, 0, 1.0, 10.0 * day), (1, 1, 1.0, 20.0 * day)]);
    let config = of(ModelKind::Trending).with("half-life", 10.0);
    let found = entries(&fitted(&rows, &config), trending::TRENDING);
    assert_close(&found, &[(0, 0, 0.75), (0, 1, 1.0)]);
}

#[test]
fn neighbours_of_users_by_hand() {
    let rows = three_items();
    let part = fitted(&rows, &of(ModelKind::UserKnn).with("decay", 1.0));
    let (half, third) = (0.5f64.sqrt(), (1.0f64 / 3.0).sqrt());
    assert_close(
        &entries(&part, user_knn::USERS_BY_ITEM),
        &[(0, 0, half), (0, 1, third), (1, 0, half), (1, 1, third), (2, 1, third), (2, 2, 1.0)],
    );
    let popularity = [2.0, 2.0, 2.0];
    let lists = Ranker::new(&part, &popularity)
        .leaf_lists(&part.known_users(&rows, &[0, 2], Weight::None), 3);
    // User 0's only neighbour with anything in common is 1, who has c beside.
    assert_eq!(lists[0].iter().map(|(item, _)| *item).collect::<Vec<_>>(), [2]);
    assert!((f64::from(lists[0][0].1) - 2.0 * third).abs() < 1e-6);
    assert_eq!(lists[1].iter().map(|(item, _)| *item).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn correlation_asks_for_what_was_liked_more_than_usual() {
    let rows = table(
        2,
        3,
        &[(0, 0, 5.0, 1.0), (0, 1, 3.0, 2.0), (1, 0, 4.0, 1.0), (1, 1, 1.0, 2.0), (1, 2, 4.0, 3.0)],
    );
    let part = fitted(&rows, &of(ModelKind::UserKnn).with("similarity", "pearson"));
    assert_eq!(part.history_values, Some(vec![1.0, 0.0, 1.0, 0.0, 1.0]));
    let length = 6f64.sqrt();
    let by_item = entries(&part, user_knn::USERS_BY_ITEM);
    let half = 0.5f64.sqrt();
    assert_close(
        &by_item,
        &[
            (0, 0, half),
            (0, 1, 1.0 / length),
            (1, 0, -half),
            (1, 1, -2.0 / length),
            (2, 1, 1.0 / length),
        ],
    );
}

#[test]
fn values_are_met_by_factors_with_biases() {
    let rows =
        table(2, 2, &[(0, 0, 5.0, 1.0), (0, 1, 3.0, 1.0), (1, 0, 4.0, 1.0), (1, 1, 2.0, 1.0)]);
    for optimizer in ["sgd", "adam"] {
        let config = of(ModelKind::MfSgd)
            .with("factors", 2)
            .with("regularization", 0.0)
            .with("iterations", 2_000)
            .with("learning-rate", 0.02)
            .with("optimizer", optimizer);
        let part = fitted(&rows, &config);
        let rank = part.dense[0].rank;
        for (user, item, value) in [(0, 0, 5.0), (0, 1, 3.0), (1, 0, 4.0), (1, 1, 2.0)] {
            let (x, y) = (&part.dense[0].data[user * rank..], &part.dense[1].data[item * rank..]);
            let found: f32 = x[..rank].iter().zip(&y[..rank]).map(|(x, y)| x * y).sum();
            assert!((found - value).abs() < 0.05, "{optimizer}: {found} is not {value}");
        }
    }
}

/// A new user's fold-in is the row that a user with the same history was trained to.
#[test]
fn folding_in_is_what_training_gives() {
    let rows = preferences(40, 12);
    for alpha in [1.0, 3.0] {
        let config = of(ModelKind::Mf)
            .with("factors", 4)
            .with("regularization", 1.0)
            .with("alpha", alpha)
            .with("iterations", 200);
        let part = fitted(&rows, &config);
        let popularity = vec![1.0; 12];
        let ranker = Ranker::new(&part, &popularity);
        let known = part.known_users(&rows, &[0, 1, 2, 3], Weight::None);
        let new: Vec<KnownUser> =
            known.iter().map(|user| KnownUser { row: None, ..user.clone() }).collect();
        for (known, new) in ranker.leaf_lists(&known, 12).iter().zip(ranker.leaf_lists(&new, 12)) {
            for (item, score) in known {
                let (_, other) = new.iter().find(|(other, _)| other == item).expect("listed");
                assert!((score - other).abs() < 0.02, "{alpha}: {score} is not {other}");
            }
        }
    }
}

/// Users like items of their own parity, in an order by number.
fn preferences(users: u32, items: u32) -> Interactions {
    let rows: Vec<(u32, u32, f32, f64)> = (0..users)
        .flat_map(|user| {
            (0..items)
                .filter(move |item| item % 2 == user % 2 && (user * 7 + item * 3) % 5 > 0)
                .map(move |item| (user, item, 4.0 + (item % 3) as f32 / 2.0, f64::from(item)))
        })
        .collect();
    table(users as usize, items as usize, &rows)
}

#[test]
fn every_family_lists_the_unseen_once_and_fits_its_recipe() {
    let rows = preferences(30, 20);
    let popularity: Vec<f32> = rows.item_counts().into_iter().map(|count| count as f32).collect();
    for &kind in ModelKind::ALL {
        let part = fitted(&rows, &of(kind));
        part.recipe.check().unwrap_or_else(|fault| panic!("{}: {fault}", kind.name()));
        let users: Vec<u32> = (0..30).collect();
        let lists = Ranker::new(&part, &popularity)
            .lists(&part.known_users(&rows, &users, Weight::None), 20);
        for (user, list) in lists.iter().enumerate() {
            let mut all: Vec<u32> = list.iter().chain(rows.items_of(user)).copied().collect();
            all.sort_unstable();
            assert_eq!(all, (0..20).collect::<Vec<_>>(), "{}: user {user}", kind.name());
        }
        let finite = part.dense.iter().all(|matrix| matrix.data.iter().all(|x| x.is_finite()))
            && part.sparse.iter().all(|matrix| matrix.matrix.values.iter().all(|x| x.is_finite()));
        assert!(finite, "{}", kind.name());
    }
}

/// Families that train on preferences put what is of the user's own parity first.
#[test]
fn preferences_are_fitted() {
    let rows = preferences(60, 20);
    let popularity: Vec<f32> = rows.item_counts().into_iter().map(|count| count as f32).collect();
    for kind in [
        ModelKind::Mf,
        ModelKind::Bpr,
        ModelKind::ItemKnn,
        ModelKind::UserKnn,
        ModelKind::Ease,
        ModelKind::Rp3beta,
        ModelKind::Content,
        ModelKind::Hybrid,
    ] {
        let part = fitted(&rows, &of(kind));
        let users: Vec<u32> = (0..60).collect();
        let lists = Ranker::new(&part, &popularity)
            .lists(&part.known_users(&rows, &users, Weight::None), 1);
        let own = lists.iter().zip(0u32..).filter(|(list, user)| list[0] % 2 == user % 2).count();
        assert!(own >= 54, "{}: {own} of 60", kind.name());
    }
}

#[test]
fn a_new_user_is_served_by_history_alone() {
    let rows = preferences(60, 20);
    let popularity: Vec<f32> = rows.item_counts().into_iter().map(|count| count as f32).collect();
    let seen = |ordinal| Seen { ordinal, value: 1.0, age: 0 };
    let user = KnownUser { history: vec![seen(3), seen(7)], ..KnownUser::default() };
    for kind in [
        ModelKind::Mf,
        ModelKind::ItemKnn,
        ModelKind::UserKnn,
        ModelKind::Ease,
        ModelKind::Rp3beta,
        ModelKind::Content,
    ] {
        let part = fitted(&rows, &of(kind));
        let list = &Ranker::new(&part, &popularity).lists(std::slice::from_ref(&user), 3)[0];
        assert!(list.iter().all(|item| item % 2 == 1), "{}: {list:?}", kind.name());
    }
}

/// In a blend, what is popular is the fallback for the first personal member, with its weight.
#[test]
fn an_unknown_user_of_a_blend_gets_what_is_popular() {
    let rows = preferences(60, 20);
    let mut part = fitted(&rows, &of(ModelKind::Trending));
    let personal = fitted(&rows, &of(ModelKind::ItemKnn));
    let members = [(personal.recipe, 1.0), (part.recipe.clone(), 0.1)];
    part.recipe = Recipe::Blend {
        members: members.map(|(recipe, weight)| BlendMember { recipe, weight }).into(),
    };
    part.sparse.extend(personal.sparse);
    // Not what is trending.
    let mut popularity = vec![0.0; 20];
    (popularity[7], popularity[4], popularity[11]) = (3.0, 2.0, 1.0);
    let list = |history| {
        let user = KnownUser { history, ..KnownUser::default() };
        Ranker::new(&part, &popularity).lists(&[user], 3).remove(0)
    };
    assert_eq!(list(Vec::new()), [7, 4, 11]);
    let known = list(vec![Seen { ordinal: 3, value: 1.0, age: 0 }]);
    assert_eq!(known[0] % 2, 1, "with a history it is the history that counts: {known:?}");
}

/// Rows in another numbering of users and items, and so with other ids: who was `u` is `users[u]` now.
fn renumbered(
    rows: &std::collections::BTreeSet<(u32, u32)>,
    users: &[u32],
    items: &[u32],
) -> Interactions {
    let row = |&(u, i): &(u32, u32)| {
        (users[u as usize], items[i as usize], 1.0 + (i % 3) as f32, f64::from(i * 7 % 8))
    };
    table(users.len(), items.len(), &rows.iter().map(row).collect::<Vec<_>>())
}

fn order(count: u32, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    crate::random::shuffle(&mut order, seed);
    order
}

/// Starts of mf, mf-sgd and bpr are drawn by place, and bpr draws pairs by place too: of those another order is
/// another seed. From a start that is reordered along, mf comes to the same.
#[test]
fn factors_follow_the_order_of_their_start() {
    let rows: std::collections::BTreeSet<(u32, u32)> =
        (0..40).map(|n| (n * 7 % 6, n * n % 8)).collect();
    let (users, items) = (order(6, 1), order(8, 2));
    let (one, other) =
        (renumbered(&rows, &order(6, 0), &order(8, 0)), renumbered(&rows, &users, &items));
    let (zero_users, zero_items) = (order(6, 0), order(8, 0));
    let config = of(ModelKind::Mf).with("factors", 3);
    let settings = mf::AlsSettings::of(&config.settings, &options());
    let start = crate::als::random_start(6, 8, 3, 9);
    let moved = |data: &[f32], from: &[u32], to: &[u32]| {
        let mut out = vec![0.0; data.len()];
        for (&from, &to) in from.iter().zip(to) {
            let (from, to) = (from as usize * 3, to as usize * 3);
            out[to..to + 3].copy_from_slice(&data[from..from + 3]);
        }
        out
    };
    let fitted = |rows: &Interactions, start| {
        let confidences = crate::weight::confidences(rows, Weight::None, settings.alpha);
        crate::als::fit_from(&confidences, &settings.options, start, &|_| ()).expect("fitted")
    };
    let start_of_other = crate::als::Factors {
        rank: 3,
        users: moved(&start.users, &zero_users, &users),
        items: moved(&start.items, &zero_items, &items),
    };
    let (one, other) = (fitted(&one, start), fitted(&other, start_of_other));
    for (a, b) in [
        (moved(&one.users, &zero_users, &users), other.users),
        (moved(&one.items, &zero_items, &items), other.items),
    ] {
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} is not {b:?}");
    }
}

/// One user likes the first of two items: the only pair there is, and one step by equation 5 of Rendle et al.
#[test]
fn a_step_of_bpr_by_hand() {
    let rows = table(1, 2, &[(0, 0, 1.0, 1.0)]);
    let (rate, lambda) = (0.5f32, 0.1f32);
    let config = of(ModelKind::Bpr)
        .with("factors", 1)
        .with("iterations", 1)
        .with("learning-rate", f64::from(rate))
        .with("regularization", f64::from(lambda));
    let part = fitted(&rows, &config);
    // The start: two numbers of the user, then two of each item, of which the second makes room for the bias.
    let mut random = crate::random::Random::new(SEED);
    let draws: Vec<f32> = (0..6).map(|_| 0.1 * (2.0 * random.uniform() - 1.0)).collect();
    let (x, liked, other) = (draws[0], draws[2], draws[4]);
    let pull = 1.0 / (1.0 + (x * (liked - other)).exp());
    let expected = [
        vec![x + rate * (pull * (liked - other) - lambda * x), 1.0],
        vec![
            liked + rate * (pull * x - lambda * liked),
            rate * pull,
            other + rate * (-pull * x - lambda * other),
            -rate * pull,
        ],
    ];
    for (matrix, expected) in part.dense.iter().zip(expected) {
        assert_eq!(matrix.data.len(), expected.len());
        let near = matrix.data.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{}: {:?} is not {expected:?}", matrix.name, matrix.data);
    }
}

/// Two items of one word and three of another: the matrix items × words has orthogonal columns, whose lengths
/// are the singular values, so every topic is a word.
#[test]
fn topics_by_hand() {
    // The user liked a south one, and then a north one.
    let rows = table(1, 5, &[(0, 2, 1.0, 1.0), (0, 0, 1.0, 2.0)]);
    let record = |(id, title): (&String, &str)| ItemRecord {
        id: id.clone(),
        title: title.into(),
        ..ItemRecord::default()
    };
    let titles = ["north", "north", "south", "south", "south"];
    let items: Vec<ItemRecord> = rows.items.iter().zip(titles).map(record).collect();
    let config = of(ModelKind::Content).with("decay", 0.5);
    let part = trained(&rows, &items, &config).expect("fitted");
    assert_eq!(part.terms, ["word:north", "word:south"]);
    // 1 + ln((1 + items) / (1 + items with it))
    let (north, south) = (1.0 + 2f32.ln(), 1.0 + 1.5f32.ln());
    let matrix = |name: &str| part.dense.iter().find(|matrix| matrix.name == name).expect("there");
    let topics = matrix(content::ITEM_TOPICS);
    assert_eq!(topics.rank, 2);
    // √3 · south is more than √2 · north: it is the first topic. Signs mean nothing.
    let near = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        let close = found.iter().zip(expected).all(|(a, b)| (a.abs() - b).abs() < 1e-4);
        assert!(close, "{found:?} is not {expected:?}");
    };
    // 1/√2, of the left singular vector, times the singular value √2 · north to the power of 3/4; alike of south.
    let (a, b) = (
        (3f32.sqrt() * south).powf(0.75) / 3f32.sqrt(),
        (2f32.sqrt() * north).powf(0.75) / 2f32.sqrt(),
    );
    near(&topics.data, &[0.0, b, 0.0, b, a, 0.0, a, 0.0, a, 0.0]);
    near(&matrix(content::TERM_TOPICS).data, &[0.0, b, a, 0.0]);
    near(&matrix(content::TERM_RARITY).data, &[north, south]);
    near(&matrix(content::USER_TOPICS).data, &[0.5 * a, b]);
    // A text is where the items are that it is about.
    let words = &matrix(content::TERM_TOPICS).data;
    assert!((words[1] - topics.data[1]).abs() < 1e-4 && (words[2] - topics.data[4]).abs() < 1e-4);
    let lists =
        Ranker::new(&part, &[1.0; 5]).leaf_lists(&part.known_users(&rows, &[0], Weight::None), 5);
    let expected = [(1, b * b), (3, 0.5 * a * a), (4, 0.5 * a * a)];
    for ((item, score), (of, by_hand)) in lists[0].iter().zip(expected) {
        assert!(*item == of && (score - by_hand).abs() < 1e-3, "{:?}", lists[0]);
    }
}

/// Topics of a matrix whose singular values fall slowly, as those of texts do: their inner products are the same,
/// whatever the iteration started from.
#[test]
fn topics_do_not_depend_on_the_start() {
    let (rows, columns, wanted) = (300, 200, 20);
    let mut random = crate::random::Random::new(7);
    let mut matrix = Csr { columns, offsets: vec![0], ..Csr::default() };
    for _ in 0..rows {
        for column in (0..columns as u32).filter(|_| random.uniform() < 0.05) {
            matrix.indices.push(column);
            matrix.values.push(1.0);
        }
        matrix.offsets.push(matrix.indices.len());
    }
    let inner_products = |seed| {
        let topics = lsa::TopicVectors::of(&matrix, wanted, seed).expect("topics");
        assert_eq!(topics.rank, wanted);
        let items = topics.items(1.0);
        let items: Vec<&[f64]> = items.chunks_exact(wanted).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let all = items.iter().flat_map(|a| items.iter().map(move |b| dot(a, b)));
        all.collect::<Vec<f64>>()
    };
    let (one, other) = (inner_products(1), inner_products(2));
    let square = |of: &mut dyn Iterator<Item = f64>| of.map(|x| x * x).sum::<f64>().sqrt();
    let apart = square(&mut one.iter().zip(&other).map(|(a, b)| a - b));
    let share = apart / square(&mut one.iter().copied());
    assert!(share < 0.04, "{share} of their length apart");
}

/// Whatever `marquee tune` draws passes the checks, and every family that can be searched has more than one draw.
#[test]
fn whatever_is_drawn_can_be_trained() {
    for &model in ModelKind::ALL {
        let table = model.family().settings();
        for has_times in [false, true] {
            let mut random = crate::random::Random::new(7);
            let mut drawn = Vec::new();
            for _ in 0..200 {
                let settings = crate::settings::draw_settings(&table, has_times, &mut random);
                let config = ModelConfig { settings, ..of(model) };
                config.check().unwrap_or_else(|error| panic!("{}: {error}", model.name()));
                assert!(has_times || config.settings.value("decay").is_none());
                drawn.push(config);
            }
            let is_searched = table
                .iter()
                .any(|setting| setting.search.is_some_and(|search| search.is_for(has_times)));
            assert_eq!(
                is_searched,
                drawn.iter().any(|other| *other != drawn[0]),
                "{}",
                model.name()
            );
        }
    }
}

/// A default is a value that can be given, and giving it changes nothing that is checked.
#[test]
fn defaults_are_within_their_bounds() {
    for &model in ModelKind::ALL {
        let table = model.family().settings();
        for setting in &table {
            let value = match setting.kind {
                crate::settings::SettingKind::Count => {
                    setting.default.parse().ok().map(Value::Count)
                }
                crate::settings::SettingKind::Number => {
                    setting.default.parse().ok().map(Value::Number)
                }
                crate::settings::SettingKind::Choice => {
                    Some(Value::Choice(setting.default.clone()))
                }
            };
            // The others are described in words.
            if let (Some(value), None) = (value, setting.only_with) {
                let mut settings = ModelSettings::default();
                settings.insert(setting.name, value);
                let config = ModelConfig { settings, ..of(model) };
                config.check().unwrap_or_else(|error| panic!("{}: {error}", model.name()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Users and items in another order, with other ids, are the same users and items: nothing but their
    /// numbers changes, of every family that draws nothing at random by place. (Of the others see
    /// `factors_follow_the_order_of_their_start`; a hybrid has mf among its members.)
    #[test]
    fn permuting_users_and_items_permutes_the_answer(
        rows in prop::collection::btree_set((0u32..6, 0u32..8), 12..30),
        seed in any::<u64>(),
    ) {
        let (users, items) = (order(6, seed), order(8, seed ^ 1));
        let (same_users, same_items): (Vec<u32>, Vec<u32>) = ((0..6).collect(), (0..8).collect());
        let (one, other) =
            (renumbered(&rows, &same_users, &same_items), renumbered(&rows, &users, &items));
        let scores = |kind, rows: &Interactions, users: &[u32], place: &[u32]| {
            let mut records = vec![ItemRecord::default(); 8];
            for (n, &at) in place.iter().enumerate() {
                let title = format!("{} {}", ["red", "green", "blue"][n % 3], ["sea", "sun"][n / 2 % 2]);
                records[at as usize] = ItemRecord { id: at.to_string(), title, ..ItemRecord::default() };
            }
            let part = trained(rows, &records, &of(kind)).unwrap_or_else(|error| panic!("{error}"));
            let popularity: Vec<f32> = rows.item_counts().into_iter().map(|n| n as f32).collect();
            Ranker::new(&part, &popularity).leaf_lists(&part.known_users(rows, users, Weight::None), 8)
        };
        for kind in [
            ModelKind::ItemKnn,
            ModelKind::UserKnn,
            ModelKind::Ease,
            ModelKind::Rp3beta,
            ModelKind::Transitions,
            ModelKind::Content,
            ModelKind::Popularity,
            ModelKind::Trending,
        ] {
            let a = scores(kind, &one, &same_users, &same_items);
            let b = scores(kind, &other, &users, &items);
            for (a, b) in a.iter().zip(&b) {
                // What one order rounds to 0 and another nearly so may be listed by one only.
                for (item, score) in a {
                    let moved = items[*item as usize];
                    let found = b.iter().find(|(other, _)| *other == moved);
                    let found = found.map_or(0.0, |(_, score)| *score);
                    prop_assert!((score - found).abs() < 1e-4, "{}: {} is not {}", kind.name(), score, found);
                }
            }
        }
    }
}
