//! Tokens and users of a provider that are refused before the tokens expire.

use serde::Deserialize;
use std::collections::BTreeSet;

/// Upper bound of the entries of a file, tokens and users together: an entry is needed until its tokens have expired.
const MAX_WITHDRAWN: usize = 10_000;

/// The file as written: TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawnFile {
    /// Claims `jti` of tokens.
    #[serde(default)]
    tokens: Vec<String>,
    /// Names of users, as the claim has them that names users.
    #[serde(default)]
    users: Vec<String>,
}

/// What was withdrawn.
#[derive(Debug, Default)]
pub(in crate::access) struct Withdrawn {
    tokens: BTreeSet<String>,
    users: BTreeSet<String>,
}

impl Withdrawn {
    /// What a text has withdrawn, for [`Reloaded`](crate::access::reloaded::Reloaded).
    pub(in crate::access) fn read(text: &str) -> Result<Self, String> {
        let WithdrawnFile { tokens, users } = toml::from_str(text)
            .map_err(|error: toml::de::Error| error.message().replace('\n', " "))?;
        let entries = tokens.len() + users.len();
        if entries > MAX_WITHDRAWN {
            return Err(format!(
                "it has {entries} entries: at most {MAX_WITHDRAWN} are allowed; take out tokens that have expired"
            ));
        }
        let (tokens, users) = (tokens.into_iter().collect(), users.into_iter().collect());
        Ok(Self { tokens, users })
    }

    /// Whether a token of this id, if it has one, and of this user was withdrawn.
    pub(super) fn has(&self, token_id: Option<&str>, user: &str) -> bool {
        self.users.contains(user) || token_id.is_some_and(|id| self.tokens.contains(id))
    }
}
