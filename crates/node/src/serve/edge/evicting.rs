//! Places whose holders are told when they have to leave.

use marquee_core::limits::peer::Peer;
use marquee_core::limits::places::{NoPlace, PlaceBounds, Places, Taken};
use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Places of one kind. Clones share them.
#[derive(Clone, Default)]
pub(super) struct EvictingPlaces(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    places: Places,
    /// Dropping one tells the holder of that place to leave.
    holders: HashMap<u64, oneshot::Sender<()>>,
}

/// A place that is held until it is dropped.
pub(super) struct HeldPlace {
    number: u64,
    all: EvictingPlaces,
    eviction: oneshot::Receiver<()>,
}

impl EvictingPlaces {
    /// Takes a place, for which another holder may have to leave.
    pub(super) fn take(
        &self,
        peer: &Peer,
        connection: u64,
        bounds: &PlaceBounds,
    ) -> Result<HeldPlace, NoPlace> {
        let mut state = self.state();
        let Taken { number, evicted } = state.places.take(peer, connection, bounds)?;
        if let Some(number) = evicted {
            state.holders.remove(&number);
        }
        let (holder, eviction) = oneshot::channel();
        state.holders.insert(number, holder);
        Ok(HeldPlace { number, all: self.clone(), eviction })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldPlace {
    /// Ready once the holder has to leave.
    pub(super) fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.eviction).poll(cx).map(drop)
    }

    /// Waits until the holder has to leave.
    pub(super) async fn evicted(&mut self) {
        std::future::poll_fn(|cx| self.poll_evicted(cx)).await;
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        let mut state = self.all.state();
        state.places.leave(self.number);
        state.holders.remove(&self.number);
    }
}
