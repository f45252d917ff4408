//! Stage five: the lists of the leaves become one list.
//!
//! - [`evaluate`]: executes the tree of an ensemble: which leaves to search next, and how their lists are fused.
//! - [`fusing`]: [`FusingRequest`](fusing::FusingRequest), a request between two rounds of searches, and
//!   [`FusedRequest`](fusing::FusedRequest), one that has its list.
//! - [`diversification`]: the final stage of an ensemble that has one;
//!   [`DiversifiedRequest`](diversification::DiversifiedRequest) is the result of this stage.
//! - [`offline`]: the same over leaves that answer at once, for evaluation.
//!
//! Takes [searching requests](crate::search::searching::SearchingRequest).

pub(crate) mod diversification;
pub(crate) mod evaluate;
pub(crate) mod fusing;
pub(crate) mod offline;
