//! The task that gathers what is wrong.

use super::sources::TroubleSources;
use marquee_core::trouble::{NodeReport, Trouble, TroubleTracker};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often all parts are asked.
const GATHER_EVERY: Duration = Duration::from_secs(1);
/// How often certificates are looked at, which takes milliseconds.
const CREDENTIALS_EVERY: u64 = 5;

/// Gathers what is wrong for as long as it is polled, and shows it in `report` and to operators of the control node of this
/// process.
pub(crate) async fn watch_troubles(mut sources: TroubleSources, report: watch::Sender<NodeReport>) {
    let (mut tracker, start) = (TroubleTracker::default(), Instant::now());
    let mut of_credentials: Vec<Trouble> = Vec::new();
    for second in 0_u64.. {
        if second.is_multiple_of(CREDENTIALS_EVERY) {
            let check = Arc::clone(&sources.credentials);
            let checked = tokio::task::spawn_blocking(move || check.troubles()).await;
            of_credentials = checked.unwrap_or_default();
        }
        let now = Instant::now();
        let mut troubles = of_credentials.clone();
        troubles.extend(sources.troubles(now));
        let now_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let current = NodeReport {
            node_id: sources.node_id.clone(),
            plan_epoch: sources.plan.borrow().epoch,
            disk: sources.probe.as_ref().and_then(|probe| probe.space()),
            troubles: tracker.note(now_ms, troubles),
        };
        if let Some(control) = &sources.control {
            control.show(current.clone());
        }
        report.send_replace(current);
        tokio::time::sleep(GATHER_EVERY).await;
    }
}
