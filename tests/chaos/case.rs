//! One fault: made, held, mended, and measured; and the table of all of them.

use crate::load::{Call, Load};
use crate::support::process::marquee_ok;
use crate::world::{CONTROL, ROUTERS, World};
use marquee_proto::control::v1::GetPlanRequest;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// How long a fault is held at least.
const HOLD: Duration = Duration::from_secs(6);
/// Within which `status` must name a fault: reports, probes and their patience take up to ten seconds.
const SAID_WITHIN: Duration = Duration::from_secs(25);
/// Within which nothing is wrong any more after a fault was mended, on a machine that does other work, too.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);
/// How long callers are measured before the first fault.
const STEADY: Duration = Duration::from_secs(5);
/// Pause between two looks at the status.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Does something to the world.
pub(crate) type Step = for<'a> fn(&'a mut World) -> Pin<Box<dyn Future<Output = String> + 'a>>;

/// What a fault needs of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// Nodes with networks of their own.
    Networks,
    /// Nodes with disks of their own.
    Disks,
}

/// One fault: how it is made and mended, and what status must say.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    /// Makes the fault, and gives the node that it is about, or a part of what `status` is to say.
    pub(crate) make: Step,
    /// What else `status` must say in the same line; it is not asked where this is none.
    pub(crate) says: Option<&'static str>,
    /// Mends the fault, so that nothing is wrong soon.
    pub(crate) mend: Step,
}

/// What came of a fault, if it was run.
pub(crate) struct Outcome {
    name: &'static str,
    /// None where it could not be run.
    measured: Option<Measured>,
}

struct Measured {
    calls: usize,
    failed: Vec<String>,
    p99: Duration,
    recovered: Option<Duration>,
    said: Option<(Duration, String)>,
    must_say: bool,
}

impl Case {
    /// Makes the fault, holds it until `status` names it, mends it, and waits until nothing is wrong.
    pub(crate) async fn run(&self, world: &mut World) -> (Outcome, Load) {
        let load = Load::start(world);
        let can = match self.needs {
            Needs::Nothing => true,
            Needs::Networks => world.machine.has_networks(),
            Needs::Disks => world.machine.has_disks(),
        };
        if !can {
            return (Outcome { name: self.name, measured: None }, load);
        }
        eprintln!("---- {}", self.name);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let made = Instant::now();
        let subject = (self.make)(world).await;
        let mut said = None;
        while made.elapsed() < HOLD
            || (self.says.is_some() && said.is_none() && made.elapsed() < SAID_WITHIN)
        {
            if let (Some(says), None) = (self.says, &said) {
                let status = world.status().await;
                let named = status.troubles.into_iter();
                let line = named.into_iter().find(|it| it.contains(&subject) && it.contains(says));
                said = line.filter(|_| !status.is_well).map(|line| (made.elapsed(), line));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mended = Instant::now();
        (self.mend)(world).await;
        let mut recovered = None;
        let mut last = Vec::new();
        while recovered.is_none() && mended.elapsed() < RECOVERED_WITHIN {
            let status = world.status().await;
            recovered = status.is_well.then(|| mended.elapsed());
            last = status.troubles;
            if recovered.is_none() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        if recovered.is_none() {
            eprintln!("not recovered: {last:#?}");
        }
        let calls = load.calls(made, Instant::now());
        // The first second is that in which a fault is found out.
        let later = load.calls(made + Duration::from_secs(1), mended);
        let measured = Measured {
            calls: calls.len(),
            failed: calls.iter().filter_map(|call| call.failure.clone()).collect(),
            p99: p99(&later),
            recovered,
            said,
            must_say: self.says.is_some(),
        };
        (Outcome { name: self.name, measured: Some(measured) }, load)
    }
}

/// What 99 of 100 answered calls took at most; zero without calls.
fn p99(calls: &[Call]) -> Duration {
    let answered = calls.iter().filter(|call| call.failure.is_none());
    let mut took: Vec<Duration> = answered.map(|call| call.took).collect();
    took.sort();
    took.get((took.len() * 99) / 100).or(took.last()).copied().unwrap_or_default()
}

/// The table, and what must hold at the end.
pub(crate) struct Report {
    steady: Duration,
    outcomes: Vec<Outcome>,
    mixed: Vec<String>,
    events: BTreeSet<String>,
    changes: BTreeSet<String>,
}

impl Report {
    /// Measures callers without a fault.
    pub(crate) async fn begin(world: &World) -> Self {
        let load = Load::start(world);
        let began = Instant::now();
        tokio::time::sleep(STEADY).await;
        let steady = p99(&load.calls(began, Instant::now()));
        let mut report = Self {
            steady,
            outcomes: Vec::new(),
            mixed: Vec::new(),
            events: BTreeSet::new(),
            changes: BTreeSet::new(),
        };
        report.take(load).await;
        report
    }

    async fn take(&mut self, load: Load) {
        let seen = load.stop().await;
        self.mixed.extend(seen.mixed);
        self.events.extend(seen.events);
        self.changes.extend(seen.changes);
    }

    /// Adds what came of a fault.
    pub(crate) async fn add(&mut self, (outcome, load): (Outcome, Load)) {
        self.take(load).await;
        eprintln!("{}", self.row(&outcome));
        self.outcomes.push(outcome);
    }

    fn row(&self, outcome: &Outcome) -> String {
        let Outcome { name, measured } = outcome;
        let Some(Measured { calls, failed, p99, recovered, said, must_say }) = measured else {
            return format!("| {name} | not run: this user may make no networks or disks | | | |");
        };
        let ratio = p99.as_secs_f64() / self.steady.as_secs_f64().max(1e-6);
        let recovered = recovered
            .map_or_else(|| "NOT RECOVERED".into(), |time| format!("{:.1} s", time.as_secs_f64()));
        let said = match (said, must_say) {
            (Some((time, line)), _) => format!("after {:.1} s: {line}", time.as_secs_f64()),
            (None, true) => "SILENT".into(),
            (None, false) => "not asked".into(),
        };
        format!("| {name} | {} of {calls} | {ratio:.1} | {recovered} | {said} |", failed.len())
    }

    /// Prints the table, and fails if something was lost, mixed, not recovered from, or not said.
    pub(crate) async fn end(self, mut world: World) {
        let plan = world.status().await;
        assert!(plan.is_well, "{:?}", plan.troubles);
        let kept = ensembles(&world).await;
        for router in ROUTERS {
            world.server(router).stop();
        }
        let exported = exported_events(&world);
        println!(
            "\nsteady p99 {:.1} ms; networks of their own: {}; disks of their own: {}\n",
            self.steady.as_secs_f64() * 1e3,
            world.machine.has_networks(),
            world.machine.has_disks()
        );
        println!("| fault | failed calls | p99 ÷ steady | recovered after | what `status` said |");
        println!("|---|---|---|---|---|");
        let mut wrong = Vec::new();
        for outcome in &self.outcomes {
            println!("{}", self.row(outcome));
            let Some(measured) = &outcome.measured else { continue };
            if measured.recovered.is_none() {
                wrong.push(format!("{}: not recovered", outcome.name));
            }
            if measured.must_say && measured.said.is_none() {
                wrong.push(format!("{}: status was silent", outcome.name));
            }
            if let Some(failure) = measured.failed.first() {
                println!("    first failure: {failure}");
            }
        }
        println!(
            "\n{} events and {} changes were acknowledged",
            self.events.len(),
            self.changes.len()
        );
        let lost_events: Vec<_> = self.events.difference(&exported).take(5).collect();
        let lost_changes: Vec<_> = self.changes.difference(&kept).take(5).collect();
        assert!(lost_events.is_empty(), "acknowledged events are lost: {lost_events:?}");
        assert!(lost_changes.is_empty(), "acknowledged changes are lost: {lost_changes:?}");
        assert!(self.mixed.is_empty(), "answers mixed versions: {:?}", self.mixed);
        assert!(!self.events.is_empty() && !self.changes.is_empty(), "nothing was acknowledged");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// The ensembles that all control nodes have.
async fn ensembles(world: &World) -> BTreeSet<String> {
    let mut common: Option<BTreeSet<String>> = None;
    for name in CONTROL {
        let mut client = crate::support::cluster::ControlClient::connect(world.url(name))
            .await
            .expect("it runs");
        let plan = client.get_plan(GetPlanRequest::default()).await.expect("answers").into_inner();
        let names: BTreeSet<String> =
            plan.plan.unwrap_or_default().ensembles.into_iter().map(|it| it.name).collect();
        common = Some(match common {
            None => names,
            Some(common) => common.intersection(&names).cloned().collect(),
        });
    }
    common.unwrap_or_default()
}

/// The ids of the events that the logs of all routers have.
fn exported_events(world: &World) -> BTreeSet<String> {
    let out = world.bundles.path().join("events.csv").display().to_string();
    let mut args = vec!["export".to_owned(), "--out".into(), out.clone()];
    let logs = ROUTERS.map(|name| world.data_dir(name).join("events"));
    for log in logs.iter().chain(&world.moved_events) {
        args.extend(["--events".into(), log.display().to_string()]);
    }
    marquee_ok(args);
    let text = std::fs::read_to_string(&out).expect("a file");
    let mut cells = text.lines().flat_map(|line| line.split(','));
    let mut ids = BTreeSet::new();
    for cell in cells.by_ref() {
        if cell.starts_with("event-") {
            ids.insert(cell.to_owned());
        }
    }
    ids
}
