//! Sketches against what they sketch.

use super::scores::{LARGEST_SCORE, LEAST_SCORE, bucket_of, middle_of};
use super::*;
use crate::hash::{Purpose, stable_hash};
use proptest::prelude::*;

fn of_items(items: impl IntoIterator<Item = u32>) -> Distinct {
    let mut distinct = Distinct::default();
    for item in items {
        distinct.add(stable_hash(Purpose::Item, &[&item.to_le_bytes()]));
    }
    distinct
}

#[test]
fn counts_are_right_to_four_standard_errors_from_one_to_a_million() {
    for many in [0u32, 1, 2, 10, 100, 1_000, 3_000, 5_000, 20_000, 1_000_000] {
        let estimate = of_items(0..many).estimate();
        let allowed = 4.0 * 1.04 / (REGISTERS as f64).sqrt() * f64::from(many);
        assert!((estimate - f64::from(many)).abs() <= allowed, "{many}: {estimate}");
    }
}

#[test]
fn registers_are_checked() {
    assert!(Distinct::of_registers(vec![]).is_some());
    assert!(Distinct::of_registers(vec![MAX_REGISTER; REGISTERS]).is_some());
    assert!(Distinct::of_registers(vec![MAX_REGISTER + 1; REGISTERS]).is_none());
    assert!(Distinct::of_registers(vec![0; REGISTERS - 1]).is_none());
    let mut all_ones = Distinct::default();
    all_ones.add(0);
    assert_eq!(all_ones.registers()[0], MAX_REGISTER);
    let full = Distinct::of_registers(vec![MAX_REGISTER; REGISTERS]).expect("it is whole");
    assert!(full.estimate() > 1e15, "{}", full.estimate());
}

#[test]
fn quantiles_and_distances_by_hand() {
    let of = |scores: &[f64]| {
        let mut sum = Scores::default();
        scores.iter().for_each(|&score| sum.add(score));
        sum
    };
    let scores = of(&[-3.0, -0.5, 0.0, 0.0, 2.0, 7.0, 7.0, 40.0, 40.0, 1e300]);
    for (share, expected) in
        [(0.0, -3.0), (0.1, -3.0), (0.2, -0.5), (0.3, 0.0), (0.5, 2.0), (0.7, 7.0), (0.9, 40.0)]
    {
        let found = scores.quantile(share).expect("there are some");
        assert!((found - expected).abs() <= 0.05 * f64::abs(expected), "{share}: {found}");
    }
    assert!(scores.quantile(1.0) > Some(0.9 * LARGEST_SCORE));
    assert_eq!(of(&[f64::NAN]), of(&[0.0]));
    assert_eq!(Scores::default().quantile(0.5), None);

    let (low, high) = (of(&[1.0, 1.0, 2.0, 2.0]), of(&[2.0, 2.0, 2.0, 9.0]));
    assert_eq!(low.distance(&high), Some(0.5), "at 1: 2 of 4 against none");
    assert_eq!(low.distance(&of(&[100.0])), Some(1.0));
    assert_eq!(low.distance(&low), Some(0.0));
    assert_eq!(low.distance(&Scores::default()), None);
}

proptest! {
    #[test]
    fn adding_up_is_the_same_as_having_seen_all(
        one in prop::collection::vec(any::<u32>(), 0..300), other in prop::collection::vec(any::<u32>(), 0..300),
    ) {
        let mut sum = of_items(one.iter().copied());
        sum.absorb(&of_items(other.iter().copied()));
        let both = || one.iter().chain(&other).copied();
        prop_assert_eq!(&sum, &of_items(both()));
        let scores = |items: &mut dyn Iterator<Item = u32>| {
            let mut sum = Scores::default();
            items.for_each(|item| sum.add(f64::from(item) - 2e9));
            sum
        };
        let mut sum = scores(&mut one.iter().copied());
        sum.absorb(&scores(&mut other.iter().copied()));
        prop_assert_eq!(sum, scores(&mut both()));
    }

    #[test]
    fn a_bucket_has_what_is_near_its_middle(score in -1e9f64..1e9) {
        let bucket = bucket_of(score);
        prop_assert!(bucket.abs() <= MAX_BUCKET);
        if score.abs() > LEAST_SCORE {
            let off = (middle_of(bucket) - score).abs() / score.abs();
            prop_assert!(off <= 0.0501, "{score} is in {bucket} of {}", middle_of(bucket));
        }
    }
}
