//! An experiment: its slice of a layer, its arms, and where it is.

use crate::bounds::FULL_WEIGHT_BASIS_POINTS;
use crate::plan::assignment;

/// How far single values may plausibly lie from their mean, in the unit of whatever is measured.
pub(super) const SPREAD: f64 = 0.01;

/// One of the ensembles that an experiment compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Its name in reports.
    pub name: String,
    /// An ensemble's name or `model@version`.
    pub ensemble: String,
    /// Its share of the users who take part, in 1/10,000; all arms add up to 10,000.
    pub weight_basis_points: u32,
}

/// Where an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExperimentState {
    /// Its ensembles are being loaded; all users get what is live.
    Preparing,
    /// The users who take part get their arms.
    Running,
    /// It is over; all users get what is live.
    Stopped,
}

/// One A/B test on a surface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// A unique id. It salts the split over the arms.
    pub id: String,
    /// The surface that it runs on.
    pub surface: String,
    /// The layer that it takes users from: no user is in two experiments of a layer.
    pub layer: String,
    /// Where its slice of the layer begins, one of 10,000 places.
    pub from_basis_points: u32,
    /// How wide its slice of the layer is, in places.
    pub share_basis_points: u32,
    /// The ensembles that are compared, at least two. Arm 0 is the one to compare with.
    pub arms: Vec<Arm>,
    /// Where it is.
    pub state: ExperimentState,
    /// When it was started, in ms since the Unix epoch.
    pub started_at_ms: u64,
    /// When it was stopped, in ms since the Unix epoch; 0 while it runs.
    pub stopped_at_ms: u64,
    /// Why it was stopped, as the operator said.
    pub reason: String,
}

impl Experiment {
    /// The index of a user's arm; none for users who do not take part.
    pub fn arm_of(&self, user_id: &str) -> Option<usize> {
        if self.state != ExperimentState::Running {
            return None;
        }
        let place = assignment::bucket(&format!("layer/{}", self.layer), user_id);
        let slice = self.from_basis_points..self.from_basis_points + self.share_basis_points;
        if slice.contains(&place) {
            Some(assignment::choose(&self.id, user_id, &self.weights()))
        } else {
            None
        }
    }

    /// The shares of the arms, in 1/10,000.
    pub fn weights(&self) -> Vec<u32> {
        self.arms.iter().map(|arm| arm.weight_basis_points).collect()
    }
}

/// Where the first free slice of this width begins in a layer; none where no such slice is free.
pub fn free_slice<'e>(
    running: impl Iterator<Item = &'e Experiment>,
    share_basis_points: u32,
) -> Option<u32> {
    let mut taken: Vec<(u32, u32)> =
        running.map(|it| (it.from_basis_points, it.share_basis_points)).collect();
    taken.sort_unstable();
    let mut from = 0;
    for (begins, share) in taken {
        if begins >= from + share_basis_points {
            break;
        }
        from = begins + share;
    }
    if from + share_basis_points <= FULL_WEIGHT_BASIS_POINTS { Some(from) } else { None }
}
