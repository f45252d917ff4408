//! The process, the plan that it follows, and what is wrong with it.

use crate::access::CredentialCheck;
use crate::metrics::list::{
    BUILD_INFO, CERTIFICATE_LEFT, DISK_FREE, DISK_SIZE, LOG_LEFT_OUT, LOG_LINES, PLAN_AGE,
    PLAN_EPOCH, PLAN_NEWEST_EPOCH, PROCESS_CPU, PROCESS_FILES, PROCESS_MEMORY, PROCESS_START,
    TROUBLES,
};
use crate::metrics::samples::Samples;
use marquee_core::plan::Plan;
use marquee_core::trouble::{DiskSpace, NodeReport, Trouble};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// When the process started, as far as metrics know: when they were asked for it first, at the start of a node.
static STARTED: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// The plan that a node follows.
pub(crate) struct PlanSource {
    plan: watch::Receiver<Arc<Plan>>,
    newest: watch::Receiver<u64>,
    /// Since when it is the present one.
    since: Arc<Mutex<Instant>>,
}

impl PlanSource {
    /// The plan of this receiver, with the newest epoch that was heard of; notes when it changes for as long as `tasks` has
    /// its task.
    pub(crate) fn start(
        plan: watch::Receiver<Arc<Plan>>,
        newest: watch::Receiver<u64>,
        tasks: &mut tokio::task::JoinSet<()>,
    ) -> Self {
        LazyLock::force(&STARTED);
        let since = Arc::new(Mutex::new(Instant::now()));
        let (mut changes, noted) = (plan.clone(), Arc::clone(&since));
        tasks.spawn(async move {
            while changes.changed().await.is_ok() {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
        });
        Self { plan, newest, since }
    }

    fn gather(&self, samples: &mut Samples) {
        let epoch = self.plan.borrow().epoch;
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        samples.gauge(&PLAN_EPOCH, &[], epoch as f64);
        let newest = (*self.newest.borrow()).max(epoch);
        samples.gauge(&PLAN_NEWEST_EPOCH, &[], newest as f64);
        samples.gauge(&PLAN_AGE, &[], since.elapsed().as_secs_f64());
    }
}

/// How long it is not asked again when a certificate expires, which takes milliseconds.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(10);

/// The certificate of a node, and how long it was still valid when that was looked at.
pub(crate) struct CertificateSource {
    check: Arc<CredentialCheck>,
    known: Mutex<Option<(Instant, Option<u64>)>>,
}

impl CertificateSource {
    /// The certificate that `check` knows, not looked at yet.
    pub(crate) fn new(check: Arc<CredentialCheck>) -> Self {
        Self { check, known: Mutex::new(None) }
    }

    /// For how many seconds it is still valid.
    fn seconds_left(&self) -> Option<u64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|(at, _)| at.elapsed() >= CERTIFICATE_EVERY) {
            *known = Some((Instant::now(), self.check.seconds_left()));
        }
        known.and_then(|(_, seconds)| seconds)
    }
}

/// What all nodes have.
pub(crate) struct NodeSource {
    pub(crate) plan: PlanSource,
    /// What the node says of itself.
    pub(crate) report: watch::Receiver<NodeReport>,
    pub(crate) certificate: CertificateSource,
}

impl NodeSource {
    pub(super) fn gather(&self, samples: &mut Samples) {
        of_process(samples);
        self.plan.gather(samples);
        let report = self.report.borrow().clone();
        if let Some(DiskSpace { free_bytes, total_bytes }) = report.disk {
            samples.gauge(&DISK_FREE, &[], free_bytes as f64);
            samples.gauge(&DISK_SIZE, &[], total_bytes as f64);
        }
        if let Some(seconds) = self.certificate.seconds_left() {
            samples.gauge(&CERTIFICATE_LEFT, &[], seconds as f64);
        }
        for name in Trouble::NAMES {
            let of_kind = report.troubles.iter().filter(|lasting| lasting.trouble.name() == name);
            samples.count(&TROUBLES, &[name], of_kind.count());
        }
        let (lines, left_out) = crate::log::counted_lines();
        for (level, count) in lines {
            samples.counter(&LOG_LINES, &[level], count);
        }
        samples.counter(&LOG_LEFT_OUT, &[], left_out);
    }
}

/// What the system says of the process, as far as it says it.
fn of_process(samples: &mut Samples) {
    samples.gauge(&BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
    if let Ok(cpu) = cpu_time::ProcessTime::try_now() {
        samples.counter_sum(&PROCESS_CPU, &[], cpu.as_duration().as_secs_f64());
    }
    let started = STARTED.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    samples.gauge(&PROCESS_START, &[], started.as_secs_f64());
    if let Some(bytes) = resident_bytes() {
        samples.gauge(&PROCESS_MEMORY, &[], bytes as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        samples.count(&PROCESS_FILES, &[], files.count());
    }
}

/// The resident memory of the process, of Linux: `VmRSS` in `/proc/self/status`, in KiB (proc_pid_status(5)).
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1_024)
}
