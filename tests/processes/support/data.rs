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
    interactions_of(|user| user)
}

/// The interactions as CSV, each user's under another one's id.
fn interactions_of(called: impl Fn(usize) -> usize) -> String {
    let mut csv = String::from("userId,movieId,rating,timestamp\n");
    for user in 0..USERS {
        for n in 0..HISTORY {
            // A fixed scramble: mostly of the user's group, popular ones first, some strays.
            let scramble = (user * 7919 + n * 104_729 + user * n * 31) % 1_000;
            let rank = scramble * scramble * (ITEMS / GROUPS) / 1_000_000;
            let group = if scramble % 10 == 0 { scramble % GROUPS } else { user % GROUPS };
            let item = rank * GROUPS + group;
            let (id, time) = (called(user), 1_000_000 + n * 100 + user);
            writeln!(csv, "user-{id},{},{},{time}", item + 1, 4.0).expect("memory");
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

    /// Trains the model `films` once more: other files of the same bytes.
    pub(crate) fn train_again(&self, factors: usize, shards: u32) -> PathBuf {
        let factors = factors.to_string();
        self.train_as("films-again", shards, &["mf", "--factors", &factors])
    }

    /// Trains the model `films` with every user's history under another user's id, so that each gets what is meant for
    /// another.
    pub(crate) fn train_permuted(&self, factors: usize, shards: u32) -> PathBuf {
        let permuted = interactions_of(|user| (user + USERS / 2 + 1) % USERS);
        let factors = factors.to_string();
        self.train_on("films-permuted", &permuted, shards, &["mf", "--factors", &factors])
    }

    /// Trains the model `films` on the interactions with every other item.
    pub(crate) fn train_half_of_the_items(&self, shards: u32) -> PathBuf {
        let is_even = |row: &&str| {
            let item = row.split(',').nth(1).and_then(|item| item.parse::<usize>().ok());
            item.is_none_or(|item| item % 2 == 0)
        };
        let all = interactions();
        let half: Vec<&str> = all.lines().filter(is_even).collect();
        self.train_on("films-half", &half.join("\n"), shards, &["mf", "--factors", "4"])
    }

    /// Trains on other interactions than those of all scenarios, without items that have none.
    fn train_on(&self, name: &str, interactions: &str, shards: u32, model: &[&str]) -> PathBuf {
        let (file, out) = (self.path().join(format!("{name}.csv")), self.path().join(name));
        std::fs::write(&file, interactions).expect("a file");
        let (file, shards) = (file.display().to_string(), shards.to_string());
        let to = out.display().to_string();
        let given = ["train", "--interactions", &file, "--name", "films"];
        let wanted = ["--shards", &shards, "--out", &to, "--model"];
        marquee_ok(given.iter().chain(&wanted).chain(model).copied());
        out
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
