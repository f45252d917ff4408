//! Whom control may ask, and whom it tells.

use super::allowed::{AllowedUrls, UrlError};
use marquee_core::id::{IdError, check_name};
use marquee_core::notification::MAX_TARGETS;
use std::collections::BTreeSet;
use std::fmt;

/// The least bytes of a secret: as many as the output of a hash of 128 bits.
const MIN_SECRET_BYTES: usize = 16;
/// The most bytes of a secret: a file with more is hardly meant.
const MAX_SECRET_BYTES: usize = 4_096;

/// What control says to the outside and asks of it. All nodes of a group must agree on it.
#[derive(Clone, Debug, Default)]
pub struct OutboundConfig {
    /// The beginnings of addresses that external gates may name; none: there are no external gates.
    pub external_urls: AllowedUrls,
    /// Who is told of rollouts, at most [`MAX_TARGETS`].
    pub notifications: Vec<NotificationTarget>,
}

/// One that is told of rollouts.
#[derive(Clone)]
pub struct NotificationTarget {
    /// Its name, unique, in logs and in what is replicated.
    pub name: String,
    /// Its address. It may be a secret, as those of chats are, and is never printed.
    pub url: String,
    /// What it gets.
    pub format: NotificationFormat,
    /// What messages are signed with; none: they are not signed.
    pub secret: Option<Secret>,
    /// The surfaces that it is told of; none: all.
    pub surfaces: BTreeSet<String>,
}

impl fmt::Debug for NotificationTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, url: _, format, secret: _, surfaces } = self;
        write!(f, "NotificationTarget {{ {name}, {format:?}, {surfaces:?} }}")
    }
}

/// What a target gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationFormat {
    /// All that is known of the transition, as JSON.
    Json,
    /// A line of text, as chats take it that understand Slack's messages.
    Slack,
}

/// What messages are signed with. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret as a file has it: white space around it does not count.
    ///
    /// # Errors
    /// It is too short or too long.
    pub fn of_file(contents: &[u8]) -> Result<Self, OutboundConfigError> {
        let secret = contents.trim_ascii();
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.len()) {
            return Err(OutboundConfigError::Secret { length: secret.len() });
        }
        Ok(Self(secret.to_vec()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why the config of what goes out is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundConfigError {
    /// There are too many targets.
    #[error("control.notifications has {count} entries: at most {MAX_TARGETS} are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// A name is there twice.
    #[error("control.notifications: the name {name} is there twice")]
    Repeated {
        /// The name that is taken.
        name: String,
    },
    /// The address of a target is none. It may be a secret, so it is not in the message.
    #[error(
        "control.notifications: the url of {name} is none of the form http://host/path or https://host/path"
    )]
    Url {
        /// The target's name.
        name: String,
    },
    /// A beginning of addresses is none.
    #[error("control.external_urls: {0}")]
    ExternalUrl(#[from] UrlError),
    /// A secret is too short or too long.
    #[error("the secret has {length} bytes: {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} are allowed")]
    Secret {
        /// How long it is, in bytes.
        length: usize,
    },
    /// Messages for programs would not be signed.
    #[error(
        "control.notifications: {name} has no secret_file: messages of format \"json\" are signed"
    )]
    Unsigned {
        /// The target's name.
        name: String,
    },
}

impl OutboundConfig {
    /// Checks everything that does not need the network.
    ///
    /// # Errors
    /// There are too many targets, or one is malformed.
    pub fn validate(&self) -> Result<(), OutboundConfigError> {
        let Self { external_urls: _, notifications } = self;
        if notifications.len() > MAX_TARGETS {
            return Err(OutboundConfigError::TooMany { count: notifications.len() });
        }
        let mut seen = BTreeSet::new();
        for NotificationTarget { name, url, format, secret, surfaces } in notifications {
            check_name("control.notifications.name", name)?;
            if !seen.insert(name) {
                return Err(OutboundConfigError::Repeated { name: name.clone() });
            }
            for surface in surfaces {
                check_name("control.notifications.surfaces", surface)?;
            }
            if AllowedUrls::parse(std::slice::from_ref(url)).is_err() {
                return Err(OutboundConfigError::Url { name: name.clone() });
            }
            match (format, secret) {
                (NotificationFormat::Json, None) => {
                    return Err(OutboundConfigError::Unsigned { name: name.clone() });
                }
                (NotificationFormat::Json, Some(_)) | (NotificationFormat::Slack, _) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> NotificationTarget {
        NotificationTarget {
            name: name.into(),
            url: "https://chat.example.com/hooks/T0KEN".into(),
            format: NotificationFormat::Json,
            secret: Some(Secret::of_file(b"sixteen or more bytes\n").expect("long enough")),
            surfaces: BTreeSet::new(),
        }
    }

    #[test]
    fn secrets_and_addresses_are_not_printed() {
        let printed = format!("{:?}", target("chat"));
        assert!(!printed.contains("T0KEN") && !printed.contains("sixteen"), "{printed}");
        let bad = NotificationTarget { url: "T0KEN".into(), ..target("chat") };
        let config = OutboundConfig { notifications: vec![bad], ..OutboundConfig::default() };
        let refused = config.validate().expect_err("no address").to_string();
        assert!(refused.contains("chat") && !refused.contains("T0KEN"), "{refused}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |notifications| {
            OutboundConfig { notifications, ..OutboundConfig::default() }.validate()
        };
        assert_eq!(check(vec![target("a"), target("b")]), Ok(()));
        let twice = OutboundConfigError::Repeated { name: "a".into() };
        assert_eq!(check(vec![target("a"), target("a")]), Err(twice));
        let many = (0..9).map(|n| target(&format!("t{n}"))).collect();
        assert_eq!(check(many), Err(OutboundConfigError::TooMany { count: 9 }));
        let unsigned = NotificationTarget { secret: None, ..target("a") };
        assert_eq!(
            check(vec![unsigned.clone()]),
            Err(OutboundConfigError::Unsigned { name: "a".into() })
        );
        let chat = NotificationTarget { format: NotificationFormat::Slack, ..unsigned };
        assert_eq!(check(vec![chat]), Ok(()));
        assert_eq!(Secret::of_file(b" short \n"), Err(OutboundConfigError::Secret { length: 5 }));
    }
}
