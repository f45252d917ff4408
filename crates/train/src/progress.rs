//! A bar on stderr for work that takes longer than a second, where stderr is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Work shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A progress bar of one task.
pub(crate) struct TaskProgress {
    label: String,
    started: Instant,
    bar: OnceLock<ProgressBar>,
}

impl TaskProgress {
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), started: Instant::now(), bar: OnceLock::new() }
    }

    /// `done` of `total` is done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        if self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            // Draws nothing where stderr is no terminal.
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {eta}") {
                bar.set_style(style);
            }
            bar.with_message(self.label.clone()).with_elapsed(self.started.elapsed())
        });
        bar.set_length(total);
        bar.set_position(done);
    }
}

impl Drop for TaskProgress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
