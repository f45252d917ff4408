//! Families on real splits against what peers reach there, where the data is at hand.

use crate::catalogue::with_catalogue;
use crate::eval::{Metrics, evaluate_lists, users_to_evaluate};
use crate::family::score::{KnownUser, Ranker};
use crate::family::{ModelConfig, ModelKind, TrainingOptions};
use crate::interactions::Duplicates;
use crate::options::TrainArgs;
use crate::read::{ColumnArgs, ItemColumnArgs, ItemsFile, read_interactions, read_items};
use crate::split::HoldOut;
use crate::weight::Weight;
use std::path::Path;

struct Split {
    hold_out: HoldOut,
    items: ItemsFile,
}

/// The split of a data set, if it is there.
fn split(name: &str) -> Option<Split> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.is_dir() {
        eprintln!("{} is not there: its figures are not checked", path.display());
        return None;
    }
    let read = |file: &str| {
        let path = path.join("split").join(file);
        let result = read_interactions(&path, &ColumnArgs::default(), Duplicates::Last, false);
        result.unwrap_or_else(|error| panic!("{error}")).0
    };
    let items = read_items(&path.join("split/items.csv"), &ItemColumnArgs::default(), false);
    Some(Split {
        hold_out: HoldOut::new(&read("train.csv"), &read("test.csv")),
        items: items.unwrap_or_else(|error| panic!("{error}")),
    })
}

/// What a training has by default.
fn options() -> TrainingOptions {
    TrainArgs::new("", "").training_options()
}

fn measure(split: &Split, config: &ModelConfig) -> Metrics {
    let rows = &split.hold_out.train;
    let (items, _) = crate::catalogue::records(&rows.items, Some(&split.items));
    let part = config.train(rows, &items, &options(), "fitting");
    let part = part.unwrap_or_else(|error| panic!("{error}"));
    let users = users_to_evaluate(&split.hold_out, 64, None, 1);
    let popularity: Vec<f32> = rows.item_counts().into_iter().map(|count| count as f32).collect();
    let lists =
        Ranker::new(&part, &popularity).lists(&part.known_users(rows, &users, Weight::None), 20);
    let metrics = evaluate_lists(&split.hold_out, &users, &lists, 20);
    let kind = config.model.name();
    eprintln!("{kind}: recall {:.4} nDCG {:.4} {:?}", metrics.recall, metrics.ndcg, part.notes);
    metrics
}

const SETS: [&str; 2] = ["ml-latest-small", "movietweetings-100k"];

/// At least 99 % of the peer's recall and nDCG, at its own settings.
fn reaches(name: &str, config: &ModelConfig, recall: f64, ndcg: f64) {
    let Some(split) = split(name) else { return };
    finds(name, &split, config, recall, ndcg);
}

fn finds(name: &str, split: &Split, config: &ModelConfig, recall: f64, ndcg: f64) {
    let found = measure(split, config);
    assert!(found.recall >= 0.99 * recall, "{name}: recall {:.4} of {recall}", found.recall);
    assert!(found.ndcg >= 0.99 * ndcg, "{name}: nDCG {:.4} of {ndcg}", found.ndcg);
}

fn plain(model: ModelKind) -> ModelConfig {
    ModelConfig::of(model).with("decay", 1.0)
}

#[test]
fn bm25_is_as_good_as_the_peer() {
    let with = |b: f64, neighbours: usize| {
        plain(ModelKind::ItemKnn).with("bm25-b", b).with("neighbours", neighbours)
    };
    reaches(SETS[0], &with(0.25, 200), 0.1414, 0.1046);
    reaches(SETS[1], &with(0.0, 100), 0.2322, 0.1137);
}

#[test]
fn neighbours_of_users_are_as_good_as_the_peer() {
    reaches(SETS[0], &plain(ModelKind::UserKnn), 0.1307, 0.0952);
    reaches(SETS[1], &plain(ModelKind::UserKnn), 0.2395, 0.1180);
}

#[test]
fn ease_is_as_good_as_the_peer() {
    let with = |lambda: f64| {
        plain(ModelKind::Ease).with("regularization", lambda).with("neighbours", 2_000)
    };
    reaches(SETS[0], &with(100.0), 0.1532, 0.1134);
    reaches(SETS[1], &with(800.0), 0.2336, 0.1150);
}

/// At defaults: among the items of train and test, as the peer is measured, and among all that are described.
#[test]
fn topics_are_as_good_as_the_peer() {
    let config = ModelConfig::of(ModelKind::Content);
    for (name, recall, ndcg) in [(SETS[0], 0.0434, 0.0312), (SETS[1], 0.0644, 0.0327)] {
        let Some(mut split) = split(name) else { continue };
        finds(name, &split, &config, recall, ndcg);
        let HoldOut { train, test, .. } = &mut split.hold_out;
        for rows in [train, test] {
            *rows = with_catalogue(rows, &split.items);
        }
        finds(name, &split, &config, recall, ndcg);
    }
}

/// The best peer of all, a blend on one set and ALS of 256 factors on the other; the smaller set only,
/// for the time it takes.
#[test]
fn the_blend_is_better_than_every_peer_and_member() {
    let Some(split) = split(SETS[0]) else { return };
    let of = |model| measure(&split, &ModelConfig::of(model));
    let (hybrid, transitions) = (of(ModelKind::Hybrid), of(ModelKind::Transitions));
    assert!(hybrid.recall > 0.1588 && hybrid.ndcg > 0.1153, "{hybrid:?}");
    assert!(hybrid.ndcg > 1.03 * transitions.ndcg, "{hybrid:?} beside {transitions:?}");
}

/// Who comes after training with the same history gets nearly what training gave.
#[test]
fn a_fold_in_finds_what_a_trained_row_finds() {
    for name in SETS {
        let Some(split) = split(name) else { continue };
        let rows = &split.hold_out.train;
        let part = ModelConfig::of(ModelKind::Mf).train(rows, &[], &options(), "fitting");
        let part = part.unwrap_or_else(|error| panic!("{error}"));
        let users = users_to_evaluate(&split.hold_out, 64, None, 1);
        let popularity: Vec<f32> = rows.item_counts().into_iter().map(|n| n as f32).collect();
        let known = part.known_users(rows, &users, Weight::None);
        let new: Vec<KnownUser> =
            known.iter().map(|user| KnownUser { row: None, ..user.clone() }).collect();
        let recall = |known: &[KnownUser]| {
            let lists = Ranker::new(&part, &popularity).lists(known, 20);
            evaluate_lists(&split.hold_out, &users, &lists, 20).recall
        };
        let (trained, folded) = (recall(&known), recall(&new));
        eprintln!("{name}: recall {trained:.4} trained, {folded:.4} folded in");
        assert!(folded >= 0.98 * trained, "{name}: {folded:.4} of {trained:.4}");
    }
}

/// Not a peer's figure but our own: what defaults reached when they were chosen.
#[test]
fn defaults_need_no_tuning() {
    for name in SETS {
        let Some(split) = split(name) else { continue };
        let of = |model| measure(&split, &ModelConfig::of(model)).ndcg;
        let popularity = of(ModelKind::Popularity);
        for kind in [ModelKind::Mf, ModelKind::ItemKnn, ModelKind::UserKnn, ModelKind::Ease] {
            let ndcg = of(kind);
            assert!(ndcg > popularity, "{name} {}: {ndcg:.4} of {popularity:.4}", kind.name());
        }
        assert!(of(ModelKind::Transitions) > popularity, "{name}");
    }
}
