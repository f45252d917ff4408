//! Time by phase: CPU seconds of the whole process, which is what training costs, and wall seconds,
//! which is how long the user waits.

use cpu_time::ProcessTime;
use serde::Serialize;
use std::time::Instant;

/// What one phase took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// Name of the phase.
    pub name: &'static str,
    /// CPU seconds of all threads.
    pub cpu_seconds: f64,
    /// Seconds on the clock.
    pub wall_seconds: f64,
}

/// Measures phases, one after another.
#[derive(Default)]
pub(crate) struct Stopwatch {
    phases: Vec<Phase>,
}

impl Stopwatch {
    /// Does the work and notes what it took. Phases of one name add up.
    pub(crate) fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        // A system that doesn't tell CPU time gets zeros, not a failure.
        let (cpu, wall) = (ProcessTime::try_now().ok(), Instant::now());
        let out = work();
        let cpu_seconds =
            cpu.and_then(|cpu| cpu.try_elapsed().ok()).map_or(0.0, |time| time.as_secs_f64());
        let wall_seconds = wall.elapsed().as_secs_f64();
        match self.phases.iter_mut().find(|phase| phase.name == name) {
            Some(phase) => {
                phase.cpu_seconds += cpu_seconds;
                phase.wall_seconds += wall_seconds;
            }
            None => self.phases.push(Phase { name, cpu_seconds, wall_seconds }),
        }
        out
    }

    pub(crate) fn finish(self) -> Vec<Phase> {
        self.phases
    }
}
