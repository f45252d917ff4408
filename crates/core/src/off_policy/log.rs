//! What was shown, and what came of it.

/// An item that an answer showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShownItem {
    /// The item's number.
    pub item: u32,
    /// The propensity of being shown at its rank, above 0 and at most 1.
    pub propensity: f64,
    /// Whether its slot was drawn: then it could have been at any rank, each with the same propensity.
    pub is_drawn: bool,
    /// What it earned: 1 for a click, seconds, money.
    pub reward: f64,
}

/// An answer of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoggedAnswer {
    /// The number of its user, from 0. Answers of one user are not independent.
    pub user: u32,
    /// What was shown, best first.
    pub shown: Vec<ShownItem>,
}

impl LoggedAnswer {
    /// Whether anything else could have been shown.
    pub fn is_randomised(&self) -> bool {
        self.shown.iter().any(|shown| shown.propensity < 1.0)
    }
}
