//! Stage six: why the items of a list are in it, and the answer.
//!
//! - [`explaining`]: [`ExplainedRequest`](explaining::ExplainedRequest), the result of this stage, and the questions
//!   that requests with `explain` ask once their list is there. Nothing of it changes the list; what does not answer
//!   is not said. Requests without `explain` pay nothing.
//! - [`answer`]: from an explained request to an answer, or to an error where too few shards answered.
//!
//! Takes [diversified requests](crate::fusion::diversification::DiversifiedRequest).

pub(crate) mod answer;
pub(crate) mod explaining;
