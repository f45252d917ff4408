//! What can be wrong with a config file, in words that name the file, the line or the key.

use std::path::{Path, PathBuf};

/// Why a config is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It isn't TOML of the right shape.
    #[error("{path}:{line}: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there and what would be right.
        reason: String,
    },
    /// A value that no node can run with.
    #[error("{path}: {key}: {reason}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, such as `control.voters[1].address`.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl ConfigError {
    /// Says what the TOML reader found, with the line and, for an unknown key, the known ones.
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Self::Syntax { path: path.into(), line, reason: explain(error.message()) }
    }
}

/// Rewrites serde's words for an unknown key into ours; leaves other messages as they are.
fn explain(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((key, rest)) = unknown else { return message.replace('\n', " ").trim().to_owned() };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    format!("unknown key {key:?}: the keys known here are {}", known.join(", "))
}
