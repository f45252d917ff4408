//! Items of the same topics: latent semantic analysis (Deerwester, Dumais, Furnas, Landauer and Harshman 1990).
//!
//! An item's text is the words of its title and of its tags (genres are tags). Terms that at least two
//! items have are weighed by `count · (1 + ln((1 + items) / (1 + items with it)))`, and the matrix items ×
//! terms is cut to its largest singular values (`lsa`). A row of left singular vectors times singular values
//! to the power of 3/4 is what an item is about.
//!
//! A power (Caron 2001, "Experiments with LSA scoring: optimal rank and basis"): with the values themselves
//! the few strongest topics, which are the commonest genres and years, drown the others. Nothing is scaled to
//! unit length: of items about the same, that of which more is told comes first, and users like what is told
//! much of.
//!
//! The power, the number of topics and what lengths count are the best on validation rows of MovieLens small
//! and MovieTweetings together (nDCG@20 over its greatest in the grid of 20 to 100 topics, powers 1/4 to 1, and
//! lengths to the power of 0 or −1/4).
//!
//! A text of words is folded in as a document is (Deerwester et al., "Representing queries and new
//! documents"): the sum of its words' right singular vectors over the fourth roots of singular values, each
//! times how rare the word is, so that a text of an item's words is where the item is. These rows are in the
//! bundle, by word, for SearchItems.
//!
//! A user is the sum of what is liked, where newer interactions count more. Items without interactions
//! have topics like any other.

use super::definition::{Family, TrainingInput};
use super::grid::{Axis, Grid};
use super::lsa::{TermWeight, Texts, TopicVectors, is_described, top_terms};
use super::part::TrainedPart;
use super::shared_settings::{DECAY, FACTORS, require_times_of_decay};
use crate::error::TrainError;
use crate::history::history_of;
use crate::interactions::Interactions;
use crate::settings::{Bounds, ModelSettings, Setting, SettingInfo, choice_name, log};
use marquee_bundle::{DenseInput, Entity, ItemRecord, RowFormat};
use marquee_core::bounds::MAX_RANK;
use marquee_core::model::recipe::{HistoryWeights, Recipe};
use marquee_core::model::term::of_word;
use rayon::prelude::*;

/// The matrix users × topics in a bundle.
pub(crate) const USER_TOPICS: &str = "user_topics";
/// The matrix items × topics in a bundle.
pub(crate) const ITEM_TOPICS: &str = "item_topics";
/// The matrix words × topics in a bundle: of a text, whose rows add up to its topics.
pub(crate) const TERM_TOPICS: &str = "term_topics";
/// The matrix words × 1 in a bundle: what a word weighs by how rare it is.
pub(crate) const TERM_RARITY: &str = "term_rarity";

/// The power of the singular values in topics, see above.
const SINGULAR_POWER: f64 = 0.75;
/// Terms that are listed of a topic.
const TERMS_LISTED: usize = 8;

const TOPICS_KEPT: Setting<usize> =
    FACTORS.with_default(50).searched(log(16.0, 400.0).in_multiples_of(8));
const TOPICS_SHOWN: Setting<usize> = Setting::new(
    "topics",
    "List this many topics of a content model with the terms they stand for",
    Bounds::Counts(0, MAX_RANK as u64),
    0,
);

/// What a term counts that an item has several times.
const TERM_WEIGHT: Setting<TermWeight> = Setting::new(
    "term-weight",
    "What a word counts that an item's title and tags have several times",
    Bounds::Choices,
    TermWeight::Count,
);

/// The family `content`.
pub(super) struct Content;

impl Family for Content {
    fn name(&self) -> &'static str {
        "content"
    }

    fn summary(&self) -> &'static str {
        "Items whose titles and tags are of the same topics (LSA). Needs --items"
    }

    fn settings(&self) -> Vec<SettingInfo> {
        vec![TOPICS_KEPT.info(), TERM_WEIGHT.info(), DECAY.info(), TOPICS_SHOWN.info()]
    }

    fn recommends_unseen_items(&self) -> bool {
        true
    }

    fn can_be_member(&self) -> bool {
        true
    }

    fn unsuited(&self, _rows: &Interactions, items: &[ItemRecord]) -> Option<String> {
        (!is_described(items)).then(|| "no titles or tags are given with --items".into())
    }

    fn grid(&self, rows: &Interactions, items: &[ItemRecord]) -> Grid {
        if !is_described(items) {
            return Grid::default();
        }
        let log = ModelSettings::default().with("term-weight", "log");
        let mut axes = vec![Axis::every(vec![log])];
        if rows.has_times() {
            // A user's topics are sums that are trained.
            axes.push(Axis::line("decay", &[0.8, 0.9, 1.0], 1));
        }
        Grid::of(axes)
    }

    fn train(&self, input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
        train(input)
    }
}

fn train(input: TrainingInput<'_>) -> Result<TrainedPart, TrainError> {
    let TrainingInput { rows, items, settings, options, .. } = input;
    let term_weight = settings.get(&TERM_WEIGHT);
    let Texts { words: terms, rarity, matrix } = Texts::of(items, term_weight);
    if terms.is_empty() {
        return Err(TrainError::Data(
            "content needs titles or tags that several items share: give a file of them with --items".into(),
        ));
    }
    let topics = TopicVectors::of(&matrix, settings.get(&TOPICS_KEPT), options.seed)?;
    let rank = topics.rank;
    let data: Vec<f32> = topics.items(SINGULAR_POWER).iter().map(|&x| x as f32).collect();
    let history = decay_weights(settings, rows.has_times())?;
    let decay = history.decay;
    let users: Vec<Vec<f32>> = (0..rows.users.len())
        .into_par_iter()
        .map(|user| topics_of_user(rows, user, &history, &data, rank))
        .collect();
    let mut part = TrainedPart::new(Recipe::Content {
        user_topics: USER_TOPICS.into(),
        item_topics: ITEM_TOPICS.into(),
        term_topics: Some(TERM_TOPICS.into()),
        history: Some(history),
    });
    part.notes = describe(&topics.right, rank, &terms, settings.get(&TOPICS_SHOWN));
    part.dense = vec![
        dense(USER_TOPICS, Entity::User, rank, users.concat()),
        DenseInput {
            index: Some(options.index.clone()),
            rows: options.row_format,
            ..dense(ITEM_TOPICS, Entity::Item, rank, data)
        },
        dense(TERM_TOPICS, Entity::Term, rank, term_topics(&topics, &rarity)),
        dense(TERM_RARITY, Entity::Term, 1, rarity.iter().map(|&x| x as f32).collect()),
    ];
    part.terms = terms.iter().map(|word| of_word(word)).collect();
    Ok(part
        .parameter("factors", rank)
        .parameter("terms", terms.len())
        .parameter("term_weight", choice_name(term_weight))
        .parameter("decay", decay))
}

/// What interactions weigh by age; all the same without times.
fn decay_weights(settings: &ModelSettings, has_times: bool) -> Result<HistoryWeights, TrainError> {
    if has_times {
        return Ok(HistoryWeights { decay: settings.get(&DECAY), ..HistoryWeights::default() });
    }
    require_times_of_decay(settings, &DECAY)?;
    Ok(HistoryWeights::default())
}

/// The weighted sum of the topics of a user's items; `items` is items × rank.
fn topics_of_user(
    rows: &Interactions,
    user: usize,
    history: &HistoryWeights,
    items: &[f32],
    rank: usize,
) -> Vec<f32> {
    let (liked, weights) = history.weigh(&history_of(rows, user, |_| 1.0));
    let mut sum = vec![0f64; rank];
    for (&item, &weight) in liked.iter().zip(&weights) {
        let topics = &items[item as usize * rank..(item as usize + 1) * rank];
        for (sum, &x) in sum.iter_mut().zip(topics) {
            *sum += f64::from(weight) * f64::from(x);
        }
    }
    sum.into_iter().map(|x| x as f32).collect()
}

/// Terms × rank: the topics of each term, times how rare it is.
fn term_topics(topics: &TopicVectors, rarity: &[f64]) -> Vec<f32> {
    let mut weighted = topics.terms(SINGULAR_POWER);
    for (row, rarity) in weighted.chunks_exact_mut(topics.rank).zip(rarity) {
        row.iter_mut().for_each(|x| *x *= rarity);
    }
    weighted.into_iter().map(|x| x as f32).collect()
}

/// A matrix without an index, kept in memory as it is.
fn dense(name: &str, entity: Entity, rank: usize, data: Vec<f32>) -> DenseInput {
    DenseInput { name: name.into(), entity, rank, data, index: None, rows: RowFormat::F32 }
}

/// The first topics, each by the terms that weigh most in it: `terms` is names × rank.
fn describe(terms: &[f64], rank: usize, names: &[String], count: usize) -> Vec<String> {
    let topics = top_terms(terms, rank, names, count, TERMS_LISTED);
    (1..)
        .zip(topics)
        .map(|(topic, terms)| {
            let names: Vec<&str> = terms.into_iter().map(|(name, _)| name).collect();
            format!("topic {topic}: {}", names.join(", "))
        })
        .collect()
}
