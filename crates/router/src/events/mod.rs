//! Events of users, beside the stages: taken from callers, added to requests, told to other routers; and exposures,
//! what users were shown.
//!
//! - [`erasing`]: the logs, without users who are forgotten.
//! - [`recorder`]: the logs that were handed in, as the service uses them.
//! - [`sharing`]: what users had lately, from router to router.

pub(crate) mod erasing;
pub(crate) mod recorder;
pub(crate) mod sharing;
