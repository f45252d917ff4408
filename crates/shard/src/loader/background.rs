//! Background work: it gives way to everything else, but is not put off for ever.
//!
//! On Linux a first attempt is made by a thread of the scheduler's idle class. Such a thread runs where a
//! processor has nothing else to do, and gives way at once; a thread that only has a high niceness keeps its
//! turn for a while. On processors that are always busy the attempt would hardly run at all, although the
//! node may be waiting for the very version that makes it less busy. So the wait is bounded, and then
//! the work is begun anew by a thread with a high niceness, which gets a tenth or so of a busy core. What
//! the first attempt had read is in the system's cache by then.
//!
//! An attempt that came too late is dropped when it is done; it cannot be stopped.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The niceness of background work that does not wait for idle time.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Does the work in idle time, or on this thread once `longest_wait` is over, and returns its result.
/// `work` must not panic, and is done twice if it takes longer than that. The calling thread has a low
/// priority ([`lower_priority`]).
pub(super) fn run_in_background<T: Send + 'static>(
    longest_wait: Duration,
    work: impl Fn() -> T + Send + Sync + 'static,
) -> T {
    let shared = Arc::new(work);
    let first_attempt = Arc::clone(&shared);
    let (done, result) = mpsc::channel();
    let idle = thread::Builder::new().name("shard-load-idle".into()).spawn(move || {
        use_idle_class();
        // An attempt that comes too late has no receiver.
        let _ = done.send(first_attempt());
    });
    // Without a thread the channel is closed, and this thread does the work.
    if let Err(error) = idle {
        tracing::debug!(%error, "no thread to load in idle time");
    }
    result.recv_timeout(longest_wait).unwrap_or_else(|_| shared())
}

/// Gives this thread a high niceness, so that threads that answer go first. Does nothing where the system
/// has no niceness for threads.
pub(crate) fn lower_priority() {
    // On Linux, and only there, niceness is a thread's own.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "bundles are loaded at normal priority");
    }
}

/// Makes this thread run only while a processor has nothing else to do, on systems that have such a
/// class.
fn use_idle_class() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::*;
        use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority};
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // It also asks for a niceness of 0, which a thread with a high one may be refused.
        let asked = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
        if thread_schedule_policy() != Ok(idle) {
            tracing::debug!(?asked, "bundles are not loaded in idle time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn brief_work_is_done_once_and_elsewhere() {
        let caller = thread::current().id();
        let elsewhere = run_in_background(LONG, move || thread::current().id() != caller);
        assert!(elsewhere);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_done_in_idle_time() {
        use thread_priority::unix::*;
        let policy = run_in_background(LONG, thread_schedule_policy).expect("Linux says");
        let idle = ThreadSchedulePolicy::Normal(thread_priority::NormalThreadSchedulePolicy::Idle);
        assert_eq!(policy, idle);
        // The thread that waits stays as it was.
        assert_ne!(thread_schedule_policy(), Ok(idle));
    }

    #[test]
    fn after_the_longest_wait_the_work_is_done_here() {
        let caller = thread::current().id();
        let (finish, finished) = mpsc::channel::<()>();
        let finished = Mutex::new(finished);
        let here = run_in_background(Duration::ZERO, move || {
            let here = thread::current().id() == caller;
            if !here {
                // Starved, until the test is over.
                let _ = finished.lock().expect("held by one").recv();
            }
            here
        });
        assert!(here);
        drop(finish);
    }
}
