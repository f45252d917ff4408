//! Which users get which share of traffic: sticky buckets.
//!
//! A user's bucket depends on a salt and the user's id and on nothing else, so it is the same on
//! every router, at every moment of a rollout. Shares are cut from 0 upwards, so that a growing
//! weight only ever moves users to the candidate.

use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::hash::{Purpose, stable_hash};

/// The user's bucket under this salt, in `0..10_000`.
pub fn bucket(salt: &str, user_id: &str) -> u32 {
    let hash = stable_hash(Purpose::Bucket, &[salt.as_bytes(), user_id.as_bytes()]);
    (hash % u64::from(FULL_WEIGHT_BASIS_POINTS)) as u32
}

/// The index of the share that the user falls in. If the shares add up to less than 10,000, the last one gets
/// the rest.
pub fn choose(salt: &str, user_id: &str, weights_basis_points: &[u32]) -> usize {
    let bucket = bucket(salt, user_id);
    let mut end = 0;
    for (n, weight) in weights_basis_points.iter().enumerate() {
        end += weight;
        if bucket < end {
            return n;
        }
    }
    weights_basis_points.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shares of 20,000 users lie within three standard errors of their weight.
    #[test]
    fn shares_are_as_large_as_their_weights() {
        const USERS: u32 = 20_000;
        for salt in ["default-1", "default-2", "home-17"] {
            for weight in [100, 1_000, 5_000, 9_000] {
                let share = f64::from(weight) / f64::from(FULL_WEIGHT_BASIS_POINTS);
                let inside =
                    (0..USERS).filter(|user| bucket(salt, &user.to_string()) < weight).count();
                let standard_error = (share * (1.0 - share) / f64::from(USERS)).sqrt();
                let measured = inside as f64 / f64::from(USERS);
                assert!(
                    (measured - share).abs() <= 3.0 * standard_error,
                    "{salt} at {weight}: {measured}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn buckets_are_sticky_and_monotone(
            salt in "[a-z]{1,8}-[0-9]{1,3}", user in ".{1,40}", low in 0u32..10_000, more in 0u32..10_000,
        ) {
            let high = (low + more).min(FULL_WEIGHT_BASIS_POINTS);
            prop_assert_eq!(bucket(&salt, &user), bucket(&salt, &user));
            prop_assert!(bucket(&salt, &user) < FULL_WEIGHT_BASIS_POINTS);
            let candidate_at = |weight| choose(&salt, &user, &[weight, FULL_WEIGHT_BASIS_POINTS - weight]) == 0;
            prop_assert!(!candidate_at(low) || candidate_at(high), "no user moves back");
        }
    }
}
