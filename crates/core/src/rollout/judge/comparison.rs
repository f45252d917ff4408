//! What has been measured for one gate: baseline and candidate, compared within strata.
//!
//! Windows of one share are put together until they hold [`STRATUM_REQUESTS`] or have lasted for [`STRATUM_WINDOWS`]: with
//! less, a stratum may lack one variant and say nothing; with more, what traffic is like may have changed.
//!
//! A candidate can become worse after hours of health, and what was healthy would outweigh it. So the test is
//! made since the beginning, since the present share began, and since moments in between, of growing distance to now: an e-detector
//! (Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2023).

use super::first_times::FirstTimes;
use crate::rollout::sequential::{Stratified, Stratum};
use crate::rollout::window::{GroupedSum, UserCells};

/// A stratum with so many requests is closed.
const STRATUM_REQUESTS: u64 = 64;
/// A stratum of so many windows is closed: a minute.
const STRATUM_WINDOWS: u64 = 30;
/// A moment to start the test again is noted every so many windows: every ten seconds.
const RESTART_WINDOWS: u64 = 5;
/// The weight of the test since the beginning, among tests from all moments.
pub(super) const WEIGHT_OF_WHOLE: f64 = 0.35;
/// The weight of the test since the present share began.
pub(super) const WEIGHT_OF_SHARE: f64 = 0.35;
/// The weight of the test since each other moment. Together they may weigh more than is left, because tests from
/// different moments say nearly the same: the false alarms of all are measured by simulation.
const WEIGHT_OF_RESTART: f64 = 0.1;
/// The most moments that are kept: for some days.
pub const MAX_RESTARTS: usize = 16;

/// What a gate is judged by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateComparison {
    /// Answers to callers.
    pub live: Comparison,
    /// Answers to mirrored requests, or pairs of them.
    pub mirrored: Comparison,
}

/// Sums over the windows of a rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// How many windows were added.
    pub windows: u64,
    /// All closed strata.
    pub closed: Sums,
    /// The stratum that windows are added to.
    pub open: OpenStratum,
    /// What was closed when the present share began.
    pub share_began: Sums,
    /// What was closed at moments before now, oldest first, at most [`MAX_RESTARTS`].
    pub restarts: Vec<Restart>,
    /// For faults: the users that it happened to.
    pub first_times: FirstTimes,
    /// For faults: the users that it happened to since the present share began.
    pub first_times_at_share: FirstTimes,
}

/// The sums of a gate's metric, and for rewards of what the same users did before the trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// What is compared with the gate's bound.
    pub metric: Stratified,
    /// What users did before the trial; for rewards.
    pub covariate: Option<Stratified>,
}

/// Values that belong to one stratum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenStratum {
    /// The share of users that have the candidate, in 1/10,000.
    pub weight_basis_points: u32,
    /// Whether both answered the same requests.
    pub is_paired: bool,
    /// How many windows it has.
    pub windows: u64,
    /// The values of baseline and candidate.
    pub values: [GroupedSum; 2],
    /// For rewards: what the users of baseline and candidate did before the trial.
    pub before: Option<[GroupedSum; 2]>,
}

/// A moment that the test is made from, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    /// How many windows had been added.
    pub at_window: u64,
    /// What was closed then.
    pub closed: Sums,
}

/// The values of baseline and candidate in one window.
pub(super) struct WindowValues {
    /// The share of users that have the candidate, in 1/10,000.
    pub(super) weight_basis_points: u32,
    /// Whether both answered the same requests.
    pub(super) is_paired: bool,
    /// The candidate's bound, as a multiple of the baseline.
    pub(super) ratio: f64,
    pub(super) values: [GroupedSum; 2],
    /// For rewards: what the same users did before the trial.
    pub(super) before: Option<[GroupedSum; 2]>,
    /// For faults: the users that it happened to.
    pub(super) users: Option<[UserCells; 2]>,
}

impl Sums {
    fn add(&mut self, stratum: &OpenStratum, share: f64, ratio: f64) {
        let is_paired = stratum.is_paired;
        let [baseline, candidate] = &stratum.values;
        self.metric.add(Stratum { baseline, candidate, share, is_paired }, ratio);
        if let Some([baseline, candidate]) = &stratum.before {
            let covariate = self.covariate.get_or_insert_default();
            // What users did before is the same for both, whatever is allowed now.
            covariate.add(Stratum { baseline, candidate, share, is_paired }, 1.0);
        }
    }

    fn since(&self, before: &Self) -> Self {
        let nothing = Stratified::default();
        let covariate = self
            .covariate
            .as_ref()
            .map(|covariate| covariate.since(before.covariate.as_ref().unwrap_or(&nothing)));
        Self { metric: self.metric.since(&before.metric), covariate }
    }
}

impl Comparison {
    /// Adds a window.
    pub(super) fn add(&mut self, window: WindowValues) {
        let WindowValues { weight_basis_points, is_paired, ratio, values, before, users } = window;
        if self.open.weight_basis_points != weight_basis_points {
            // Rewards of answers at an earlier share come when their time is over: they are no window of what came meanwhile.
            if values.iter().all(GroupedSum::is_empty) {
                return;
            }
            self.close(ratio);
            self.open.weight_basis_points = weight_basis_points;
            self.open.is_paired = is_paired;
            self.share_began = self.closed.clone();
            self.first_times_at_share = FirstTimes::default();
        }
        if let Some([baseline, candidate]) = users
            && let Some(share) = self.open.share()
        {
            self.first_times.add(&baseline, &candidate, share, ratio);
            self.first_times_at_share.add(&baseline, &candidate, share, ratio);
        }
        for (sum, value) in self.open.values.iter_mut().zip(&values) {
            sum.absorb(value);
        }
        if let Some(before) = before {
            let sums = self.open.before.get_or_insert_default();
            sums.iter_mut().zip(&before).for_each(|(sum, value)| sum.absorb(value));
        }
        self.open.windows += 1;
        let [baseline, candidate] = &self.open.values;
        let is_full = baseline.total() + candidate.total() >= STRATUM_REQUESTS
            && baseline.total().min(candidate.total()) > 0;
        if is_full || self.open.windows >= STRATUM_WINDOWS {
            self.close(ratio);
        }
        self.count_window();
    }

    /// Adds the values of a window that are compared with a constant.
    pub(super) fn add_alone(&mut self, values: &GroupedSum) {
        self.closed.metric.add_alone(values);
        self.count_window();
    }

    /// All sums, the open stratum included.
    pub(super) fn sums(&self, ratio: f64) -> Sums {
        let mut sums = self.closed.clone();
        if let Some(share) = self.open.share() {
            sums.add(&self.open, share, ratio);
        }
        sums
    }

    /// The sums since each moment that the test is made from, with the weight of each: first the whole, `sums`, then
    /// what was added since the present share began, then since other moments.
    pub(super) fn by_start(&self, sums: &Sums) -> Vec<(f64, Sums)> {
        let mut starts =
            vec![(WEIGHT_OF_WHOLE, sums.clone()), (WEIGHT_OF_SHARE, sums.since(&self.share_began))];
        let restarts = self.restarts.iter();
        starts.extend(restarts.map(|it| (WEIGHT_OF_RESTART, sums.since(&it.closed))));
        starts
    }

    fn close(&mut self, ratio: f64) {
        let Some(share) = self.open.share() else { return };
        self.closed.add(&self.open, share, ratio);
        self.open = OpenStratum {
            weight_basis_points: self.open.weight_basis_points,
            is_paired: self.open.is_paired,
            ..OpenStratum::default()
        };
    }

    fn count_window(&mut self) {
        self.windows += 1;
        if self.windows.is_multiple_of(RESTART_WINDOWS) {
            self.restarts.push(Restart { at_window: self.windows, closed: self.closed.clone() });
            self.thin_restarts();
        }
    }

    /// Drops a moment whose neighbours are at most twice as far from now as one another, so that for any stretch of
    /// time there is a moment not much earlier and one not much later.
    fn thin_restarts(&mut self) {
        let age = |restart: &Restart| self.windows + RESTART_WINDOWS - restart.at_window;
        let is_dispensable =
            |n: &usize| age(&self.restarts[n - 1]) <= 2 * age(&self.restarts[n + 1]);
        let last = self.restarts.len().saturating_sub(1);
        if let Some(n) = (1..last).find(is_dispensable) {
            self.restarts.remove(n);
        } else if self.restarts.len() > MAX_RESTARTS {
            self.restarts.remove(0);
        }
    }
}

impl OpenStratum {
    /// The share of users that have the candidate; none where all have the same.
    fn share(&self) -> Option<f64> {
        let whole = f64::from(crate::bounds::FULL_WEIGHT_BASIS_POINTS);
        let share = f64::from(self.weight_basis_points) / whole;
        (share > 0.0 && share < 1.0).then_some(share)
    }
}
