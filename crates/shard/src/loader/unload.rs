//! Unloading: memory is given back off the request path.
//!
//! A shard that was taken from the table may still be in use by requests that began before. The thread
//! that drops it last unmaps it, which takes milliseconds for gigabytes. So this thread makes sure to be
//! the last: it keeps each shard until nothing else does, and only then drops it and reports it.

use super::background::lower_priority;
use super::copies::Held;
use super::job::LoadOutcome;
use crate::replica_key::ReplicaKey;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How often to look whether requests still use a shard: they take milliseconds, memory can wait as long.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Frees each shard once no request uses it: the life of a thread, which ends when nothing can come any
/// more.
pub(super) fn free_unloaded<T>(
    unloaded: &Receiver<(ReplicaKey, Arc<T>, Option<Held>)>,
    outcomes: &Sender<LoadOutcome>,
) {
    lower_priority();
    let mut in_use: Vec<(ReplicaKey, Arc<T>, Option<Held>)> = Vec::new();
    loop {
        let next = if in_use.is_empty() {
            unloaded.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            unloaded.recv_timeout(LOOK_AGAIN)
        };
        match next {
            Ok(shard) => in_use.push(shard),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for (key, shard, held) in std::mem::take(&mut in_use) {
            match Arc::try_unwrap(shard) {
                Ok(unused) => {
                    drop(unused);
                    if let Some(held) = held {
                        held.remove();
                    }
                    if outcomes.blocking_send(LoadOutcome::Freed { key }).is_err() {
                        return;
                    }
                }
                Err(still_used) => in_use.push((key, still_used, held)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::id::ModelVersion;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    /// Says on which thread it was dropped.
    struct Mapped(mpsc::Sender<ThreadId>);

    impl Drop for Mapped {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).expect("the test listens");
        }
    }

    #[test]
    fn memory_is_given_back_by_this_thread_and_only_when_no_request_uses_it() {
        let (unload, unloaded) = mpsc::channel();
        let (outcomes, mut heard) = tokio::sync::mpsc::channel(4);
        let freeing = std::thread::spawn(move || free_unloaded(&unloaded, &outcomes));
        let (drops, dropped) = mpsc::channel();
        let key = |shard| ReplicaKey::new(ModelVersion::new("films", 1), shard);
        let mut freed = || match heard.blocking_recv() {
            Some(LoadOutcome::Freed { key }) => key.shard,
            other => panic!("{other:?}"),
        };
        let used = Arc::new(Mapped(drops.clone()));
        unload.send((key(0), Arc::clone(&used), None)).expect("it listens");
        // One that is not in use overtakes it.
        unload.send((key(1), Arc::new(Mapped(drops)), None)).expect("it listens");
        assert_eq!(freed(), 1);
        assert_eq!(dropped.recv(), Ok(freeing.thread().id()));
        drop(used);
        assert_eq!(freed(), 0);
        assert_eq!(dropped.recv(), Ok(freeing.thread().id()));
        drop(unload);
        freeing.join().expect("it ends");
    }
}
