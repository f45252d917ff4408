//! Small data with a taste in it: users of a group watch the items of their group.

use super::process::marquee_ok;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Users, `user-0` and so on.
pub(crate) const USERS: usize = 300;
/// Items, `1` and so on; item `n` belongs to group `n % GROUPS`.
pub(crate) const ITEMS: usize = 200;
const GROUPS: usize = 5;
const HISTORY: usize = 16;

/// The interactions as CSV.
pub(crate) fn interactions() -> String {
    let mut csv = String::from("userId,movieId,rating,timestamp\n");
    for user in 0..USERS {
        for n in 0..HISTORY {
            // A fixed scramble: mostly of the user's group, popular ones first, some strays.
            let scramble = (user * 7919 + n * 104_729 + user * n * 31) % 1_000;
            let rank = scramble * scramble * (ITEMS / GROUPS) / 1_000_000;
            let group = if scramble % 10 == 0 { scramble % GROUPS } else { user % GROUPS };
            let item = rank * GROUPS + group;
            writeln!(csv, "user-{user},{},{},{}", item + 1, 4.0, 1_000_000 + n * 100 + user)
                .expect("memory");
        }
    }
    csv
}

/// Titles of all items but the last.
fn items() -> String {
    let mut csv = String::from("movieId,title,genres\n");
    for item in 1..ITEMS {
        let year = 1950 + item % 70;
        writeln!(csv, "{item},\"Film {item}, The ({year})\",Group{}|All", (item - 1) % GROUPS)
            .expect("memory");
    }
    csv
}

/// Files and bundles in a directory of their own.
pub(crate) struct Bundles {
    /// Holds everything; gone when dropped.
    pub(crate) dir: tempfile::TempDir,
}

impl Bundles {
    /// Writes the data and trains nothing yet.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("interactions.csv"), interactions()).expect("a file");
        std::fs::write(dir.path().join("items.csv"), items()).expect("a file");
        Self { dir }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Trains the model `films` with so many factors.
    pub(crate) fn train(&self, factors: usize, shards: u32) -> PathBuf {
        let out = self.path().join(format!("films-{factors}-{shards}"));
        let file = |name: &str| self.path().join(name).display().to_string();
        marquee_ok([
            "train",
            "--interactions",
            &file("interactions.csv"),
            "--items",
            &file("items.csv"),
            "--model",
            "mf",
            "--name",
            "films",
            "--factors",
            &factors.to_string(),
            "--shards",
            &shards.to_string(),
            "--out",
            &out.display().to_string(),
        ]);
        out
    }
}
