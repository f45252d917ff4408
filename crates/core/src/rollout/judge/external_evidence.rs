//! What is known of one external gate.

use super::gate_evidence::Verdict;

/// What is known of one external gate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExternalEvidence {
    /// How many questions came to something. It is the number of the last one, so that none counts twice.
    pub questions: u64,
    /// When the last question was asked, by the leader's clock, in ms since the Unix epoch.
    pub asked_at_ms: u64,
    /// What follows from the last answer: it holds, it is breached, or, without an answer, inconclusive.
    pub verdict: Verdict,
    /// The last answer in words, or why there is none.
    pub says: String,
    /// How many answers in a row failed. Missing ones neither count nor end the row.
    pub failures: u32,
    /// How many questions in a row had no answer.
    pub unanswered: u32,
    /// Whether an operator resumed the rollout after this gate had paused it; then it does not act again.
    pub accepted: bool,
}
