//! Small data with preferences: users of a group watch the items of their group.

use super::process::marquee_ok;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Number of users, `user-0` and so on.
pub(crate) const USERS: usize = 300;
/// Number of items, `1` and so on; item `n` belongs to group `n % GROUPS`.
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

/// A temporary directory of data files and bundles.
pub(crate) struct Bundles {
    /// The directory, deleted when dropped.
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

    /// The directory that the files are in.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Trains the model `films` with this number of factors.
    pub(crate) fn train(&self, factors: usize, shards: u32) -> PathBuf {
        let factors = factors.to_string();
        self.train_as(&format!("films-{factors}-{shards}"), shards, &["mf", "--factors", &factors])
    }

    /// Trains `films` to recommend popular items to all users.
    pub(crate) fn train_popularity(&self, shards: u32) -> PathBuf {
        self.train_as(&format!("films-popular-{shards}"), shards, &["popularity"])
    }

    fn train_as(&self, name: &str, shards: u32, model: &[&str]) -> PathBuf {
        let out = self.path().join(name);
        let file = |name: &str| self.path().join(name).display().to_string();
        let (interactions, items) = (file("interactions.csv"), file("items.csv"));
        let (shards, to) = (shards.to_string(), out.display().to_string());
        let given = ["--interactions", &interactions, "--items", &items, "--name", "films"];
        let wanted = ["--shards", &shards, "--out", &to, "--model"];
        let args = ["train"].iter().chain(&given).chain(&wanted).chain(model);
        marquee_ok(args.copied());
        out
    }
}
