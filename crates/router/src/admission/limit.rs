//! How many requests a router takes on at once, and how it stops.
//!
//! Requests over the limit are refused at once instead of queued: in a queue all requests would
//! wait for the answers of callers that have gone. A batch counts as its requests.

use crate::error::RouterError;
use crate::pressure::Pressure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The places for requests under way.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    free: Arc<Semaphore>,
    limit: usize,
    draining: Arc<AtomicBool>,
    pressure: Pressure,
}

impl Admission {
    /// Lets so many requests in at once, and heeds how hard pressed the process is.
    pub(crate) fn new(limit: usize, pressure: Pressure) -> Self {
        let free = Arc::new(Semaphore::new(limit));
        Self { free, limit, draining: Arc::default(), pressure }
    }

    /// Lets so many requests in, until what is returned is dropped.
    pub(crate) fn admit(&self, requests: usize) -> Result<OwnedSemaphorePermit, RouterError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(RouterError::Draining);
        }
        if requests > self.limit {
            return Err(RouterError::BatchOverLimit { requests, limit: self.limit });
        }
        // Not more than the limit, which is a u32.
        Arc::clone(&self.free)
            .try_acquire_many_owned(requests as u32)
            .map_err(|_| RouterError::Overload { limit: self.limit })
    }

    /// Whether there is no room for what nobody waits for: callers are being refused, at least half of the places are
    /// taken, or no request is let in any more.
    pub(crate) fn is_pressed(&self) -> bool {
        self.draining.load(Ordering::Acquire)
            || self.pressure.is_limiting()
            || self.free.available_permits().saturating_mul(2) <= self.limit
    }

    /// Lets no request in any more, and waits for those under way; false if that took longer than
    /// `patience`.
    pub(crate) async fn drain(&self, patience: Duration) -> bool {
        self.draining.store(true, Ordering::Release);
        // Held to the end, so that a request that saw no drain finds no place either.
        match timeout(patience, self.free.acquire_many(self.limit as u32)).await {
            Ok(Ok(all)) => {
                all.forget();
                true
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_limit_holds_and_places_come_back() {
        let pressure = Pressure::default();
        let admission = Admission::new(3, pressure.clone());
        assert!(!admission.is_pressed());
        pressure.note(Duration::from_millis(5), true);
        assert!(admission.is_pressed(), "callers are being refused");
        pressure.note(Duration::ZERO, false);
        let two = admission.admit(2).expect("there is room");
        assert!(matches!(admission.admit(2), Err(RouterError::Overload { limit: 3 })));
        assert!(matches!(admission.admit(4), Err(RouterError::BatchOverLimit { .. })));
        let one = admission.admit(1).expect("there is room");
        drop(two);
        assert!(admission.admit(2).is_ok());

        let patience = Duration::from_secs(1);
        assert!(!admission.drain(patience).await, "one is still in");
        assert!(matches!(admission.admit(1), Err(RouterError::Draining)));
        drop(one);
        assert!(admission.drain(patience).await);
    }
}
