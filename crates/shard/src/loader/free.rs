//! Giving memory back, off the request path.
//!
//! A shard that was taken from the table may still be in use by requests that began before. Whoever
//! lets go of it last unmaps it, which takes milliseconds for gigabytes, so this thread makes sure to be
//! the last: it keeps each shard until nobody else does, and only then drops it and says so.

use super::Outcome;
use crate::lifecycle::ReplicaKey;
use marquee_bundle::BundleShard;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How often to look whether requests have let go: they take milliseconds, memory can wait as long.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(super) fn serve(
    unloaded: &Receiver<(ReplicaKey, Arc<BundleShard>)>,
    outcomes: &Sender<Outcome>,
) {
    let mut in_use: Vec<(ReplicaKey, Arc<BundleShard>)> = Vec::new();
    loop {
        let next = match in_use.is_empty() {
            true => unloaded.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => unloaded.recv_timeout(LOOK_AGAIN),
        };
        match next {
            Ok(shard) => in_use.push(shard),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for (key, shard) in std::mem::take(&mut in_use) {
            match Arc::try_unwrap(shard) {
                Ok(shard) => {
                    drop(shard);
                    if outcomes.blocking_send(Outcome::Freed { key }).is_err() {
                        return;
                    }
                }
                Err(shard) => in_use.push((key, shard)),
            }
        }
    }
}
