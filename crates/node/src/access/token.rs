//! The file of tokens: hashes of them, with whose they are and until when.

use marquee_core::access::{AccessRole, Principal, Proof};
use marquee_core::id::check_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Upper bound of the tokens of a file: each call with one compares all.
const MAX_TOKENS: usize = 1_000;

/// A file of tokens as written: TOML with one `[[token]]` each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    /// The tokens, several of one name where one replaces another.
    #[serde(default)]
    pub token: Vec<HashedToken>,
}

/// One entry of a file of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedToken {
    /// Whose it is, as a name in logs.
    pub name: String,
    /// Its access roles, at least one and none of a node.
    pub roles: Vec<String>,
    /// The hash of the token, 64 hexadecimal digits; see [`hash_of_token`].
    pub blake3: String,
    /// When it ceases to be valid, as in `2027-01-31T00:00:00Z`.
    pub expires: String,
}

/// Why a file of tokens is refused. No message has a token or its hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenFileError(String);

impl TokenFile {
    /// Reads the text of a file, and checks it.
    ///
    /// # Errors
    /// Names the entry that is wrong, from 1.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let file: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            // Without the quoted line: it may have a hash.
            TokenFileError(error.message().replace('\n', " "))
        })?;
        Tokens::of(&file).map(|_| file).map_err(TokenFileError)
    }
}

/// The hash of a token as files have it: BLAKE3, in hexadecimal digits. Tokens are random and long, so that no
/// list of guesses has them; a slow hash would only cost time at each call.
pub fn hash_of_token(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

/// The checked tokens of a file.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    hash: blake3::Hash,
    expires_ms: i64,
    principal: Principal,
}

impl Tokens {
    /// The tokens of a text, for [`Reloaded`](super::reloaded::Reloaded).
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let file: TokenFile = toml::from_str(text)
            .map_err(|error: toml::de::Error| error.message().replace('\n', " "))?;
        Self::of(&file)
    }

    fn of(file: &TokenFile) -> Result<Self, String> {
        if file.token.len() > MAX_TOKENS {
            return Err(format!(
                "it has {} tokens: at most {MAX_TOKENS} are allowed",
                file.token.len()
            ));
        }
        let mut tokens = Vec::with_capacity(file.token.len());
        for (n, token) in (1..).zip(&file.token) {
            tokens.push(Token::of(token).map_err(|reason| format!("token {n}: {reason}"))?);
        }
        Ok(Self(tokens))
    }

    /// Whose token it is at this time. All are compared, each in constant time.
    pub(super) fn find(&self, token: &str, now_ms: i64) -> Option<&Principal> {
        let hash = blake3::hash(token.as_bytes());
        let mut found = None;
        for known in &self.0 {
            // Hashes of blake3 are compared in constant time.
            if known.hash == hash && now_ms < known.expires_ms {
                found = Some(&known.principal);
            }
        }
        found
    }
}

impl Token {
    fn of(token: &HashedToken) -> Result<Self, String> {
        let HashedToken { name, roles, blake3, expires } = token;
        check_name("its name", name).map_err(|error| error.to_string())?;
        let hash = blake3::Hash::from_hex(blake3)
            .map_err(|_| "blake3 is not 64 hexadecimal digits".to_owned())?;
        let roles: Result<BTreeSet<AccessRole>, _> =
            roles.iter().map(|role| role.parse()).collect();
        let roles = roles.map_err(|error| error.to_string())?;
        if roles.is_empty() {
            return Err("roles is empty: name at least one".into());
        }
        if let Some(role) = roles.iter().find(|role| role.of_node().is_some()) {
            return Err(format!("the role {role} is a node's, which has a certificate"));
        }
        let expires: jiff::Timestamp = expires
            .parse()
            .map_err(|_| "expires is no time such as 2027-01-31T00:00:00Z".to_owned())?;
        let principal = Principal { name: name.clone(), roles, proof: Proof::Token };
        Ok(Self { hash, expires_ms: expires.as_millisecond(), principal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(token: &str, roles: &str, expires: &str) -> String {
        let hash = hash_of_token(token);
        format!(
            "[[token]]\nname = \"web\"\nroles = [{roles}]\nblake3 = \"{hash}\"\nexpires = \"{expires}\"\n"
        )
    }

    #[test]
    fn several_tokens_are_valid_at_once_and_each_until_its_end() {
        let day = |day: &str| format!("2026-01-{day}T00:00:00Z");
        let text = entry("old", "\"caller\"", &day("02"))
            + &entry("new", "\"caller\", \"events\"", &day("09"));
        let tokens = Tokens::read(&text).expect("well formed");
        let at =
            |day_of: &str| day(day_of).parse::<jiff::Timestamp>().expect("a time").as_millisecond();
        let roles = |token: &str, now| tokens.find(token, now).map(Principal::role_names);
        assert_eq!(roles("old", at("01")).as_deref(), Some("caller"));
        assert_eq!(roles("new", at("01")).as_deref(), Some("caller,events"));
        assert_eq!(roles("old", at("02")), None, "it has expired");
        assert_eq!(roles("new", at("02")).as_deref(), Some("caller,events"));
        assert_eq!(roles("", at("01")), None);
        assert_eq!(roles(&hash_of_token("new"), at("01")), None, "the file alone lets no one in");
    }

    #[test]
    fn bad_files_are_refused_without_what_is_secret() {
        let end = "2026-01-01T00:00:00Z";
        let good = entry("secret", "\"caller\"", end);
        for (text, says) in [
            (good.replace("caller", "root"), "token 1: \"root\" is no access role"),
            (good.replace("caller", "shard"), "the role shard is a node's"),
            (entry("secret", "", end), "roles is empty"),
            (good.replace("name", "nam"), "unknown field"),
            (good.replace(end, "tomorrow"), "expires is no time"),
            (good.replace("blake3 = \"", "blake3 = \"x"), "blake3 is not 64"),
            (good.replace("web", "w b"), "its name"),
        ] {
            let said = TokenFile::parse(&text).expect_err(says).to_string();
            assert!(said.contains(says), "{said}");
            assert!(!said.contains(&hash_of_token("secret")[..16]), "{said}");
        }
        assert_eq!(TokenFile::parse(""), Ok(TokenFile::default()));
    }
}
