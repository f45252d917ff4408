//! How large an answer will be: estimated before anything is searched for it.
//!
//! An answer above the bound of a message cannot be sent, and what was done for it is in vain. So where many items are asked
//! for, their number is multiplied by what an item of the surface takes: the mean of the surface's answers so far, or the
//! least that an item can take. What is refused by mistake would never be answered, so an estimate must exceed the bound
//! by a third; what is between is found when the answer is there.

use super::request::RankingRequest;
use crate::error::RouterError;
use marquee_core::bounds::{MAX_MESSAGE_BYTES, MAX_NAMED};
use marquee_core::plan::Plan;
use marquee_core::rollout::experiment::ExperimentState;
use marquee_proto::v1;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError, TryLockError};

/// Bytes of an item with the shortest id and no title, in an answer.
const LEAST_ITEM_BYTES: f64 = 14.0;
/// Bytes that the shortest explanation adds.
const LEAST_EXPLANATION_BYTES: f64 = 26.0;
/// Bytes of an answer without its items, about: what it was served by, and its name.
const ANSWER_BYTES: f64 = 100.0;
/// Below so many items no answer is estimated: not even with ids and titles of 2,000 bytes would it be too large.
const FEW_ITEMS: usize = MAX_MESSAGE_BYTES / 2_000;
/// Answers of fewer items are not noted: they say little of what an item takes, and most answers are of them.
const MIN_NOTED_ITEMS: usize = 50;
/// How much of the mean the newest answer makes up.
const NEWEST: f64 = 0.05;
/// An estimate beyond the bound of messages by this factor is certain enough.
const CERTAIN: f64 = 4.0 / 3.0;

/// Mean bytes of an item in the answers of one surface.
#[derive(Clone, Copy, Debug)]
struct ItemBytes {
    plain: f64,
    explained: f64,
}

impl Default for ItemBytes {
    fn default() -> Self {
        let explained = LEAST_ITEM_BYTES + LEAST_EXPLANATION_BYTES;
        Self { plain: LEAST_ITEM_BYTES, explained }
    }
}

impl ItemBytes {
    fn of(&mut self, explain: bool) -> &mut f64 {
        if explain { &mut self.explained } else { &mut self.plain }
    }
}

/// What items take in answers, by surface.
#[derive(Debug, Default)]
pub(crate) struct AnswerSizes {
    by_surface: Mutex<BTreeMap<String, ItemBytes>>,
}

impl AnswerSizes {
    /// Refuses requests whose answer would not fit into a message.
    pub(crate) fn check(
        &self,
        requests: &[RankingRequest],
        plan: &Plan,
    ) -> Result<(), RouterError> {
        let asked: usize = requests.iter().map(|request| request.count).sum();
        if asked <= FEW_ITEMS {
            return Ok(());
        }
        let known = self.by_surface.lock().unwrap_or_else(PoisonError::into_inner);
        let mut catalogues: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut bytes, mut items) = (0.0, 0_usize);
        for request in requests {
            let catalogue = catalogues
                .entry(&request.surface)
                .or_insert_with(|| items_of_surface(plan, &request.surface));
            let listed = most_items(request, *catalogue);
            let mut of_surface = known.get(&request.surface).copied().unwrap_or_default();
            bytes += ANSWER_BYTES + listed as f64 * *of_surface.of(request.explain);
            items += listed;
        }
        if bytes <= MAX_MESSAGE_BYTES as f64 * CERTAIN {
            return Ok(());
        }
        let fitting = (MAX_MESSAGE_BYTES as f64 / bytes * items as f64) as usize;
        Err(RouterError::WouldBeTooLarge {
            bytes: bytes as usize,
            max: MAX_MESSAGE_BYTES,
            requests: requests.len(),
            items,
            fitting,
        })
    }

    /// Notes what the items of an answer take. Where another answer notes its own at the same moment, this one is left
    /// out: the mean is as good without it.
    pub(crate) fn note(&self, explain: bool, answer: &v1::RecommendResponse) {
        let Some(served_by) = &answer.served_by else { return };
        if answer.items.len() < MIN_NOTED_ITEMS {
            return;
        }
        self.note_bytes(&served_by.surface, explain, answer.items.len(), answer.encoded_len());
    }

    fn note_bytes(&self, surface: &str, explain: bool, items: usize, bytes: usize) {
        let mut known = match self.by_surface.try_lock() {
            Ok(known) => known,
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        if !known.contains_key(surface) {
            // No more than surfaces: those that the plan has forgotten make room.
            if known.len() >= MAX_NAMED {
                known.clear();
            }
            known.insert(surface.to_owned(), ItemBytes::default());
        }
        let Some(of_surface) = known.get_mut(surface) else { return };
        let mean = of_surface.of(explain);
        let newest = (bytes as f64 - ANSWER_BYTES).max(0.0) / items as f64;
        *mean += (newest - *mean) * NEWEST;
    }
}

/// The most items that an answer to a request can have, where there are so many.
fn most_items(request: &RankingRequest, catalogue: usize) -> usize {
    let included = match request.filter.include_item_ids.len() {
        0 => usize::MAX,
        some => some,
    };
    request.count.min(catalogue).min(included)
}

/// How many items all that may answer on a surface knows, an item in two models counted twice; 0 for an unknown surface.
fn items_of_surface(plan: &Plan, name: &str) -> usize {
    let Some(surface) = plan.surfaces.get(name) else { return 0 };
    let mut ensembles: Vec<&str> = surface.ensemble.iter().map(String::as_str).collect();
    if let Some(rollout) = surface.rollout_id.as_ref().and_then(|id| plan.rollout(id)) {
        ensembles.push(&rollout.candidate);
    }
    let experiments = plan.experiments.iter();
    for experiment in
        experiments.filter(|it| it.surface == name && it.state != ExperimentState::Stopped)
    {
        ensembles.extend(experiment.arms.iter().map(|arm| arm.ensemble.as_str()));
    }
    let versions: BTreeSet<_> =
        ensembles.into_iter().flat_map(|ensemble| plan.versions_of(ensemble)).collect();
    let items = versions.iter().filter_map(|version| plan.versions.get(version));
    items
        .map(|published| usize::try_from(published.items).unwrap_or(usize::MAX))
        .fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::id::ModelVersion;
    use marquee_core::model::recipe::Recipe;
    use marquee_core::plan::{PublishedVersion, Quality, Surface};
    use marquee_proto::convert::caller::Recommend;

    fn plan(items: u64) -> Plan {
        let version = ModelVersion::new("films", 1);
        let published = PublishedVersion {
            bundle_uri: "file:///b".into(),
            manifest_digest: "d".into(),
            recipe: Recipe::Popularity,
            shards: 1,
            users: 1,
            items,
            bytes: 1,
            quality: Quality::default(),
            published_at_ms: 0,
            placements: Vec::new(),
            forgotten_up_to: 0,
            signed_counter: 0,
        };
        let surface = Surface { ensemble: Some(version.to_string()), ..Surface::default() };
        Plan {
            versions: [(version, published)].into(),
            surfaces: [("default".to_owned(), surface)].into(),
            ..Plan::default()
        }
    }

    fn requests(users: usize, count: u32, explain: bool) -> Vec<RankingRequest> {
        let wire =
            v1::RecommendRequest { user_id: "u".into(), count, explain, ..Default::default() };
        vec![Recommend::from_wire(wire).expect("valid").into(); users]
    }

    fn refusal(sizes: &AnswerSizes, asked: &[RankingRequest], plan: &Plan) -> Option<String> {
        sizes.check(asked, plan).err().map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_fit_is_refused_and_says_what_would() {
        let (sizes, large) = (AnswerSizes::default(), plan(100_000));
        let says = refusal(&sizes, &requests(1_000, 1_000, false), &large).expect("14 MB at least");
        assert!(says.contains("1000000 items") && says.contains("at most 297"), "{says}");
        assert_eq!(refusal(&sizes, &requests(1_000, 100, false), &large), None);
        assert_eq!(refusal(&sizes, &requests(1_000, 1_000, false), &plan(100)), None, "few items");
        assert!(refusal(&sizes, &requests(200, 1_000, true), &large).is_some(), "40 bytes each");
        assert_eq!(refusal(&sizes, &requests(200, 1_000, false), &large), None);
        let mut filtered = requests(1_000, 1_000, false);
        for request in &mut filtered {
            request.filter.include_item_ids = vec!["7".into()];
        }
        assert_eq!(refusal(&sizes, &filtered, &large), None);
    }

    #[test]
    fn what_items_take_is_known_of_answers() {
        let (sizes, large) = (AnswerSizes::default(), plan(100_000));
        let asked = requests(200, 1_000, false);
        for _ in 0..100 {
            sizes.note_bytes("default", false, 1_000, 44_100);
        }
        assert!(refusal(&sizes, &asked, &large).is_some(), "44 bytes each");
        assert_eq!(
            refusal(&sizes, &requests(100, 1_000, false), &large),
            None,
            "less than a third"
        );
        let mut elsewhere = asked.clone();
        elsewhere.iter_mut().for_each(|request| request.surface = "nowhere".into());
        assert_eq!(refusal(&sizes, &elsewhere, &large), None, "there is no such surface");
        let served_by = Some(v1::ServedBy { surface: "default".into(), ..Default::default() });
        let item = v1::RecommendedItem { title: "x".repeat(9_000), ..Default::default() };
        let few = v1::RecommendResponse { served_by, items: vec![item; 9], ..Default::default() };
        for _ in 0..1_000 {
            sizes.note(false, &few);
        }
        assert_eq!(refusal(&sizes, &requests(100, 1_000, false), &large), None, "too few to say");
    }
}
