//! Many rollouts of a candidate in a world, and how they end.

use super::Cluster;
use super::traffic::{Candidate, Traffic};
use super::world::World;
use marquee_core::rollout::judge::GateEvidence;
use marquee_core::rollout::{DEFAULT_SHADOW, RolloutState, Terms};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rollouts of each kind, unless the environment says otherwise.
const ROLLOUTS: u64 = 100;
/// Where the table is, between these lines. `UPDATE_GOLDENFILES=1` writes the rows of what is run.
const DOCUMENT: &str = "../../cluster/rollouts.md";
const BEGIN: &str = "<!-- the table of candidates is made by tests/simulation/rollouts.rs -->\n";
const END: &str = "<!-- end of the table of candidates -->";
/// With so many rollouts a share is held to what is promised; with fewer, chance alone may exceed it.
pub(crate) const MANY_ROLLOUTS: usize = 1_000;
/// A rollout that is not over after so many times the time of its steps waits for ever.
const PATIENCE: u64 = 2;

/// How a rollout ended.
pub(crate) struct End {
    seed: u64,
    /// Its last state; one that is not over if it waits for ever.
    pub(crate) state: RolloutState,
    pub(crate) step: Option<u32>,
    reason: String,
    /// Different users that had the candidate's answers since it was not as the baseline.
    affected: usize,
    pub(crate) minutes: f64,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, state, step, reason, minutes, .. } = self;
        write!(f, "seed {seed}: {state} on step {step:?} after {minutes:.1} min: {reason}")
    }
}

impl End {
    pub(crate) fn is(&self, state: RolloutState) -> bool {
        self.state == state
    }

    /// Rolled back while the candidate had at most its second share.
    pub(crate) fn is_back_by_step_two(&self) -> bool {
        self.is(RolloutState::RolledBack) && self.step <= Some(1)
    }

    /// Rolled back within so many minutes.
    pub(crate) fn is_back_within(&self, minutes: f64) -> bool {
        self.is(RolloutState::RolledBack) && self.minutes <= minutes
    }
}

/// One rollout from its first window to its end. `look` gets the time in ms and what is known of the gates after each judgement.
pub(crate) fn run(
    world: &World,
    candidate: Candidate,
    seed: u64,
    mut look: impl FnMut(u64, &[GateEvidence]),
) -> End {
    let terms = Terms { gates: world.gates.clone(), shadow: DEFAULT_SHADOW, ..Terms::unguarded() };
    let mut cluster = Cluster::with_rollout(seed % 1_000_000_007 + 2, &world.steps, terms);
    let rollout = cluster.state.plan.rollouts.last().expect("there");
    let id = rollout.id.clone();
    assert_eq!(rollout.state, RolloutState::Canary, "{:?}", rollout.history);
    let mut traffic = Traffic::new(world, candidate, &id, seed);
    let is_over = |cluster: &Cluster| {
        let rollout = cluster.state.plan.rollout(&id).expect("there");
        rollout.state.is_over() || rollout.state == RolloutState::Paused
    };
    while !is_over(&cluster) && cluster.now_ms < PATIENCE * world.steps_ms() {
        let rollout = cluster.state.plan.rollout(&id).expect("there");
        let (weight, mirrored) = (rollout.weight_basis_points(), rollout.mirror_basis_points());
        cluster.now_ms += world.window_ms;
        for (weight, window) in traffic.windows(cluster.now_ms, weight, mirrored) {
            cluster.apply(cluster.judgement_at(&id, weight, window));
            look(cluster.now_ms, &cluster.state.evidence[&id].gates);
            if is_over(&cluster) {
                break;
            }
        }
        cluster.tick();
    }
    let rollout = cluster.state.plan.rollout(&id).expect("there");
    let reason = rollout.history.last().map(|event| event.reason.clone());
    End {
        seed,
        state: rollout.state,
        step: rollout.step,
        reason: reason.unwrap_or_default(),
        affected: traffic.affected.iter().filter(|&&is| is).count(),
        minutes: cluster.now_ms as f64 / 60_000.0,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// How many rollouts there are of each kind, and the first seed. What takes long has [`few`] of them.
pub(crate) fn rollouts_and_seed() -> (u64, u64) {
    let rollouts = number("SIMULATION_ROLLOUTS").unwrap_or(ROLLOUTS);
    (rollouts, number("SIMULATION_SEED").unwrap_or(20_261_125))
}

/// A fifth of the rollouts, for what takes long to simulate.
pub(crate) fn few() -> u64 {
    rollouts_and_seed().0.div_ceil(5)
}

/// What each of many seeds comes to, on all cores.
pub(crate) fn for_each_seed<T: Send>(
    rollouts: u64,
    seed: u64,
    each: impl Fn(u64) -> T + Sync,
) -> Vec<T> {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= rollouts {
                return done;
            }
            done.push((n, each(seed + n)));
        }
    };
    let mut all: Vec<(u64, T)> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Runs many, prints what came of them, and gives the ends.
pub(crate) fn many(name: &str, world: &World, candidate: Candidate) -> Vec<End> {
    let (rollouts, seed) = rollouts_and_seed();
    many_of(rollouts, seed, name, world, candidate)
}

/// Runs so many from this seed on.
pub(crate) fn many_of(
    rollouts: u64,
    seed: u64,
    name: &str,
    world: &World,
    candidate: Candidate,
) -> Vec<End> {
    let began = std::time::Instant::now();
    let ends = for_each_seed(rollouts, seed, |seed| run(world, candidate, seed, |_, _| {}));
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for end in ends.iter().filter(|end| !end.is(RolloutState::Promoted)) {
        *reasons.entry(end.reason.split(" requires").next().unwrap_or_default()).or_insert(0) += 1;
    }
    let count = |state| ends.iter().filter(|end| end.state == state).count();
    let row = format!(
        "| {name} | {} | {} | {} | {} | {} | {:.0} min |",
        count(RolloutState::RolledBack),
        count(RolloutState::Paused),
        count(RolloutState::Promoted),
        count(RolloutState::Canary),
        median(ends.iter().map(|end| end.affected as f64)),
        median(ends.iter().map(|end| end.minutes)),
    );
    println!(
        "{row} {rollouts} from {seed}, {reasons:?}, in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        write_row(name, &row);
    }
    ends
}

/// Writes a row of the table in the document, in place of the one of the same name.
fn write_row(name: &str, row: &str) {
    static WRITES: Mutex<()> = Mutex::new(());
    let _one_at_a_time = WRITES.lock().expect("no panic");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let text = std::fs::read_to_string(&path).expect("the document");
    let (before, rest) = text.split_once(BEGIN).expect("the table begins");
    let (table, after) = rest.split_once(END).expect("the table ends");
    let mut rows: Vec<&str> = table.lines().collect();
    let first_cell = format!("| {name} |");
    match rows.iter_mut().find(|it| it.starts_with(&first_cell)) {
        Some(old) => *old = row,
        None => rows.push(row),
    }
    let table = rows.join("\n");
    std::fs::write(&path, format!("{before}{BEGIN}{table}\n{END}{after}")).expect("written");
}

/// The middle value.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The share that ended in this way.
pub(crate) fn share(ends: &[End], which: impl Fn(&End) -> bool) -> f64 {
    ends.iter().filter(|end| which(end)).count() as f64 / ends.len() as f64
}
