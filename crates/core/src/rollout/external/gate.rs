//! What an external gate asks, how often, and what happens when it fails.

use crate::id::{IdError, check_name};
use crate::rollout::gate::{Bound, OnBreach};
use std::borrow::Cow;
use std::fmt;

/// The most external gates of a rollout: each answer of each of them is an entry of the log.
pub const MAX_EXTERNAL_GATES: usize = 8;
/// Bytes of a PromQL expression: a screen full of it.
const MAX_EXPRESSION_BYTES: usize = 4_096;
/// Bytes of a URL: it is in the plan, which goes to every node.
const MAX_URL_BYTES: usize = 1_024;
/// The shortest time between two questions, in seconds: each answer is an entry of the log.
pub const MIN_INTERVAL_SECONDS: u64 = 5;
/// The longest time between two questions, in seconds: a gate that asks more rarely watches nothing.
const MAX_INTERVAL_SECONDS: u64 = 3_600;
/// The time between two questions, if nothing is said: monitoring systems seldom know more than that.
pub const DEFAULT_INTERVAL_SECONDS: u64 = 30;
/// The shortest time that an answer may take, in ms.
const MIN_TIMEOUT_MS: u32 = 100;
/// The longest time that an answer may take, in ms.
const MAX_TIMEOUT_MS: u32 = 30_000;
/// The time that an answer may take, if nothing is said, in ms: shorter than the shortest interval.
pub const DEFAULT_TIMEOUT_MS: u32 = 5_000;
/// The most bytes of an answer that may be allowed.
pub const MAX_ANSWER_BYTES: u32 = 1 << 20;
/// The bytes of an answer that are read, if nothing is said: hundreds of series.
pub const DEFAULT_ANSWER_BYTES: u32 = 64 << 10;
/// How many failing answers in a row make a breach, if nothing is said: a single one may be an accident of the asked system.
pub const DEFAULT_CONSECUTIVE_FAILURES: u32 = 3;
/// The most failing answers in a row that may be asked for.
const MAX_CONSECUTIVE_FAILURES: u32 = 100;
/// How many characters of a question its short form has.
const MAX_SHORT_CHARS: usize = 160;

/// Placeholders in an expression, each for a name of the rollout.
const PLACEHOLDERS: [&str; 4] = ["{{rollout}}", "{{surface}}", "{{baseline}}", "{{candidate}}"];

/// What an external gate asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// The value of an expression, which every series of it must keep within a bound.
    PromQl {
        /// The server's address, to which `/api/v1/query` is added.
        url: String,
        /// The expression. `{{rollout}}`, `{{surface}}`, `{{baseline}}` and `{{candidate}}` in it stand for the
        /// rollout's names.
        expression: String,
        /// The bound: [`Bound::Max`] or [`Bound::Min`].
        bound: Bound,
    },
    /// The verdict of a webhook, to which what is known of the rollout is posted.
    Webhook {
        /// The webhook's address.
        url: String,
    },
}

impl Question {
    /// The address that is asked.
    pub fn url(&self) -> &str {
        match self {
            Self::PromQl { url, .. } | Self::Webhook { url } => url,
        }
    }

    /// The question with the names of a rollout in the places of their placeholders.
    pub fn with_names(
        &self,
        rollout: &str,
        surface: &str,
        baseline: &str,
        candidate: &str,
    ) -> Self {
        match self {
            Self::PromQl { url, expression, bound } => {
                let mut expression = expression.clone();
                for (placeholder, name) in
                    PLACEHOLDERS.into_iter().zip([rollout, surface, baseline, candidate])
                {
                    expression = expression.replace(placeholder, name);
                }
                Self::PromQl { url: url.clone(), expression, bound: *bound }
            }
            Self::Webhook { url } => Self::Webhook { url: url.clone() },
        }
    }
}

impl fmt::Display for Question {
    /// A short form for histories.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PromQl { expression, bound, .. } => {
                write!(f, "`{}` {bound}", shortened(expression))
            }
            Self::Webhook { url } => f.write_str(&shortened(url)),
        }
    }
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_SHORT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// A condition on what another system says of a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalGate {
    /// The gate's name, unique in its rollout.
    pub name: String,
    /// What is asked.
    pub question: Question,
    /// The time from one question to the next, in seconds, [`MIN_INTERVAL_SECONDS`] to an hour.
    pub interval_seconds: u64,
    /// How long the answer may take, in ms, 100 to 30,000 and at most the interval.
    pub timeout_ms: u32,
    /// How many bytes the answer may have, 1 to [`MAX_ANSWER_BYTES`].
    pub max_answer_bytes: u32,
    /// How many failing answers in a row make a breach, 1 to 100. Missing answers neither count nor end the row.
    pub consecutive_failures: u32,
    /// What happens on a breach.
    pub on_breach: OnBreach,
    /// Whether it is asked only while the candidate has users of its own: not in the shadow stage, and not while answers are
    /// interleaved.
    pub with_traffic_only: bool,
}

impl ExternalGate {
    /// A gate that rolls back at the third failing answer in a row.
    pub fn new(name: &str, question: Question) -> Self {
        Self {
            name: name.into(),
            question,
            interval_seconds: DEFAULT_INTERVAL_SECONDS,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            max_answer_bytes: DEFAULT_ANSWER_BYTES,
            consecutive_failures: DEFAULT_CONSECUTIVE_FAILURES,
            on_breach: OnBreach::RollBack,
            with_traffic_only: false,
        }
    }
}

/// Why the external gates of a rollout are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExternalGatesError {
    /// There are too many.
    #[error("external_gates: {count} given: a rollout has at most {MAX_EXTERNAL_GATES}")]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// One of them is malformed.
    #[error("external_gates[{index}]: {error}")]
    Gate {
        /// The gate's index.
        index: usize,
        /// What is wrong with it.
        error: ExternalGateError,
    },
    /// A name is there twice.
    #[error("external_gates[{index}]: the name {name} is taken: give each gate its own")]
    Repeated {
        /// The second one's index.
        index: usize,
        /// The name that is taken.
        name: String,
    },
}

/// Why one external gate is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExternalGateError {
    /// The name is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The address is none of a web server.
    #[error(
        "url has to begin with http:// or https:// and has 1 to {MAX_URL_BYTES} bytes of ASCII"
    )]
    Url,
    /// The expression is empty or too long.
    #[error("expression has {length} bytes: 1 to {MAX_EXPRESSION_BYTES} are allowed")]
    Expression {
        /// How long it is, in bytes.
        length: usize,
    },
    /// A placeholder is unknown.
    #[error("expression has an unknown placeholder: {} are known", PLACEHOLDERS.join(", "))]
    Placeholder,
    /// The bound is relative to a baseline, or no number.
    #[error("the bound of an expression is a number, max or min: no ratio")]
    Bound,
    /// The interval is out of bounds.
    #[error(
        "interval_seconds is {seconds}: {MIN_INTERVAL_SECONDS} to {MAX_INTERVAL_SECONDS} are allowed"
    )]
    Interval {
        /// The interval that was given, in seconds.
        seconds: u64,
    },
    /// The timeout is out of bounds.
    #[error(
        "timeout_ms is {timeout_ms}: {MIN_TIMEOUT_MS} to {MAX_TIMEOUT_MS} are allowed, and no more than the interval"
    )]
    Timeout {
        /// The timeout that was given, in ms.
        timeout_ms: u32,
    },
    /// The size of an answer is out of bounds.
    #[error("max_answer_bytes is {bytes}: 1 to {MAX_ANSWER_BYTES} are allowed")]
    AnswerBytes {
        /// The size that was given.
        bytes: u32,
    },
    /// A number of failures out of bounds.
    #[error("consecutive_failures is {count}: 1 to {MAX_CONSECUTIVE_FAILURES} are allowed")]
    ConsecutiveFailures {
        /// The number that was given.
        count: u32,
    },
}

/// Checks the external gates of a rollout, and names the first that is wrong.
pub fn check_external_gates(gates: &[ExternalGate]) -> Result<(), ExternalGatesError> {
    if gates.len() > MAX_EXTERNAL_GATES {
        return Err(ExternalGatesError::TooMany { count: gates.len() });
    }
    for (index, gate) in gates.iter().enumerate() {
        check_gate(gate).map_err(|error| ExternalGatesError::Gate { index, error })?;
        if gates[..index].iter().any(|other| other.name == gate.name) {
            return Err(ExternalGatesError::Repeated { index, name: gate.name.clone() });
        }
    }
    Ok(())
}

fn check_gate(gate: &ExternalGate) -> Result<(), ExternalGateError> {
    let ExternalGate {
        name,
        question,
        interval_seconds,
        timeout_ms,
        max_answer_bytes,
        consecutive_failures,
        on_breach: _,
        with_traffic_only: _,
    } = gate;
    check_name("name", name)?;
    check_question(question)?;
    if !(MIN_INTERVAL_SECONDS..=MAX_INTERVAL_SECONDS).contains(interval_seconds) {
        return Err(ExternalGateError::Interval { seconds: *interval_seconds });
    }
    let is_in_bounds = (MIN_TIMEOUT_MS..=MAX_TIMEOUT_MS).contains(timeout_ms);
    if !is_in_bounds || u64::from(*timeout_ms) > interval_seconds * 1_000 {
        return Err(ExternalGateError::Timeout { timeout_ms: *timeout_ms });
    }
    if !(1..=MAX_ANSWER_BYTES).contains(max_answer_bytes) {
        return Err(ExternalGateError::AnswerBytes { bytes: *max_answer_bytes });
    }
    if !(1..=MAX_CONSECUTIVE_FAILURES).contains(consecutive_failures) {
        return Err(ExternalGateError::ConsecutiveFailures { count: *consecutive_failures });
    }
    Ok(())
}

fn check_question(question: &Question) -> Result<(), ExternalGateError> {
    let url = question.url();
    let is_web = url.starts_with("http://") || url.starts_with("https://");
    if !is_web || url.len() > MAX_URL_BYTES || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ExternalGateError::Url);
    }
    match question {
        Question::Webhook { url: _ } => Ok(()),
        Question::PromQl { url: _, expression, bound } => {
            if expression.trim().is_empty() || expression.len() > MAX_EXPRESSION_BYTES {
                return Err(ExternalGateError::Expression { length: expression.len() });
            }
            if question.with_names("", "", "", "").has_placeholder() {
                return Err(ExternalGateError::Placeholder);
            }
            match bound {
                Bound::Max(value) | Bound::Min(value) if value.is_finite() => Ok(()),
                Bound::Max(_) | Bound::Min(_) | Bound::MaxRatio(_) | Bound::MinRatio(_) => {
                    Err(ExternalGateError::Bound)
                }
            }
        }
    }
}

impl Question {
    /// Whether there is still something like a placeholder in it; PromQL itself has no `{{`.
    fn has_placeholder(&self) -> bool {
        matches!(self, Self::PromQl { expression, .. } if expression.contains("{{"))
    }
}
