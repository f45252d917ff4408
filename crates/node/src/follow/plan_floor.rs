//! Which plans a node that follows control takes. Pure: times are in ms since the node started.

use marquee_core::planted::{PlantedBug, is_planted};

/// How long after the start plans older than the one on disk are refused, in ms. After that an older plan must be that of a
/// new cluster, whose epochs begin again.
pub const DISK_FLOOR_FOR_MS: u64 = 10_000;

/// What becomes of a plan that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is older than one that is known.
    Older,
    /// It is the one that is followed.
    Known,
    /// It is to be followed from now on.
    Newer,
}

/// The oldest epoch that is accepted.
#[derive(Clone, Copy, Debug)]
pub struct PlanFloor {
    /// The epoch of the plan on disk at the start.
    on_disk: u64,
    /// The newest epoch that control sent to this process.
    received: u64,
}

impl PlanFloor {
    /// Of a node that starts with a plan of this epoch on its disk, 0 if there is none.
    pub fn new(on_disk: u64) -> Self {
        let on_disk = if is_planted(PlantedBug::PlanOnDiskIgnored) { 0 } else { on_disk };
        Self { on_disk, received: 0 }
    }

    /// The oldest epoch that is accepted now.
    pub fn at(&self, now_ms: u64) -> u64 {
        if now_ms < DISK_FLOOR_FOR_MS {
            return self.received.max(self.on_disk);
        }
        self.received
    }

    /// The newest epoch that control sent to this process.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// A plan of this epoch has come.
    pub fn arrive(&mut self, epoch: u64, now_ms: u64) -> Arrival {
        if epoch < self.at(now_ms) && !is_planted(PlantedBug::OlderPlanAccepted) {
            return Arrival::Older;
        }
        // Another stream brought the same.
        if epoch == self.received && epoch > 0 {
            return Arrival::Known;
        }
        self.received = epoch;
        Arrival::Newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_plan_is_accepted_only_of_a_new_cluster() {
        let mut floor = PlanFloor::new(90);
        assert_eq!(floor.arrive(89, 0), Arrival::Older);
        assert_eq!(floor.at(DISK_FLOOR_FOR_MS), 0, "no control node has a newer plan");
        assert_eq!(floor.arrive(95, 1), Arrival::Newer);
        assert_eq!(floor.arrive(95, 2), Arrival::Known);
        let later = 2 * DISK_FLOOR_FOR_MS;
        assert_eq!(floor.arrive(94, later), Arrival::Older, "control sent a newer one");
    }
}
