//! What the pool does: work of independent units.

use crate::error::RequestError;
use marquee_bundle::{CancelFlag, SearchScratch};
use std::time::Duration;

/// A request cut into units that any thread may do, in any order.
pub(crate) trait Work: Send + Sync + 'static {
    /// The result of a unit.
    type Output: Send + 'static;

    /// How many units there are.
    fn units(&self) -> usize;

    /// The room that it takes in the queue: the number of its units, unless each of them has several queries.
    fn size(&self) -> usize {
        self.units()
    }

    /// How long all units together are expected to take, one after another; none if that is not
    /// known. It is not asked for work of a larger size than [`MAX_BRIEF_UNITS`](super::MAX_BRIEF_UNITS).
    fn expected(&self) -> Option<Duration>;

    /// Does one unit, and gives up when the flag is raised.
    fn run(
        &self,
        unit: usize,
        cancel: &CancelFlag,
        scratch: &mut SearchScratch,
    ) -> Result<Self::Output, RequestError>;
}
