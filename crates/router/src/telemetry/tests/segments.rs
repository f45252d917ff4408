//! Answers and what comes of them are counted in the segments of their requests.

use super::*;
use marquee_core::plan::{SegmentedAttribute, Segments, Surface};
use marquee_core::rollout::window::SegmentStats;

/// The segments region=de, region=at and region=other.
fn by_region() -> Segments {
    let values = vec!["de".into(), "at".into()];
    Segments::new(&[SegmentedAttribute { name: "region".into(), values }]).expect("usable")
}

/// The plan of these tests, with those segments on its surface.
fn plan_by_region() -> Plan {
    let mut plan = plan();
    plan.surfaces.insert("home".into(), Surface { segments: by_region(), ..Surface::default() });
    plan
}

fn segment(number: u32) -> SegmentSet {
    SegmentSet::new(1 << number, by_region().mark())
}

fn named_in(process: &str, second: u64, trial: &Trial, segments: SegmentSet) -> String {
    let scope = Some(AnswerScope::Trial(trial));
    name_answer(process, 1, BEGAN + second, scope, segments)
}

/// How many of a measure there are in a segment of an arm, and their sum.
fn sum_in(window: &Window, segment: &str, arm: usize, measure: Measure) -> (u64, f64) {
    let stats = window.segments.get(segment);
    let sums = stats.and_then(|SegmentStats { arms }| arms[arm].get(&measure));
    sums.map_or((0, 0.0), |sums| (sums.total(), sums.sum.iter().sum()))
}

#[test]
fn answers_count_in_the_segments_of_their_requests() {
    let (plan, candidate) = (plan_by_region(), trial(5_000, 1));
    let mut batch = Batch::default();
    let user = user_on(&candidate);
    for (number, outcome) in [
        (0, list("1", &["a"])),
        (0, list("2", &[])),
        (1, AnswerOutcome::Failed(14)),
        // No surface has so many segments: an answer by another plan, or a bad id.
        (9, list("3", &["a"])),
    ] {
        let answer = answered(1, &user, SECOND, outcome);
        batch.observe(&candidate, Observation { segments: segment(number), ..answer });
    }
    let windows = close(&batch, &mut Memory::default(), &plan, at(2));
    let (_, window) = &windows[0];
    assert_eq!(window.arms[1].requests(), 4);
    assert_eq!(window.segments.keys().collect::<Vec<_>>(), ["region=at", "region=de"]);
    for (name, measure, expected) in [
        ("region=de", Measure::Failed, (2, 0.0)),
        ("region=de", Measure::Empty, (2, 1.0)),
        ("region=at", Measure::Failed, (1, 1.0)),
        ("region=at", Measure::Empty, (0, 0.0)),
    ] {
        assert_eq!(sum_in(window, name, 1, measure), expected, "{name} {measure:?}");
    }
    let (latencies, sum) = sum_in(window, "region=de", 1, Measure::LogLatency);
    assert_eq!((latencies, sum), (2, 2.0 * f64::ln(12_345.0 + 2_000.0)));
    let wire = window_to_pb(window);
    assert_eq!(window_from_pb(wire).as_ref(), Ok(window), "it can be sent");
}

#[test]
fn rewards_count_in_segments_when_the_time_of_their_answers_is_over() {
    let (plan, candidate) = (plan_by_region(), trial(5_000, 1));
    let (mut memory, mut batch) = (Memory::default(), Batch::default());
    let user = user_on(&candidate);
    let here = named_in("3f", 9, &candidate, segment(1));
    let answer = answered(1, &user, 9 * SECOND, list(&here, &["a"]));
    batch.observe(&candidate, Observation { segments: segment(1), ..answer });
    batch.event(came(&here, &user, Reward::Click, 10));
    // What another router answered: that one counts the answer, this one what came of it.
    let elsewhere = named_in("4f", 9, &candidate, segment(2));
    batch.event(came(&elsewhere, &user, Reward::Click, 10));
    // Segments that there are not.
    let nonsense = named_in("5f", 9, &candidate, SegmentSet::new(0xfff0, by_region().mark()));
    batch.event(came(&nonsense, &user, Reward::Click, 10));
    let early = close(&batch, &mut memory, &plan, at(10));
    for (_, window) in &early {
        assert_eq!(sum_in(window, "region=at", 1, Measure::Clicks), (0, 0.0), "too early");
    }
    let due = close(&Batch::default(), &mut memory, &plan, at(70));
    let (_, window) = due.first().expect("the cohort is due");
    assert_eq!(sum(window, 1, Measure::Clicks), (1, 3.0));
    assert_eq!(sum_in(window, "region=at", 1, Measure::Clicks), (1, 1.0));
    assert_eq!(sum_in(window, "region=other", 1, Measure::Clicks), (0, 1.0));
    assert_eq!(sum_in(window, "region=de", 1, Measure::Clicks), (0, 0.0));
}

#[test]
fn a_surface_without_a_trial_has_segments_and_none_of_others() {
    let plan = plan_by_region();
    let mut batch = Batch::default();
    let user = user_on(&trial(5_000, 1));
    let scope = AnswerScope::Surface("home");
    let named = |number, segments| name_answer("3f", number, BEGAN + 1, Some(scope), segments);
    let (of_de, of_before) = (segment(0), SegmentSet::new(2, by_region().mark() ^ 1));
    for (number, segments) in [(1, of_de), (2, of_before)] {
        let answer = answered(0, &user, SECOND, list(&named(number, segments), &["a"]));
        batch.observe(scope, Observation { segments, ..answer });
    }
    // Clicks on those two, and on one that another router answered when the surface had other segments.
    for (number, segments) in [(1, of_de), (2, of_before), (3, of_before)] {
        batch.event(came(&named(number, segments), &user, Reward::Click, 2));
    }
    let windows = close(&batch, &mut Memory::default(), &plan, at(3));
    let (_, window) = &windows[0];
    assert_eq!(sum(window, 0, Measure::Clicks), (2, 3.0));
    assert_eq!(window.segments.keys().collect::<Vec<_>>(), ["region=de"]);
    assert_eq!(sum_in(window, "region=de", 0, Measure::Clicks), (1, 1.0));
    assert_eq!(sum_in(window, "region=de", 0, Measure::Failed), (1, 0.0));
}
