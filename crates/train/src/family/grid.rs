//! The coarse grid of a family: the settings that a search tries, axis by axis.
//!
//! A family's file declares its [`Grid`] for the size of the data. [`choice`](crate::choice) walks it. The settings
//! that hold where none is given are where every walk starts, and are not repeated in a grid.

use crate::settings::ModelSettings;

/// The settings that a search tries, one axis after another, each from the best that was found before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    /// In the order in which they are walked.
    pub(crate) axes: Vec<Axis>,
    /// Settings of trials alone, which make them cheaper. What is chosen is trained without them.
    pub(crate) trial: ModelSettings,
    /// What a trial costs, as a share of a fit with the fixed settings.
    pub(crate) trial_cost: f64,
    /// Whether trials may be trained on a sample of the users: not where the best settings depend on how many users
    /// there are.
    pub(crate) sampled: bool,
}

/// Values of one setting, or of several that depend on each other.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What is tried.
    pub(crate) values: Vec<ModelSettings>,
    /// In which order.
    pub(crate) walk: Walk,
    /// Whether a trial has to be trained. If not, the settings only say how a trained model is asked.
    pub(crate) is_trained: bool,
}

/// How an axis is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// All values are tried.
    Every,
    /// From the value at this place, which holds where none is given, to the next ones as long as they are better;
    /// if the next is not better, the other way.
    From(usize),
}

impl Grid {
    /// A grid whose trials cost as much as a fit.
    pub(crate) fn of(axes: Vec<Axis>) -> Self {
        Self { axes, trial: ModelSettings::default(), trial_cost: 1.0, sampled: true }
    }

    /// The same, of which every trial is trained on all users.
    pub(crate) fn on_all_users(self) -> Self {
        Self { sampled: false, ..self }
    }

    /// The same, with these settings in trials, which then cost this share of a fit.
    pub(crate) fn with_trials(self, trial: ModelSettings, trial_cost: f64) -> Self {
        Self { trial, trial_cost, ..self }
    }

    /// Most fits that its trials cost, that of the fixed settings among them.
    pub(crate) fn most_fits(&self) -> f64 {
        let trained = self.axes.iter().filter(|axis| axis.is_trained);
        let trials: usize = trained.map(Axis::most_trials).sum();
        (1 + trials) as f64 * self.trial_cost
    }
}

impl Axis {
    /// One setting, whose values are in order. The one at `start` holds where none is given.
    pub(crate) fn line<V: Into<crate::settings::Value> + Copy>(
        name: &str,
        values: &[V],
        start: usize,
    ) -> Self {
        let values = values.iter().map(|value| ModelSettings::default().with(name, *value));
        Self { values: values.collect(), walk: Walk::From(start), is_trained: true }
    }

    /// Settings that are all tried.
    pub(crate) fn every(values: Vec<ModelSettings>) -> Self {
        Self { values, walk: Walk::Every, is_trained: true }
    }

    /// The same for settings that only say how a trained model is asked.
    pub(crate) fn of_requests(self) -> Self {
        Self { is_trained: false, ..self }
    }

    /// Most values that are tried.
    fn most_trials(&self) -> usize {
        match self.walk {
            Walk::Every => self.values.len(),
            Walk::From(start) => {
                let (above, below) = (self.values.len().saturating_sub(start + 1), start);
                // Where both sides are there, the first step up has failed before the other is walked.
                above.max(if above > 0 && below > 0 { below + 1 } else { below })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_trials_of_a_walk() {
        let line = |start| Axis::line("x", &[0.0, 1.0, 2.0, 3.0, 4.0], start).most_trials();
        // Up all the way; or one up in vain, and down all the way.
        assert_eq!([line(0), line(1), line(2), line(3), line(4)], [4, 3, 3, 4, 4]);
        let pair = || Axis::line("x", &[1.0, 2.0], 0);
        let grid = Grid::of(vec![pair(), pair().of_requests(), Axis::every(pair().values)]);
        assert_eq!(grid.most_fits(), 4.0);
        assert_eq!(grid.with_trials(ModelSettings::default(), 0.25).most_fits(), 1.0);
    }
}
