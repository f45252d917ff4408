//! The users of a load run, each with a weight.

use marquee_bundle::{
    BundleError, BundleShard, LoadOptions, TrustedKeys, open_input, read_manifest,
};
use marquee_core::model::recipe::HISTORY_MATRIX;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

/// Upper bound of the users of a file: a sample is enough for a load run.
const MAX_USERS: usize = 10_000_000;

/// A distribution over user ids.
#[derive(Clone, Debug)]
pub struct Users {
    ids: Vec<String>,
    /// Sums of the weights up to and including each user; empty if all weights are equal.
    cumulative: Vec<f64>,
}

/// Why there are no users.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file could not be read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The bundle could not be opened; the message names the file.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// There are no users in the file or bundle.
    #[error("{source_name} has no users: there must be at least one")]
    Empty {
        /// The file or bundle.
        source_name: String,
    },
    /// The file has too many lines.
    #[error("{path} has more than {MAX_USERS} lines: give a sample", path = .path.display())]
    TooMany {
        /// The path of the file.
        path: PathBuf,
    },
    /// A line is no valid user id.
    #[error("{path}:{line}: {reason}", path = .path.display())]
    Id {
        /// The path of the file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Users {
    /// Users that are equally likely, at least one. `source_name` is for the error.
    pub fn equal(ids: Vec<String>, source_name: &str) -> Result<Self, UsersError> {
        if ids.is_empty() {
            return Err(UsersError::Empty { source_name: source_name.into() });
        }
        Ok(Self { ids, cumulative: Vec::new() })
    }

    /// Users with their weights, of which one must be above 0.
    pub fn weighted(users: Vec<(String, f64)>, source_name: &str) -> Result<Self, UsersError> {
        let mut sum = 0.0;
        let (mut ids, mut cumulative) = (Vec::new(), Vec::new());
        for (id, weight) in
            users.into_iter().filter(|(_, weight)| weight.is_finite() && *weight > 0.0)
        {
            sum += weight;
            ids.push(id);
            cumulative.push(sum);
        }
        if ids.is_empty() {
            return Err(UsersError::Empty { source_name: source_name.into() });
        }
        Ok(Self { ids, cumulative })
    }

    /// One user id a line; a line that comes twice is twice as likely. Empty lines are skipped.
    pub fn from_file(path: &Path) -> Result<Self, UsersError> {
        let mut ids = Vec::new();
        for (n, line) in std::io::BufReader::new(open_input(path)?).lines().enumerate() {
            let line = line?;
            let id = line.trim_end_matches('\r');
            if id.is_empty() {
                continue;
            }
            if ids.len() == MAX_USERS {
                return Err(UsersError::TooMany { path: path.into() });
            }
            marquee_core::id::check_id("the user id", id).map_err(|e| UsersError::Id {
                path: path.into(),
                line: n + 1,
                reason: e.to_string(),
            })?;
            ids.push(id.to_owned());
        }
        Self::equal(ids, &path.display().to_string())
    }

    /// The users of a bundle, weighted by the lengths of their histories; equally likely if the bundle has no
    /// histories.
    pub fn of_bundle(directory: &Path) -> Result<Self, UsersError> {
        // The signature does not matter: only the user ids are used.
        let (manifest, _) = read_manifest(directory, &TrustedKeys::none())?;
        let mut users = Vec::new();
        for shard in 0..manifest.shards {
            let shard = BundleShard::open(directory, &manifest, shard, &LoadOptions::default())?;
            let history = shard.sparse(HISTORY_MATRIX).ok();
            users.extend((0..shard.users().len() as u32).map(|row| {
                let weight = history.map_or(1, |history| history.row(row).0.len());
                (shard.users().id(row).to_owned(), weight as f64)
            }));
        }
        Self::weighted(users, &directory.display().to_string())
    }

    /// The user at `draw` (0..1) of the distribution.
    pub fn pick(&self, draw: f64) -> &str {
        let last = self.ids.len() - 1;
        let at = match self.cumulative.last() {
            None => (draw * self.ids.len() as f64) as usize,
            Some(sum) => self.cumulative.partition_point(|end| *end <= draw * sum),
        };
        &self.ids[at.min(last)]
    }

    /// The number of users.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// All user ids.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_drawn_by_weight() {
        let users = [("a", 1.0), ("never", 0.0), ("b", 3.0)].map(|(id, w)| (id.to_owned(), w));
        let users = Users::weighted(users.into(), "test").expect("users");
        let drawn: Vec<&str> = [0.0, 0.24, 0.25, 0.5, 0.999].map(|draw| users.pick(draw)).into();
        assert_eq!(drawn, ["a", "a", "b", "b", "b"]);
        let users = Users::equal(vec!["a".into(), "b".into()], "test").expect("users");
        assert_eq!(
            [users.pick(0.0), users.pick(0.49), users.pick(0.5), users.pick(1.0)],
            ["a", "a", "b", "b"]
        );
    }

    #[test]
    fn a_file_has_a_user_a_line() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("users");
        fs_err::write(&path, "7\r\n\nu:9\n7\n").expect("written");
        assert_eq!(Users::from_file(&path).expect("users").ids(), ["7", "u:9", "7"]);
        fs_err::write(&path, "\n\n").expect("written");
        let error = Users::from_file(&path).expect_err("no users").to_string();
        assert!(error.contains("has no users"), "{error}");
        fs_err::write(&path, format!("7\n{}\n", "x".repeat(257))).expect("written");
        let error = Users::from_file(&path).expect_err("too long").to_string();
        assert!(error.contains("users:2: "), "{error}");
        let error =
            Users::from_file(&directory.path().join("none")).expect_err("no file").to_string();
        assert!(error.contains("none"), "{error}");
    }
}
