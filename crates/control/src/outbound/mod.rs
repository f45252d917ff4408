//! What control says to the outside, and asks of it: questions of external gates, and notifications of rollouts.
//!
//! Only the leader does. It works beside raft: core says what is due ([`due_questions`], [`next_notification`]), a task connects,
//! and what came of it is proposed as a command. Whatever the other end does, answers in gigabytes, by bytes a minute or not at
//! all, costs a bounded time and a bounded memory, and no other duty of the leader waits for it.
//!
//! Whom control may ask is in its config ([`AllowedUrls`]), for operators name the addresses of gates: without the config, who may
//! start a rollout could make control connect to anything that it can reach. Redirects are not followed, for the same
//! reason. Addresses of notifications are in the config themselves.
//!
//! [`due_questions`]: marquee_core::rollout::judge::due_questions
//! [`next_notification`]: marquee_core::notification::next_notification

mod allowed;
mod config;
mod notifier;
mod question;
mod questioner;
mod sign;
#[cfg(test)]
mod tests;
mod text;

pub use allowed::{AllowedUrls, UrlError};
pub use config::{
    NotificationFormat, NotificationTarget, OutboundConfig, OutboundConfigError, Secret,
};

pub(crate) use notifier::{LastErrors, Notifier};
pub(crate) use questioner::Questioner;
