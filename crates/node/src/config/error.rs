//! Why a config file is refused; the messages name the file, the line or the key.

use std::path::{Path, PathBuf};

/// Why a config is refused.
#[derive(Debug, thiserror::Error)]
pub enum NodeConfigError {
    /// It could not be read; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It isn't TOML with the sections and keys of a config.
    #[error("{path}:{line}: {reason}", path = path.display())]
    Syntax {
        /// The path of the file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there and what is allowed.
        reason: String,
    },
    /// A value is not allowed.
    #[error("{path}: {key}: {reason}", path = path.display())]
    Value {
        /// The path of the file.
        path: PathBuf,
        /// The key, such as `control.voters[1].address`.
        key: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
}

impl NodeConfigError {
    /// The error of the TOML reader, with the line and, for an unknown key, the known ones.
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Self::Syntax { path: path.into(), line, reason: explain(error.message()) }
    }
}

/// Rewrites serde's message for an unknown key; leaves other messages as they are.
fn explain(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((key, rest)) = unknown else { return message.replace('\n', " ").trim().to_owned() };
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    format!("unknown key {key:?}: the keys known here are {}", known.join(", "))
}
