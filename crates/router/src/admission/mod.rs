//! Stage one: what a caller asks for, how long it may take, and whether there is room for it.
//!
//! - [`request`]: [`RankingRequest`](request::RankingRequest), the result of this stage: what the checked requests of
//!   all RPCs have in common.
//! - [`deadline`]: until when a call is to be answered.
//! - [`size`]: refuses at once what no message could answer.
//! - [`limit`]: admits calls, or refuses them at once where too many are under way.
//!
//! The [service](crate::service) calls this before anything else. It imports no other stage.

pub(crate) mod deadline;
pub(crate) mod limit;
pub(crate) mod request;
pub(crate) mod size;
