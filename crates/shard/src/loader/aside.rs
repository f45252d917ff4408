//! Work that lets everybody else go first, and is not put off for ever.
//!
//! On Linux an attempt is made by a thread of the scheduler's idle class, which runs where a processor has
//! nothing else to do and gives way at once, where one that is only nice keeps its turn for a while. Where
//! processors always have something to do it would hardly run at all, and a node that is busy may be waiting
//! for just the version that makes it less so. So patience ends, and the work is begun anew by a thread
//! that is nice only, which has a share of its own: a tenth or so of a core that others want. What the
//! first attempt had read is in the system's cache then.
//!
//! An attempt that came too late is dropped when it is done; it cannot be stopped.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How nice hurried work is.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// What the work comes to. `work` must not panic, and is done twice if it takes longer than
/// `patience`. Whoever calls this is nice.
pub(super) fn aside<T: Send + 'static>(
    patience: Duration,
    work: impl Fn() -> T + Send + Sync + 'static,
) -> T {
    let work = Arc::new(work);
    let (done, outcome) = mpsc::channel();
    let attempt = {
        let work = Arc::clone(&work);
        move || {
            be_idle();
            // Nobody listens to an attempt that came too late.
            let _ = done.send(work());
        }
    };
    // Without a thread nobody will send anything, and this one goes on.
    if let Err(error) = thread::Builder::new().name("shard-load-idle".into()).spawn(attempt) {
        tracing::debug!(%error, "no thread to load in idle time");
    }
    outcome.recv_timeout(patience).unwrap_or_else(|_| work())
}

/// Lets others go first, if they want more than the rest. A system that doesn't know how loads a little
/// less quietly.
pub(super) fn be_nice() {
    // On Linux, and only there, niceness is a thread's own.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "bundles are loaded at normal priority");
    }
}

/// Runs only while a processor has nothing else to do, on systems that know of such a thing.
fn be_idle() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::unix::*;
        use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority};
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // It also asks for the niceness of others, which a thread that is nice may be refused.
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
    fn what_takes_not_too_long_is_done_once_and_elsewhere() {
        let caller = thread::current().id();
        let elsewhere = aside(LONG, move || thread::current().id() != caller);
        assert!(elsewhere);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_done_in_idle_time() {
        use thread_priority::unix::*;
        let policy = aside(LONG, thread_schedule_policy).expect("Linux says");
        let idle = ThreadSchedulePolicy::Normal(thread_priority::NormalThreadSchedulePolicy::Idle);
        assert_eq!(policy, idle);
        // The one who waits stays as it was.
        assert_ne!(thread_schedule_policy(), Ok(idle));
    }

    #[test]
    fn patience_ends_and_the_work_is_done_here() {
        let caller = thread::current().id();
        let (finish, finished) = mpsc::channel::<()>();
        let finished = Mutex::new(finished);
        let here = aside(Duration::ZERO, move || {
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
