//! Routers, the trainer's evaluation and offline ensembles give the same lists: a property test.
//!
//! Each case draws two models ([`world`]) with recipes of every kind, histories with disliked items, attributes,
//! and catalogues that overlap, writes them as bundles, and serves them by shards and a router in this process
//! ([`cluster`]). What the router answers is compared with the evaluation of the same bundles:
//!
//! - every user, by each model and by ensembles of both (parallels, a product, a sequence, a chain);
//! - users whose attributes the request gives, with users of whom training knew the same attributes;
//! - users with recent items (repeated ones, and ones of the history), with users whose history had these items at
//!   training;
//! - filters, with the evaluated list without what they leave out;
//! - users of whom one model's lookups fail, or both models', with users whom these models do not know.
//!
//! Not drawn, because evaluation has no counterpart with the same list: vectors that recent items are folded into,
//! topics of recent items that the history has already, and filters on ensembles that choose before they rank.
//! [`scenarios`] has the first of them by hand.
//!
//! A failure names the case's seed. `SAME_LISTS_SEED` starts with another one.

mod cluster;
mod scenarios;
mod world;

use cluster::Cluster;
use marquee_cli::commands::eval::ensemble_lists;
use marquee_proto::v1::{FallbackReason, Filter, RecommendRequest, RecommendResponse};
use marquee_train::Duplicates;
use marquee_train::eval::{Cutoffs, Evaluator, offline_lists};
use marquee_train::read::read_interactions;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use world::{KNOWN_TO_BOTH, REGIONS, World, unknown_to};

/// Cases of a run, unless the time is over first.
const CASES: u64 = 40;
/// Cases of a run, however slow they are.
const MIN_CASES: u64 = 4;
/// No case is begun after this time.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The first seed, unless the environment names another one.
const SEED: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn router_trainer_and_offline_ensembles_give_the_same_lists() {
    let first = std::env::var("SAME_LISTS_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = first.unwrap_or(SEED);
    let started = Instant::now();
    for case in 0..CASES {
        if case >= MIN_CASES && started.elapsed() > TIME_LIMIT {
            break;
        }
        check(first + case).await;
    }
}

/// The lists of all users by one ensemble, as evaluation gives them.
struct Evaluated(BTreeMap<String, Vec<String>>);

impl Evaluated {
    fn of(&self, user: &str) -> &[String] {
        &self.0[user]
    }
}

async fn check(seed: u64) {
    let world = World::draw(seed);
    let directory = tempfile::tempdir().expect("a temporary directory");
    world.write(directory.path());
    let evaluator = evaluator(&world, directory.path());
    let mut cluster = Cluster::start(&world, directory.path()).await;
    let mut by_ensemble = Vec::new();
    for ensemble in &world.ensembles {
        let context = format!("seed {seed}, {}", ensemble.name);
        let file = directory.path().join(format!("{}.yaml", ensemble.name));
        let bundles = world.bundles(directory.path());
        let lists = ensemble_lists(&file, &bundles, &evaluator).expect("evaluated");
        if let Some(model) = ensemble.only_model {
            let trained = offline_lists(&world.bundle(directory.path(), model), &evaluator);
            assert_eq!(lists, trained.expect("evaluated"), "{context}: trainer and ensembles");
        }
        let evaluated = Evaluated(evaluator.users().iter().cloned().zip(lists).collect());
        check_users(&world, &cluster, &ensemble.name, &evaluated, &context).await;
        check_recent_items(&world, &cluster, &ensemble.name, &evaluated, &context).await;
        if ensemble.takes_filters {
            check_filters(&world, &cluster, &ensemble.name, &evaluated, &context).await;
        }
        by_ensemble.push(evaluated);
    }
    check_outages(&world, &mut cluster, &by_ensemble, seed).await;
    cluster.shutdown().await;
}

/// To a model whose lookups fail all users are unknown.
async fn check_outages(world: &World, cluster: &mut Cluster, lists: &[Evaluated], seed: u64) {
    let (first, second) = (unknown_to(0), unknown_to(1));
    let cases: [(&[usize], &str); 3] = [(&[0, 1], "unknown-user"), (&[0], &first), (&[1], &second)];
    for (models, twin) in cases {
        for (ensemble, evaluated) in world.ensembles.iter().zip(lists) {
            if ensemble.is_chain && models.contains(&1) {
                // The items of a chain's first list are looked up in the second model, too.
                continue;
            }
            let context = format!("seed {seed}, {}: no lookups of {models:?}", ensemble.name);
            cluster.refuse_lookups(world, &[]);
            let healthy = cluster.recommend(request(world, &ensemble.name, twin)).await;
            cluster.refuse_lookups(world, models);
            let request = request(world, &ensemble.name, KNOWN_TO_BOTH);
            let answer = cluster.recommend(request).await;
            assert_eq!(ids(&answer), evaluated.of(twin), "{context}");
            let reason = answer.fallback_reason();
            match healthy.fallback_reason() {
                FallbackReason::Unspecified => {
                    assert_eq!(reason, FallbackReason::Unspecified, "{context}");
                }
                FallbackReason::UnknownUser => {
                    assert_eq!(reason, FallbackReason::UserShardUnavailable, "{context}");
                }
                _ => assert_ne!(reason, FallbackReason::Unspecified, "{context}"),
            }
        }
    }
}

async fn check_users(
    world: &World,
    cluster: &Cluster,
    ensemble: &str,
    evaluated: &Evaluated,
    context: &str,
) {
    for user in world.asked() {
        let answer = cluster.recommend(request(world, ensemble, &user)).await;
        assert_eq!(ids(&answer), evaluated.of(&user), "{context}: {user}");
        assert!(!answer.items.is_empty(), "{context}: {user} gets no items");
        if user == "unknown-user" && answer.fallback_reason() != FallbackReason::Unspecified {
            assert_eq!(answer.fallback_reason(), FallbackReason::UnknownUser, "{context}");
        }
    }
    for (n, region) in REGIONS.iter().enumerate() {
        let attributes = [("Region".to_owned(), region.to_uppercase())];
        let described = RecommendRequest {
            user_attributes: attributes.into(),
            ..request(world, ensemble, "unknown-user")
        };
        let answer = cluster.recommend(described).await;
        assert_eq!(ids(&answer), evaluated.of(&format!("d{n}")), "{context}: attribute {region}");
    }
}

async fn check_recent_items(
    world: &World,
    cluster: &Cluster,
    ensemble: &str,
    evaluated: &Evaluated,
    context: &str,
) {
    for (n, recent) in world.recents.iter().enumerate() {
        let user = format!("r{n}");
        let request =
            RecommendRequest { recent_item_ids: recent.clone(), ..request(world, ensemble, &user) };
        let answer = cluster.recommend(request).await;
        let twin = format!("t{n}");
        assert_eq!(ids(&answer), evaluated.of(&twin), "{context}: {user} after {recent:?}");
    }
}

async fn check_filters(
    world: &World,
    cluster: &Cluster,
    ensemble: &str,
    evaluated: &Evaluated,
    context: &str,
) {
    for user in world.asked() {
        let mut expected = evaluated.of(&user).to_vec();
        expected.retain(|id| !world.filtered.contains(id));
        let filter = Filter { exclude_item_ids: world.filtered.clone(), ..Filter::default() };
        let request = RecommendRequest { filter: Some(filter), ..request(world, ensemble, &user) };
        let answer = cluster.recommend(request).await;
        assert_eq!(ids(&answer), expected, "{context}: {user} without {:?}", world.filtered);
    }
}

fn request(world: &World, ensemble: &str, user: &str) -> RecommendRequest {
    RecommendRequest {
        user_id: user.into(),
        count: world.count as u32,
        surface: ensemble.into(),
        ..RecommendRequest::default()
    }
}

fn ids(answer: &RecommendResponse) -> Vec<String> {
    answer.items.iter().map(|item| item.item_id.clone()).collect()
}

/// An evaluation of the lists of all users of the world.
fn evaluator(world: &World, directory: &Path) -> Evaluator {
    let mut asked = String::new();
    for user in world.asked().iter().chain(&world.twins()) {
        asked += &format!("{user},0\n");
    }
    let read = |name: &str, rows: &str| {
        let path = directory.join(name);
        std::fs::write(&path, format!("user,item\n{rows}")).expect("written");
        let columns = Default::default();
        read_interactions(&path, &columns, Duplicates::Last, false).expect("read").0
    };
    let (train, test) = (read("train.csv", "another,1\n"), read("asked.csv", &asked));
    Evaluator::new(train, test, Cutoffs::one(world.count)).expect("users")
}
