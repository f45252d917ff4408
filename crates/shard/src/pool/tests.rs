//! What the pool guarantees, with work that says when it runs.

use super::ticket::Ticket as _;
use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

type Run = dyn Fn(usize, &CancelFlag) -> Result<usize, RequestError> + Send + Sync;

/// Work of so many units, each of which calls the function, and how long all of it may take.
struct Calls(usize, Box<Run>, Option<Duration>);

impl Work for Calls {
    type Output = usize;

    fn units(&self) -> usize {
        self.0
    }

    fn expected(&self) -> Option<Duration> {
        self.2
    }

    fn run(
        &self,
        unit: usize,
        cancel: &CancelFlag,
        _: &mut SearchScratch,
    ) -> Result<usize, RequestError> {
        (self.1)(unit, cancel)
    }
}

fn calls(
    units: usize,
    run: impl Fn(usize, &CancelFlag) -> Result<usize, RequestError> + Send + Sync + 'static,
) -> Calls {
    Calls(units, Box::new(run), None)
}

impl Calls {
    fn expected_to_take(self, time: Duration) -> Self {
        Self(self.0, self.1, Some(time))
    }
}

fn soon() -> WorkTerms {
    until(Instant::now() + Duration::from_secs(60))
}

fn until(deadline: Instant) -> WorkTerms {
    WorkTerms { deadline, priority: Priority::Interactive }
}

fn pool(threads: usize, max_units: usize) -> Arc<Pool> {
    Arc::new(Pool::start(threads, max_units).expect("threads").0)
}

/// Work of one unit that says that it runs, and ends when told to.
fn blocked() -> (Calls, Receiver<()>, Sender<()>) {
    let ((runs, running), (go, told)) = (channel(), channel());
    let told = Mutex::new(told);
    let work = calls(1, move |_, _| {
        runs.send(()).expect("the test listens");
        told.lock().expect("not poisoned").recv().expect("the test tells");
        Ok(7)
    });
    (work, running, go)
}

/// Runs work in the background.
fn spawn(
    pool: &Arc<Pool>,
    work: Calls,
) -> tokio::task::JoinHandle<Result<Vec<usize>, RequestError>> {
    let pool = Arc::clone(pool);
    tokio::spawn(async move { pool.run(work, soon()).await })
}

#[tokio::test]
async fn units_come_back_in_order_on_whichever_threads() {
    let pool = pool(3, 1_000);
    let answers = pool.run(calls(1_000, |unit, _| Ok(unit * unit)), soon()).await;
    assert_eq!(answers, Ok((0..1_000).map(|unit| unit * unit).collect()));
    assert_eq!(pool.run(calls(0, |_, _| Ok(0)), soon()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_batch_is_spread_over_threads() {
    let pool = pool(2, 10);
    let meeting = std::sync::Barrier::new(2);
    // Each unit waits for the other: one thread alone would wait for ever.
    let work = calls(2, move |unit, _| {
        meeting.wait();
        Ok(unit)
    });
    assert_eq!(pool.run(work, soon()).await, Ok(vec![0, 1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_bounded_and_gives_room_back() {
    let pool = pool(1, 3);
    let (work, running, go) = blocked();
    let first = spawn(&pool, work);
    running.recv().expect("it runs");
    let error = pool.run(calls(3, |_, _| Ok(0)), soon()).await.expect_err("no room");
    assert_eq!(error, RequestError::QueueFull { admitted: 1, asked: 3, bound: 3 });
    // What was refused takes no room; what fits is admitted still.
    let second = spawn(&pool, calls(2, |unit, _| Ok(unit)));
    go.send(()).expect("it waits");
    assert_eq!(first.await.expect("no panic"), Ok(vec![7]));
    assert_eq!(second.await.expect("no panic"), Ok(vec![0, 1]));
    let third = pool.run(calls(3, |unit, _| Ok(unit)), soon()).await;
    assert_eq!(third, Ok(vec![0, 1, 2]), "the room was given back before the answer came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_stops_what_runs_and_what_waits_never_begins() {
    let pool = pool(1, 10);
    let begun = Arc::new(AtomicUsize::new(0));
    let (runs, running) = channel();
    let work = {
        let begun = Arc::clone(&begun);
        calls(5, move |_, cancel| {
            begun.fetch_add(1, Ordering::SeqCst);
            runs.send(()).expect("the test listens");
            while !cancel.is_cancelled() {
                std::thread::yield_now();
            }
            Err(RequestError::Cancelled)
        })
    };
    let stopped = spawn(&pool, work);
    running.recv().expect("it runs");
    let waits = {
        let begun = Arc::clone(&begun);
        spawn(&pool, calls(1, move |_, _| Ok(begun.fetch_add(100, Ordering::SeqCst))))
    };
    tokio::task::yield_now().await;
    waits.abort();
    assert!(waits.await.is_err());
    stopped.abort();
    assert!(stopped.await.is_err());
    // The only thread gets here, so nothing is stuck; and of the ten units above one was begun.
    assert_eq!(pool.run(calls(1, |_, _| Ok(1)), soon()).await, Ok(vec![1]));
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_wait_and_expired_work_is_never_begun() {
    let pool = pool(1, 10);
    let (work, running, go) = blocked();
    let first = spawn(&pool, work);
    running.recv().expect("it runs");
    let begun = Arc::new(AtomicUsize::new(0));
    let late = {
        let begun = Arc::clone(&begun);
        calls(1, move |_, _| Ok(begun.fetch_add(1, Ordering::SeqCst)))
    };
    let deadline = Instant::now() + Duration::from_millis(5);
    assert_eq!(pool.run(late, until(deadline)).await, Err(RequestError::DeadlineExceeded));
    go.send(()).expect("it waits");
    assert_eq!(first.await.expect("no panic"), Ok(vec![7]));
    assert_eq!(pool.run(calls(1, |_, _| Ok(1)), soon()).await, Ok(vec![1]));
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[test]
fn a_thread_does_not_begin_what_has_expired_even_if_the_caller_has_not_noticed() {
    let queue = Queue::new(1);
    let work = calls(1, |_, _| panic!("begun"));
    let (job, mut outcome) = Job::new(work, Instant::now(), queue.admit(1).expect("room"));
    assert_eq!(job.turn(QUANTUM, &mut SearchScratch::new()), Turn::Over);
    assert_eq!(outcome.try_recv(), Ok(Err(RequestError::DeadlineExceeded)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_query_does_not_wait_for_a_batch() {
    let pool = pool(1, 1_000);
    let done = Arc::new(AtomicUsize::new(0));
    let (runs, running) = oneshot::channel();
    let runs = Mutex::new(Some(runs));
    let batch = {
        let done = Arc::clone(&done);
        calls(100, move |unit, _| {
            if let Some(runs) = runs.lock().expect("not poisoned").take() {
                runs.send(()).expect("the test listens");
            }
            std::thread::sleep(QUANTUM);
            done.fetch_add(1, Ordering::SeqCst);
            Ok(unit)
        })
    };
    let batch = spawn(&pool, batch);
    running.await.expect("it runs");
    let seen = Arc::clone(&done);
    let single = calls(1, move |_, _| Ok(seen.load(Ordering::SeqCst)));
    let before = pool.run(single, soon()).await.expect("an answer")[0];
    assert!(before < 100, "the single query waited for all {before} of the batch");
    assert_eq!(batch.await.expect("no panic").map(|answers| answers.len()), Ok(100));
}

#[tokio::test]
async fn a_panic_costs_its_own_request_alone() {
    let pool = pool(1, 10);
    let work = calls(3, |unit, _| if unit == 1 { panic!("on purpose") } else { Ok(unit) });
    assert_eq!(pool.run(work, soon()).await, Err(RequestError::Internal));
    assert_eq!(pool.run(calls(2, |unit, _| Ok(unit)), soon()).await, Ok(vec![0, 1]));
}

#[tokio::test]
async fn an_error_stops_the_rest() {
    let pool = pool(1, 10);
    let begun = Arc::new(AtomicUsize::new(0));
    let work = {
        let begun = Arc::clone(&begun);
        calls(10, move |unit, _| match unit {
            2 => Err(RequestError::invalid("ops[0]", "wrong")),
            _ => Ok(begun.fetch_add(1, Ordering::SeqCst)),
        })
    };
    assert_eq!(pool.run(work, soon()).await, Err(RequestError::invalid("ops[0]", "wrong")));
    assert_eq!(pool.run(calls(1, |_, _| Ok(1)), soon()).await, Ok(vec![1]));
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_finishes_what_was_admitted_and_refuses_the_rest() {
    let (pool, threads) = Pool::start(1, 10).expect("threads");
    let pool = Arc::new(pool);
    let (work, running, go) = blocked();
    let first = spawn(&pool, work);
    running.recv().expect("it runs");
    let second = spawn(&pool, calls(1, |_, _| Ok(8)));
    // No queue has room for that many: the refusal tells how many there are.
    while !matches!(pool.queue.admit(usize::MAX), Err(RequestError::QueueFull { admitted: 2, .. }))
    {
        tokio::task::yield_now().await;
    }
    pool.close();
    assert_eq!(pool.run(calls(1, |_, _| Ok(1)), soon()).await, Err(RequestError::ShuttingDown));
    go.send(()).expect("it waits");
    assert_eq!(first.await.expect("no panic"), Ok(vec![7]));
    for thread in threads {
        thread.join().expect("it ends");
    }
    // It was waiting in the queue, or just too late for it.
    let second = second.await.expect("no panic");
    assert!(matches!(second, Ok(_) | Err(RequestError::ShuttingDown)), "{second:?}");
}

/// Whether this thread does each of so many units, if all are expected to take so long.
async fn done_by(pool: &Pool, units: usize, expected: Duration) -> Vec<bool> {
    let me = std::thread::current().id();
    let work = calls(units, move |_, _| Ok(usize::from(std::thread::current().id() == me)));
    let outputs = pool.run(work.expected_to_take(expected), soon()).await.expect("done");
    outputs.into_iter().map(|here| here == 1).collect()
}

#[tokio::test]
async fn brief_work_is_done_where_it_was_asked_for() {
    let pool = pool(1, 100);
    assert_eq!(done_by(&pool, 1, BRIEF).await, [true]);
    assert_eq!(done_by(&pool, 3, BRIEF).await, [true; 3]);
    assert_eq!(done_by(&pool, 1, BRIEF + Duration::from_nanos(1)).await, [false]);
    let batch = MAX_BRIEF_UNITS + 1;
    assert_eq!(done_by(&pool, batch, Duration::ZERO).await, vec![false; batch]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brief_work_has_the_bounds_of_other_work() {
    let (pool, threads) = Pool::start(1, 2).expect("threads");
    let pool = Arc::new(pool);
    let brief = |units| calls(units, |unit, _| Ok(unit)).expected_to_take(Duration::ZERO);
    let (work, running, go) = blocked();
    let slow = spawn(&pool, work);
    running.recv().expect("it runs");
    assert_eq!(pool.run(brief(1), soon()).await, Ok(vec![0]), "it does not wait for a thread");
    let full = RequestError::QueueFull { admitted: 1, asked: 2, bound: 2 };
    assert_eq!(pool.run(brief(2), soon()).await, Err(full));
    assert_eq!(
        pool.run(brief(1), until(Instant::now())).await,
        Err(RequestError::DeadlineExceeded)
    );
    go.send(()).expect("it waits");
    assert_eq!(slow.await.expect("no panic"), Ok(vec![7]));
    assert_eq!(pool.run(brief(2), soon()).await, Ok(vec![0, 1]), "room was given back");
    let panics = calls(1, |_, _| panic!("on purpose")).expected_to_take(Duration::ZERO);
    assert_eq!(pool.run(panics, soon()).await, Err(RequestError::Internal));
    assert_eq!(pool.run(brief(1), soon()).await, Ok(vec![0]));
    pool.close();
    assert_eq!(pool.run(brief(1), soon()).await, Err(RequestError::ShuttingDown));
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
}
