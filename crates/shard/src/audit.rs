//! The live audit: some of the approximate searches are made once more, exactly, and their recall is counted.
//!
//! An index is audited when it is built, with queries of that day. What users ask is another matter: so one thread
//! takes a query whenever it has time, searches for it exactly, and compares. No answer waits for that: a query is
//! handed over after it was answered, and only if the thread is waiting for one. After each search the thread
//! rests so long that it takes at most [`BUDGET`] of one processor, which it leaves to others where they want it.

use crate::usage::{OperationsSpent, RecallCounts};
use marquee_bundle::{
    Allow, BundleShard, CancelFlag, Hit, RowBitmap, SearchParams, SearchScratch, VectorMeasure,
    dense_top_k,
};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The share of one processor's time that exact searches may take: an answer costs a hundredth of it, however
/// slow exact searches are.
const BUDGET: f64 = 0.01;
/// The shortest and the longest rest after a search. The shortest bounds how often queries are copied; the longest is
/// for searches that the system held up.
const SHORTEST_REST: Duration = Duration::from_millis(20);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// A query that was answered approximately, with its answer.
#[derive(Debug)]
pub(crate) struct AnsweredQuery {
    /// The shard that was searched, which may be unloaded meanwhile.
    pub(crate) shard: Weak<BundleShard>,
    pub(crate) matrix: String,
    pub(crate) measure: VectorMeasure,
    pub(crate) vector: Vec<f32>,
    /// How many results were wanted.
    pub(crate) count: usize,
    /// The rows that the filter allows; none: all.
    pub(crate) allowed: Option<RowBitmap>,
    /// The rows that must not be found, ascending.
    pub(crate) excluded: Vec<u32>,
    /// The scores of what was found.
    pub(crate) scores: Vec<f32>,
}

impl AnsweredQuery {
    /// The recall of the answer; none if the shard is gone or cannot be searched any more, or nothing is to be found.
    fn recall(&self, cancel: &CancelFlag, scratch: &mut SearchScratch) -> Option<f64> {
        let shard = self.shard.upgrade()?;
        let params = SearchParams {
            allow: self.allowed.as_ref().map_or(Allow::All, Allow::Rows),
            exclude_rows: &self.excluded,
            exact: true,
            ..SearchParams::new(self.count, cancel)
        };
        let found = dense_top_k(&shard, &self.matrix, &self.vector, self.measure, &params, scratch);
        match found {
            Ok(truth) if !shard.has_failed() => recall_of(&self.scores, &truth),
            _ => None,
        }
    }
}

/// The share of the truly best rows that are as good as what was found: rows that tie with the last are as good.
fn recall_of(found: &[f32], truth: &[Hit]) -> Option<f64> {
    let last = truth.last()?.score;
    let good = found.iter().filter(|&&score| score >= last).count();
    Some(good.min(truth.len()) as f64 / truth.len() as f64)
}

/// How long the thread rests after a search that took so long.
fn rest_after(took: Duration) -> Duration {
    let rest = took.as_secs_f64() * (1.0 - BUDGET) / BUDGET;
    Duration::from_secs_f64(rest.min(LONGEST_REST.as_secs_f64())).max(SHORTEST_REST)
}

/// Where answered queries are handed to the thread that audits them.
#[derive(Debug, Default)]
pub(crate) struct LiveAudit {
    /// Whether the thread waits for a query.
    wants: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    cancel: CancelFlag,
}

#[derive(Debug, Default)]
struct State {
    query: Option<AnsweredQuery>,
    is_closed: bool,
}

impl LiveAudit {
    /// Starts the thread that audits; `lower_priority` is called on it first.
    pub(crate) fn start(
        spent: Arc<OperationsSpent>,
        lower_priority: fn(),
    ) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let audit = Arc::new(Self::default());
        let its_audit = Arc::clone(&audit);
        let thread = std::thread::Builder::new().name("shard-audit".into()).spawn(move || {
            lower_priority();
            its_audit.run(&spent.recall);
        })?;
        Ok((audit, thread))
    }

    /// Hands over a query, if the thread waits for one; `make` is called only then.
    pub(crate) fn offer(&self, make: impl FnOnce() -> AnsweredQuery) {
        if self.wants.load(Ordering::Relaxed) && self.wants.swap(false, Ordering::AcqRel) {
            self.state().query = Some(make());
            self.changed.notify_one();
        }
    }

    /// Ends the thread, soon.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.cancel.cancel();
        self.changed.notify_all();
    }

    /// The life of the thread.
    fn run(&self, counts: &RecallCounts) {
        let mut scratch = SearchScratch::new();
        while let Some(query) = self.next() {
            let began = Instant::now();
            if let Some(recall) = query.recall(&self.cancel, &mut scratch) {
                counts.count(query.count, recall);
            }
            drop(query);
            if self.rest(rest_after(began.elapsed())) {
                return;
            }
        }
    }

    /// The next query; none once it is closed.
    fn next(&self) -> Option<AnsweredQuery> {
        let mut state = self.state();
        self.wants.store(true, Ordering::Release);
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(query) = state.query.take() {
                return Some(query);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits so long, or until it is closed; whether it is.
    fn rest(&self, time: Duration) -> bool {
        let is_open = |state: &mut State| !state.is_closed;
        let waited = self.changed.wait_timeout_while(self.state(), time, is_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_what_is_as_good() {
        let truth: Vec<Hit> =
            [9.0, 5.0, 5.0, 4.0].map(|score| Hit { ordinal: 0, row: 0, score }).to_vec();
        assert_eq!(recall_of(&[9.0, 5.0, 5.0, 4.0], &truth), Some(1.0));
        assert_eq!(recall_of(&[9.0, 5.0, 3.0, 2.0], &truth), Some(0.5));
        assert_eq!(recall_of(&[9.0, 5.0, 5.0, 4.0], &truth[..3]), Some(1.0));
        assert_eq!(recall_of(&[], &truth), Some(0.0));
        assert_eq!(recall_of(&[1.0], &[]), None);
    }

    #[test]
    fn the_rest_keeps_the_budget() {
        assert_eq!(rest_after(Duration::ZERO), SHORTEST_REST);
        assert_eq!(rest_after(Duration::from_millis(10)), Duration::from_millis(990));
        assert_eq!(rest_after(Duration::from_secs(100)), LONGEST_REST);
    }

    fn query(count: usize) -> AnsweredQuery {
        AnsweredQuery {
            shard: Weak::new(),
            matrix: "item_factors".into(),
            measure: VectorMeasure::InnerProduct,
            vector: vec![1.0],
            count,
            allowed: None,
            excluded: Vec::new(),
            scores: Vec::new(),
        }
    }

    #[test]
    fn a_query_is_copied_only_when_one_is_wanted() {
        let audit = LiveAudit::default();
        audit.offer(|| panic!("nobody waits"));
        audit.wants.store(true, Ordering::Release);
        audit.offer(|| query(1));
        audit.offer(|| panic!("one is enough"));
        assert_eq!(audit.next().map(|query| query.count), Some(1));
        audit.close();
        assert!(audit.next().is_none());
        assert!(audit.rest(LONGEST_REST));
    }

    /// A shard that is gone is not held, and counts for nothing.
    #[test]
    fn an_unloaded_shard_is_left_out() {
        let (cancel, mut scratch) = (CancelFlag::new(), SearchScratch::new());
        assert_eq!(query(3).recall(&cancel, &mut scratch), None);
    }
}
