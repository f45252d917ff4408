//! Settings that fit the data, chosen before a training on what it holds out.
//!
//! Each family declares a coarse [`Grid`](crate::family::grid::Grid). [`walk`](walk()) goes through it from the fixed
//! settings. A trial is trained on all but the last fifth of each user's interactions, and its value is the mean nDCG@20 on that
//! fifth, over a sample of users where they are many. What is found is taken if it is better than the fixed settings
//! by more than the standard error of the difference; otherwise the fixed settings stay. Settings that are given are
//! not searched.
//!
//! Of a hybrid, each member is searched so alone, and the weights are fitted to the lists of what was chosen.
//!
//! What users get of whom nothing is known is chosen otherwise, since they come later: see `fallback`.
//!
//! Everything is a function of data, settings and seed. The cost is bounded by [`MAX_FITS`] fits of the fixed
//! settings: where the grid has more trials than that, they are trained on a sample of the users.
//!
//! Deliberately missing: random draws, which `marquee tune` makes after the same grid, and any look at data that the
//! caller holds out.

mod fallback;
mod search;
mod trials;
mod walk;

pub use fallback::FallbackChoice;
pub(crate) use fallback::choose_fallback;
pub(crate) use search::{Choice, choose};
pub use search::{MAX_FITS, SettingsSearch};
pub(crate) use walk::{Trial, walk};
