//! What is known of one gate.

/// What is known of one gate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateEvidence {
    /// What follows from the evidence.
    pub verdict: Verdict,
    /// The baseline's value; none where none was measured, and for metrics of pairs.
    pub baseline: Option<f64>,
    /// The candidate's value; for metrics of pairs, their value.
    pub candidate: Option<f64>,
    /// The bound as a value, with which the candidate's is compared.
    pub allowed: Option<f64>,
    /// The difference between candidate and baseline, as a part of the baseline's value: an interval that
    /// covers the truth at all times with a chance of 95 %. Means of live answers only.
    pub effect: Option<(f64, f64)>,
    /// For a gate of rewards: how many answers of both variants it takes at the present share until a loss of a tenth is
    /// found with a chance of 80 % ([`super::PREDICTED_LOSS`], [`super::PREDICTED_POWER`]).
    pub answers_needed: Option<f64>,
    /// How many requests of the baseline and of the candidate were measured.
    pub samples: [u64; 2],
    /// Natural logarithm of the evidence (e-value) that the bound is broken.
    pub log_evidence_against: f64,
    /// What `log_evidence_against` must reach for a breach.
    pub log_required: f64,
    /// Natural logarithm of the evidence (e-value) that the bound is kept.
    pub log_evidence_for: f64,
    /// How many windows in a row were in breach.
    pub breaches: u32,
    /// Whether an operator resumed the rollout after this gate had paused it; then it does not act again.
    pub accepted: bool,
}

/// What follows from the evidence on a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// There are too few samples to say anything.
    #[default]
    Inconclusive,
    /// Nothing speaks against the candidate.
    Holds,
    /// The candidate is proven to keep the bound.
    Proven,
    /// The candidate breaks the bound.
    Breached,
}

impl Verdict {
    /// Its name where evidence is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Holds => "HOLDS",
            Self::Proven => "PROVEN",
            Self::Breached => "BREACHED",
        }
    }
}
