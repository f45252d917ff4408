//! Stage three: what the bundles say of the user, the recent items and the terms of a request, and from it how each
//! leaf is answered.
//!
//! - [`round`]: one round of Lookup calls; [`row_cache`] spares those whose rows are remembered.
//! - [`stored_row`]: a row as a bundle has it; [`looked_up_rows`]: those that were found for one request.
//! - [`leaf_plan`]: how a leaf is answered, decided from these rows.
//! - [`looked_up`]: [`LookedUpRequest`](looked_up::LookedUpRequest), the result of this stage.
//! - [`vector_basis`]: the items that a leaf's vector is a sum of, noted for explanations.
//!
//! Takes [planned requests](crate::planning::planned::PlannedRequest). Later stages look up by [`round`] too: what
//! chains sum, and what diversification compares.

pub(crate) mod leaf_plan;
pub(crate) mod looked_up;
pub(crate) mod looked_up_rows;
pub(crate) mod round;
pub(crate) mod row_cache;
pub(crate) mod stored_row;
pub(crate) mod vector_basis;
