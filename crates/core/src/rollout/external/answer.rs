//! What a question came to.

use crate::rollout::gate::Bound;

/// Bytes of what an answer says in words: it is kept in histories.
pub const MAX_SAYS_BYTES: usize = 256;

/// What an external gate's question came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// The asked system says that the rollout may go on.
    Passes,
    /// The asked system says that it must not.
    Fails,
    /// There is no answer, or none that says either.
    Missing,
}

/// What an external gate's question came to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAnswer {
    /// What it came to.
    pub kind: AnswerKind,
    /// The answer in words, or why there is none: one line of at most [`MAX_SAYS_BYTES`].
    says: String,
}

impl ExternalAnswer {
    /// An answer with these words, which come from outside: they are cut to their bound, and become one line.
    pub fn new(kind: AnswerKind, says: &str) -> Self {
        let mut kept = String::new();
        for letter in says.chars() {
            let plain = if letter.is_control() { ' ' } else { letter };
            if kept.len() + plain.len_utf8() > MAX_SAYS_BYTES {
                break;
            }
            kept.push(plain);
        }
        Self { kind, says: kept }
    }

    /// The answer in words, or why there is none.
    pub fn says(&self) -> &str {
        &self.says
    }
}

/// What the values of an expression's series say: each must keep the bound. Without series, or with one that is no number,
/// there is no answer.
pub fn judge_values(bound: Bound, values: &[f64]) -> ExternalAnswer {
    if values.is_empty() {
        return ExternalAnswer::new(AnswerKind::Missing, "the expression has no series");
    }
    if values.iter().any(|value| value.is_nan()) {
        return ExternalAnswer::new(AnswerKind::Missing, "the expression's value is NaN");
    }
    // The value that is nearest to breaking the bound, or breaks it most.
    let (worst, is_kept) = match bound {
        Bound::Max(most) => {
            let worst = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (worst, worst <= most)
        }
        Bound::Min(least) => {
            let worst = values.iter().copied().fold(f64::INFINITY, f64::min);
            (worst, worst >= least)
        }
        Bound::MaxRatio(_) | Bound::MinRatio(_) => {
            // Refused where gates are checked.
            return ExternalAnswer::new(AnswerKind::Missing, "the bound has no baseline");
        }
    };
    let kind = if is_kept { AnswerKind::Passes } else { AnswerKind::Fails };
    match values {
        [only] => ExternalAnswer::new(kind, &format!("{only}")),
        several => ExternalAnswer::new(kind, &format!("{worst} in {} series", several.len())),
    }
}
