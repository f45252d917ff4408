//! Answers that are made of both variants' lists, while a rollout interleaves.
//!
//! The candidate's list is asked for at the same time as the baseline's, in an attempt of its own: like a mirrored request it takes
//! nothing from callers and changes nothing that is known of nodes. The baseline's answer never needs it. Where it is
//! late, partial, empty or an error, the user gets the baseline's answer, which is then one like any other.

use crate::admission::request::RankingRequest;
use crate::explanation::answer::{InterleavedAnswer, RankingAnswer};
use crate::explanation::explaining::Reasons;
use marquee_core::plan::{Plan, Route, Variant};
use marquee_core::ranking::fuse::Candidate;
use marquee_core::ranking::interleave::{InterleavedItem, Interleaving, interleave};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the candidate's list may always be waited for when the baseline's is there.
const MIN_PATIENCE: Duration = Duration::from_millis(10);

/// A request whose answer is to be interleaved.
pub(super) struct WantedList {
    /// Its number in the batch.
    pub(super) number: usize,
    /// What makes the candidate's list.
    pub(super) route: Route,
}

/// The candidate's lists that a batch needs.
pub(super) fn wanted_lists(plan: &Plan, requests: &[RankingRequest]) -> Vec<WantedList> {
    let is_wanted =
        |request: &RankingRequest| request.forced_variant.is_none() && request.is_recommendation();
    let numbered = requests.iter().enumerate().filter(|(_, request)| is_wanted(request));
    let wanted = numbered.filter_map(|(number, request)| {
        let route = plan.route_interleaved(&request.surface, request.subject.id())?;
        Some(WantedList { number, route })
    });
    wanted.collect()
}

/// How long the candidate's lists are waited for after the baseline's answer took this time: nobody waits for more
/// than twice as long as without, but for [`MIN_PATIENCE`].
pub(super) fn patience(baseline_took: Duration) -> Duration {
    baseline_took.max(MIN_PATIENCE)
}

/// One answer of two; the baseline's alone if one of them is not whole. `coin`: see [`interleave`].
pub(super) fn interleaved(
    baseline: RankingAnswer,
    candidate: RankingAnswer,
    count: usize,
    coin: impl FnMut() -> bool,
) -> RankingAnswer {
    let Some(how) = baseline.route.interleaving else { return baseline };
    let is_whole =
        |answer: &RankingAnswer| !answer.items.is_empty() && answer.shards_missing.is_empty();
    if !is_whole(&baseline) || !is_whole(&candidate) {
        return baseline;
    }
    let drafted = drafted(&baseline.items, &candidate.items, count, how, coin);
    let shift = baseline.leaves.len();
    let mut lists = [baseline.items, shifted_items(candidate.items, shift)];
    let items = drafted.iter().map(|it| std::mem::take(&mut lists[it.side as usize][it.place]));
    let items = items.collect();
    let Reasons { left_out, mut attributions, mut neighbours } = baseline.reasons;
    let key = |(leaf, item_id): (usize, String)| (leaf + shift, item_id);
    let theirs = candidate.reasons;
    attributions.extend(theirs.attributions.into_iter().map(|(of, why)| (key(of), why)));
    neighbours.extend(theirs.neighbours.into_iter().map(|(of, why)| (key(of), why)));
    let known: BTreeSet<_> = baseline.left_out.iter().map(|(version, _)| version.clone()).collect();
    let of_others = candidate.left_out.into_iter().filter(|(version, _)| !known.contains(version));
    RankingAnswer {
        items,
        leaves: baseline.leaves.into_iter().chain(candidate.leaves).collect(),
        reasons: Reasons { left_out, attributions, neighbours },
        left_out: baseline.left_out.into_iter().chain(of_others).collect(),
        route: Route { variant: Variant::Interleaved, ..baseline.route },
        fallback: baseline.fallback.or(candidate.fallback),
        shards_total: baseline.shards_total + candidate.shards_total,
        interleaved: Some(Box::new(InterleavedAnswer {
            candidate: candidate.route,
            credited: drafted.iter().map(|it| it.credited).collect(),
        })),
        recommendation_id: baseline.recommendation_id,
        draw: baseline.draw,
        epoch: baseline.epoch,
        has_unknown_words: baseline.has_unknown_words,
        shards_missing: baseline.shards_missing,
        unknown_item_ids: baseline.unknown_item_ids,
    }
}

fn drafted(
    ours: &[Candidate],
    theirs: &[Candidate],
    count: usize,
    how: Interleaving,
    coin: impl FnMut() -> bool,
) -> Vec<InterleavedItem> {
    let ids = |items: &[Candidate]| -> Vec<String> {
        items.iter().map(|item| item.item_id.clone()).collect()
    };
    interleave([&ids(ours), &ids(theirs)], count, how, coin)
}

/// The candidate's items, whose contributions name leaves that are numbered after the baseline's.
fn shifted_items(mut items: Vec<Candidate>, shift: usize) -> Vec<Candidate> {
    for contribution in items.iter_mut().flat_map(|item| &mut item.contributions) {
        contribution.leaf += shift;
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explanation::answer::NamedLeaf;
    use crate::explanation::explaining::{Attribution, ContributingNeighbours};
    use marquee_core::ensemble::EnsembleNode;
    use marquee_core::id::ModelVersion;
    use marquee_core::ranking::fuse::Contribution;
    use marquee_core::ranking::interleave::Side;

    fn answer(version: u64, ids: &str) -> RankingAnswer {
        let model = ModelVersion::new("films", version);
        let route = Route {
            surface: "home".into(),
            ensemble: model.to_string(),
            rollout_id: Some("home-1".into()),
            variant: Variant::Baseline,
            experiment: None,
            trial: None,
            interleaving: Some(Interleaving::TeamDraft),
            is_forced: false,
            denied: [].into(),
            root: EnsembleNode::Model(model.clone()),
        };
        let mut reasons = Reasons::default();
        let mut items = Vec::new();
        for id in ids.split_whitespace() {
            let key = (0, id.to_owned());
            let attribution =
                Attribution { item_id: id.into(), title: model.to_string(), share: 1.0 };
            reasons.attributions.insert(key.clone(), vec![attribution]);
            let count = version as u32;
            let neighbours = ContributingNeighbours { count, mean_similarity: 0.5 };
            reasons.neighbours.insert(key, neighbours);
            items.push(Candidate {
                item_id: id.into(),
                title: String::new(),
                score: version as f64,
                contributions: vec![Contribution { leaf: 0, score: 1.0, rank: 1 }],
            });
        }
        RankingAnswer {
            recommendation_id: String::new(),
            items,
            leaves: vec![NamedLeaf {
                model: model.clone(),
                recipe: "popularity".into(),
                search: String::new(),
            }],
            reasons,
            left_out: vec![(model, Default::default())],
            route,
            draw: Default::default(),
            epoch: 7,
            fallback: None,
            has_unknown_words: false,
            shards_total: 2,
            shards_missing: Vec::new(),
            unknown_item_ids: Vec::new(),
            interleaved: None,
        }
    }

    fn ids(answer: &RankingAnswer) -> String {
        answer.items.iter().map(|item| item.item_id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_sides_are_in_one_answer_with_their_explanations() {
        let found = interleaved(answer(1, "a b c d"), answer(2, "a x b y"), 4, || true);
        assert_eq!(ids(&found), "a x b y");
        let made = found.interleaved.as_deref().expect("interleaved");
        let (ours, theirs) = (Some(Side::Baseline), Some(Side::Candidate));
        assert_eq!(made.credited, [None, theirs, ours, theirs]);
        assert_eq!(made.candidate.ensemble, "films@2");
        assert_eq!(
            (found.route.variant, &*found.route.ensemble),
            (Variant::Interleaved, "films@1")
        );
        assert_eq!((found.shards_total, found.leaves.len(), found.left_out.len()), (4, 2, 2));
        for item in &found.items {
            let version = item.score as usize;
            let key = (item.contributions[0].leaf, item.item_id.clone());
            assert_eq!(key.0 + 1, version, "the leaf of its own side");
            assert_eq!(found.leaves[key.0].model.to_string(), format!("films@{version}"));
            assert_eq!(found.reasons.attributions[&key][0].title, format!("films@{version}"));
            assert_eq!(found.reasons.neighbours[&key].count as usize, version);
        }
    }

    #[test]
    fn without_both_lists_it_is_a_plain_answer_of_the_baseline() {
        let mut partial = answer(2, "x y");
        partial.shards_missing = vec!["films@2/0".into()];
        let mut partial_baseline = answer(1, "a b");
        partial_baseline.shards_missing = vec!["films@1/0".into()];
        for (baseline, candidate) in [
            (answer(1, "a b"), answer(2, "")),
            (answer(1, "a b"), partial),
            (partial_baseline, answer(2, "x y")),
        ] {
            let found = interleaved(baseline, candidate, 2, || true);
            assert_eq!((ids(&found).as_str(), found.shards_total), ("a b", 2));
            assert!(found.interleaved.is_none());
            assert_eq!(found.route.variant, Variant::Baseline);
        }
        let found = interleaved(answer(1, ""), answer(2, "x y"), 2, || true);
        assert_eq!((ids(&found).as_str(), found.route.variant), ("", Variant::Baseline));
    }
}
