//! Experiments: slices, reports, and what is refused.

use super::*;
use crate::rollout::judge::Evidence;
use crate::rollout::window::{GROUPS, Measure, SegmentStats, Window};
use proptest::prelude::*;

fn arm(name: &str, weight_basis_points: u32) -> Arm {
    Arm { name: name.into(), ensemble: "films@1".into(), weight_basis_points }
}

fn experiment(from_basis_points: u32, share_basis_points: u32) -> Experiment {
    Experiment {
        id: format!("home-ab-{from_basis_points}"),
        surface: "home".into(),
        layer: "ranking".into(),
        from_basis_points,
        share_basis_points,
        arms: vec![arm("control", 5_000), arm("other", 5_000)],
        state: ExperimentState::Running,
        started_at_ms: 0,
        stopped_at_ms: 0,
        reason: String::new(),
    }
}

/// Clicks of so many answers an arm, spread over all groups.
fn clicks(rates: &[f64], answers: usize) -> Evidence {
    let mut random = fastrand::Rng::with_seed(7);
    let mut evidence = Evidence { total: Window::new(rates.len()), ..Evidence::default() };
    for (arm, &rate) in evidence.total.arms.iter_mut().zip(rates) {
        for n in 0..answers {
            let value = f64::from(u8::from(random.f64() < rate));
            arm.measure(Measure::Clicks, n % GROUPS, value);
            arm.measure(Measure::Users, random.usize(..GROUPS), 1.0);
        }
    }
    evidence
}

#[test]
fn slices_of_a_layer_do_not_touch() {
    let (a, b) = (experiment(0, 4_000), experiment(6_000, 3_000));
    let running = [&b, &a];
    assert_eq!(free_slice(running.into_iter(), 2_000), Some(4_000));
    assert_eq!(free_slice(running.into_iter(), 1_000), Some(4_000));
    assert_eq!(free_slice(running.into_iter(), 2_001), None);
    assert_eq!(free_slice([&a].into_iter(), 6_000), Some(4_000));
    assert_eq!(free_slice([].into_iter(), 10_000), Some(0));
    let other = experiment(4_000, 6_000);
    for n in 0..2_000 {
        let user = format!("user-{n}");
        assert!(a.arm_of(&user).is_none() || other.arm_of(&user).is_none(), "in both");
        assert!(a.arm_of(&user).is_some() || other.arm_of(&user).is_some(), "in neither");
    }
}

#[test]
fn a_difference_is_found_and_none_is_not() {
    let it = experiment(0, 10_000);
    let effect = |report: &Report| {
        *report.effects.iter().find(|e| e.measure == Measure::Clicks && e.arm == 1).expect("there")
    };
    let better = effect(&report(&it, Some(&clicks(&[0.10, 0.12], 50_000))));
    let (low, high) = better.interval.expect("known");
    assert!(low > 0.0 && (low..high).contains(&0.2), "{better:?}");
    assert!(better.p_value.expect("known") < 0.001, "{better:?}");
    let same = effect(&report(&it, Some(&clicks(&[0.10, 0.10], 50_000))));
    let (low, high) = same.interval.expect("known");
    assert!(low < 0.0 && high > 0.0 && same.p_value.expect("known") > 0.05, "{same:?}");
    let few = effect(&report(&it, Some(&clicks(&[0.10, 0.10], 20))));
    assert_eq!(few.effect, None, "twenty answers say nothing");
}

#[test]
fn a_split_that_is_off_is_noticed() {
    let mut it = experiment(0, 10_000);
    let evidence = clicks(&[0.1, 0.1], 50_000);
    assert!(!report(&it, Some(&evidence)).is_mismatched);
    it.arms = vec![arm("control", 8_000), arm("other", 2_000)];
    assert!(report(&it, Some(&evidence)).is_mismatched, "half is not a fifth");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let arms = [arm("a", 5_000), arm("b", 5_000)];
    assert_eq!(check(10_000, &arms), Ok(()));
    for (said, says) in [
        (check(0, &arms), "share_basis_points is 0"),
        (check(10_001, &arms), "share_basis_points is 10001"),
        (check(1, &arms[..1]), "arms: 1 given"),
        (check(1, &[arm("a", 5_000), arm("a", 5_000)]), "there twice"),
        (check(1, &[arm("a", 5_000), arm("b", 4_000)]), "add up to 9000"),
        (check(1, &[arm("a", 10_000), arm("b", 0)]), "no user would get it"),
        (check(1, &[arm("a b", 5_000), arm("b", 5_000)]), "arms[0].name"),
    ] {
        let said = said.expect_err(says);
        assert!(said.to_string().contains(says), "{said} does not say {says:?}");
    }
}

proptest! {
    #[test]
    fn a_free_slice_is_free(
        taken in prop::collection::vec((0u32..100, 1u32..40), 0..6), share in 1u32..=100,
    ) {
        // In hundredths of the layer; those that overlap cannot have been given out.
        let mut running: Vec<Experiment> = Vec::new();
        for (from, width) in taken {
            let (from, width) = (from * 100, width * 100);
            let is_free = running.iter().all(|it| {
                from + width <= it.from_basis_points
                    || it.from_basis_points + it.share_basis_points <= from
            });
            if is_free && from + width <= 10_000 {
                running.push(experiment(from, width));
            }
        }
        let share = share * 100;
        let touches = |from: u32| running.iter().any(|it| {
            from < it.from_basis_points + it.share_basis_points
                && it.from_basis_points < from + share
        });
        match free_slice(running.iter(), share) {
            Some(from) => prop_assert!(from + share <= 10_000 && !touches(from)),
            None => prop_assert!((0..=10_000 - share).all(touches), "there was room"),
        }
    }
}

#[test]
fn a_difference_within_one_segment_is_found_there_and_only_there() {
    let it = experiment(0, 10_000);
    let mut evidence = clicks(&[0.1, 0.1], 20_000);
    for (name, rates) in [("region=at", [0.1, 0.1]), ("region=de", [0.1, 0.14])] {
        let of_segment = clicks(&rates, 10_000).total.arms;
        let arms = of_segment.into_iter().map(|arm| arm.measures).collect();
        evidence.segments.segments.insert(name.into(), SegmentStats { arms });
    }
    let found = report(&it, Some(&evidence)).segments;
    assert_eq!(found.iter().map(|it| &it.name[..]).collect::<Vec<_>>(), ["region=at", "region=de"]);
    let interval = |segment: usize| {
        let effects = &found[segment].effects;
        let effect = effects.iter().find(|it| it.measure == Measure::Clicks && it.arm == 1);
        effect.and_then(|it| it.interval).expect("enough users were seen")
    };
    let ((low, high), (low_there, high_there)) = (interval(0), interval(1));
    assert!(low < 0.0 && high > 0.0, "{low} {high}");
    assert!(low_there > 0.0 && high_there > 0.4, "{low_there} {high_there}");
    // Two segments are looked at: each interval is wider than that of the same numbers alone.
    let alone = Evidence { total: clicks(&[0.1, 0.14], 10_000).total, ..Evidence::default() };
    let of_all = report(&it, Some(&alone)).effects;
    let (low_alone, high_alone) = of_all
        .iter()
        .find(|it| it.measure == Measure::Clicks && it.arm == 1)
        .and_then(|it| it.interval)
        .expect("enough users were seen");
    assert!(low_alone > low_there && high_alone < high_there);
}
