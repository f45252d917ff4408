//! How far targets have been told of rollouts ↔ `marquee.raft.v1`.

use super::error::{Result, map_of_unique_keys};
use crate::generated::raft::v1 as pb;
use marquee_core::notification::{AllTold, Told};

/// The wire form of how far all targets have been told.
pub(super) fn all_told_to_pb(all_told: &AllTold) -> Vec<pb::NotificationTarget> {
    let target = |(name, Told { dropped, rollouts }): (&String, &Told)| pb::NotificationTarget {
        name: name.clone(),
        dropped: *dropped,
        rollouts: rollouts
            .iter()
            .map(|(id, &number)| pb::ToldRollout { rollout_id: id.clone(), number })
            .collect(),
    };
    all_told.iter().map(target).collect()
}

/// Reads how far all targets have been told from its wire form.
pub(super) fn all_told_from_pb(targets: Vec<pb::NotificationTarget>) -> Result<AllTold> {
    map_of_unique_keys(
        "state.notifications",
        targets.into_iter().map(|pb::NotificationTarget { name, dropped, rollouts }| {
            let pairs = rollouts
                .into_iter()
                .map(|pb::ToldRollout { rollout_id, number }| Ok((rollout_id, number)));
            let rollouts = map_of_unique_keys("state.notifications.rollouts", pairs)?;
            Ok((name, Told { dropped, rollouts }))
        }),
    )
}
