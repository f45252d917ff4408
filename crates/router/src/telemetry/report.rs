//! Closes windows and hands them over.
//!
//! Windows add up, so nothing is dropped while the reader is slow: what finds no room in the queue waits and
//! is added to the next one of the same trial and share, or surface. Only what waits for more of them than
//! [`MAX_KEYS`] is dropped, the least share of a trial first, and said once.

use super::buffer::{Batch, RouterTelemetry};
use super::limits::{MAX_KEYS, WINDOW};
use super::scope::WindowKey;
use super::window::{Memory, close};
use marquee_core::plan::Plan;
use marquee_core::rollout::window::{Scope, Window};
use marquee_proto::control::v1::TelemetryWindow;
use marquee_proto::convert::window::measured_to_pb;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Windows that wait for the reader before they are added up: all that a tick may have.
const MAX_REPORTS: usize = MAX_KEYS;

/// What was measured of one trial while its arms had the same shares, or of one surface.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The trial or surface that it is of.
    pub scope: Scope,
    /// The share of the last arm; 0 for a surface.
    pub weight_basis_points: u32,
    /// What was measured, arm by arm.
    pub window: Window,
}

impl Report {
    /// As control wants it.
    pub fn to_wire(&self) -> TelemetryWindow {
        let Self { scope, weight_basis_points, window } = self;
        measured_to_pb(scope, *weight_basis_points, window)
    }
}

/// The task that reports, and how to end it.
pub(crate) struct Reporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Reporting {
    /// Closes the last window and hands it over.
    pub(crate) async fn finish(self) {
        // A task that has ended already cannot be told.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the last windows of telemetry were not reported");
        }
    }

    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}

/// Begins to observe, and to report every [`WINDOW`].
pub(crate) fn start_reporting(
    telemetry: Arc<RouterTelemetry>,
    plan: watch::Receiver<Arc<Plan>>,
) -> (Reporting, mpsc::Receiver<Report>) {
    let (reports, reader) = mpsc::channel(MAX_REPORTS);
    let (stop, stopped) = oneshot::channel();
    telemetry.turn(true);
    let task = tokio::spawn(run(telemetry, plan, reports, stopped));
    (Reporting { stop, task }, reader)
}

async fn run(
    telemetry: Arc<RouterTelemetry>,
    plan: watch::Receiver<Arc<Plan>>,
    reports: mpsc::Sender<Report>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut tick = interval_at(Instant::now() + WINDOW, WINDOW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut memory = Memory::default();
    let mut backlog = Backlog::default();
    let mut spare = Batch::default();
    loop {
        let is_last = tokio::select! {
            _ = tick.tick() => false,
            _ = &mut stopped => true,
            () = reports.closed() => break,
        };
        let batch = telemetry.take(std::mem::take(&mut spare));
        let current = Arc::clone(&plan.borrow());
        let now = telemetry.clock().follow();
        // Some milliseconds for thousands of answers: no thread that answers callers is to stand still.
        let closing = spawn_blocking(move || {
            let windows = close(&batch, &mut memory, &current, now);
            (windows, memory, batch)
        });
        memory = match closing.await {
            Ok((windows, memory, batch)) => {
                backlog.add(windows);
                spare = batch;
                spare.clear();
                memory
            }
            Err(error) => {
                tracing::error!(%error, "a window of telemetry could not be closed; what was remembered of callers is gone, too");
                Memory::default()
            }
        };
        backlog.send(&reports);
        if is_last {
            break;
        }
    }
    telemetry.turn(false);
}

/// Windows that were not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: BTreeMap<WindowKey, Window>,
    has_complained: bool,
}

impl Backlog {
    pub(crate) fn add(&mut self, windows: Vec<(WindowKey, Window)>) {
        for (key, window) in windows {
            self.waiting.entry(key).or_default().absorb(&window);
        }
    }

    /// Sends what there is room for.
    pub(crate) fn send(&mut self, reports: &mpsc::Sender<Report>) {
        while let Some((key, window)) = self.waiting.pop_first() {
            let WindowKey { scope, arms, weight_basis_points } = key;
            let report = Report { scope, weight_basis_points, window };
            let Err(refused) = reports.try_send(report) else { continue };
            if let TrySendError::Full(report) = refused {
                let Report { scope, weight_basis_points, window } = report;
                self.waiting.insert(WindowKey { scope, arms, weight_basis_points }, window);
                self.complain();
            }
            return;
        }
        self.has_complained = false;
    }

    fn complain(&mut self) {
        if !std::mem::replace(&mut self.has_complained, true) {
            tracing::warn!("windows of telemetry are not taken: they are added up until they are");
        }
        while self.waiting.len() > MAX_KEYS {
            self.waiting.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(automated: u64) -> Window {
        Window { automated, ..Window::new(2) }
    }

    fn key(trial: u32, weight_basis_points: u32) -> WindowKey {
        WindowKey { scope: Scope::Trial(format!("t{trial:04}")), arms: 2, weight_basis_points }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_added_to_the_next() {
        let (sender, mut reader) = mpsc::channel(1);
        let mut backlog = Backlog::default();
        for n in 1..=4 {
            backlog.add(vec![(key(1, 100), window(n)), (key(1, 200), window(10 * n))]);
            backlog.send(&sender);
        }
        assert!(backlog.has_complained);
        let mut seen = BTreeMap::new();
        while let Ok(report) = reader.try_recv() {
            *seen.entry(report.weight_basis_points).or_insert(0) += report.window.automated;
            backlog.send(&sender);
        }
        assert_eq!(seen, BTreeMap::from([(100, 10), (200, 100)]));
        assert!(!backlog.has_complained);

        for trial in 0..2 * MAX_KEYS as u32 {
            backlog.add(vec![(key(trial, 1), window(1))]);
        }
        backlog.send(&sender);
        assert_eq!(backlog.waiting.len(), MAX_KEYS, "one of them was sent");
    }
}
