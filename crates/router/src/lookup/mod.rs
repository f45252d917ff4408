//! Stage three: what the bundles say of the user, the recent items and the terms of a request, and from it how each
//! leaf is answered.
//!
//! - [`round`]: one round of Lookup calls; [`row_cache`] spares those whose rows are remembered.
//! - [`stored_row`]: a row as a bundle has it; [`looked_up_rows`]: those that were found for one request, as the
//!   interpreter of `core` reads them.
//! - [`looked_up`]: [`LookedUpRequest`](looked_up::LookedUpRequest), the result of this stage: the interpreter's
//!   decision for all leaves.
//! - [`seen_items`]: what each version has seen of the user; [`item_round`] names it for other versions, and
//!   [`name_cache`] remembers the names.
//!
//! Takes [planned requests](crate::planning::planned::PlannedRequest). Later stages look up by [`round`] and
//! [`item_round`] too: what chains sum, what diversification compares, what explanations name.

pub(crate) mod item_round;
pub(crate) mod looked_up;
pub(crate) mod looked_up_rows;
pub(crate) mod name_cache;
pub(crate) mod round;
pub(crate) mod row_cache;
pub(crate) mod seen_items;
pub(crate) mod stored_row;
