//! What a config says of limits: of connections, requests and calls a second.

use super::file::{QuotaSection, ServerSection};
use super::security::Refusal;
use super::settings::ServerLimits;
use marquee_core::access::{AccessRole, UnknownAccessRole};
use marquee_core::id::check_name;
use marquee_core::limits::quota::QuotaRules;
use marquee_core::limits::rate::Rate;
use marquee_net::connections::ConnectionLimits;
use std::fmt::Display;
use std::time::Duration;

/// Upper bound of concurrent requests: each holds buffers of up to a message.
const MAX_SERVER_IN_FLIGHT: usize = 100_000;
/// Upper bound of connections: each holds some ten kilobytes.
const MAX_CONNECTIONS: usize = 100_000;
/// Upper bound of the calls on one connection: above it a client should have several.
const MAX_STREAMS_PER_CONNECTION: u32 = 65_536;
/// The longest handshake in seconds: networks lose connections sooner.
const MAX_HANDSHAKE_SECONDS: u64 = 60;
/// The longest time for a request in seconds: above any caller's patience.
const MAX_REQUEST_SECONDS: u64 = 600;
/// The longest idle time in seconds: a day.
const MAX_IDLE_SECONDS: u64 = 86_400;
/// The longest pause between questions whether a peer is there, in seconds: routers on the way forget connections in less.
const MAX_KEEPALIVE_SECONDS: u64 = 3_600;
/// Upper bound of `server.quotas`: as many as there may be identities.
const MAX_QUOTAS: usize = 1_000;
/// Upper bound of calls a second: above what one machine answers.
const MAX_CALLS: u32 = 1_000_000;

/// Checks what the section `[server]` says of limits.
pub(crate) fn check_limits(section: &ServerSection) -> Result<ServerLimits, Refusal> {
    let ServerSection {
        max_in_flight,
        max_connections,
        max_connections_per_address,
        streams_per_connection,
        handshake_seconds,
        request_seconds,
        idle_seconds,
        keepalive_seconds,
        quotas,
        io_threads: _,
        drain_seconds: _,
    } = section;
    within("max_in_flight", *max_in_flight, MAX_SERVER_IN_FLIGHT)?;
    within("max_connections", *max_connections, MAX_CONNECTIONS)?;
    within("max_connections_per_address", *max_connections_per_address, MAX_CONNECTIONS)?;
    within("streams_per_connection", *streams_per_connection, MAX_STREAMS_PER_CONNECTION)?;
    within("handshake_seconds", *handshake_seconds, MAX_HANDSHAKE_SECONDS)?;
    within("request_seconds", *request_seconds, MAX_REQUEST_SECONDS)?;
    within("idle_seconds", *idle_seconds, MAX_IDLE_SECONDS)?;
    within("keepalive_seconds", *keepalive_seconds, MAX_KEEPALIVE_SECONDS)?;
    Ok(ServerLimits {
        max_in_flight: *max_in_flight,
        streams_per_connection: *streams_per_connection,
        connections: ConnectionLimits {
            all: *max_connections,
            of_address: *max_connections_per_address,
            handshake: Duration::from_secs(*handshake_seconds),
            idle: Duration::from_secs(*idle_seconds),
        },
        request: Duration::from_secs(*request_seconds),
        keepalive: Duration::from_secs(*keepalive_seconds),
        quotas: check_quotas(quotas)?,
    })
}

/// Refuses a value outside of 1 to `max`.
fn within<T: PartialOrd + Display + From<u8>>(key: &str, value: T, max: T) -> Result<(), Refusal> {
    if value >= T::from(1) && value <= max {
        return Ok(());
    }
    Err(Refusal::new(format!("server.{key}"), format!("{value} is not within 1 to {max}")))
}

fn check_quotas(sections: &[QuotaSection]) -> Result<QuotaRules, Refusal> {
    if sections.len() > MAX_QUOTAS {
        let reason = format!("has {}: at most {MAX_QUOTAS} are allowed", sections.len());
        return Err(Refusal::new("server.quotas", reason));
    }
    let mut rules = QuotaRules::default();
    for (n, section) in sections.iter().enumerate() {
        let QuotaSection { identity, role, anonymous, calls_per_second, burst } = section;
        let refusal =
            |key: &str, reason: String| Refusal::new(format!("server.quotas[{n}]{key}"), reason);
        within(&format!("quotas[{n}].calls_per_second"), *calls_per_second, MAX_CALLS)?;
        let burst = burst.unwrap_or(*calls_per_second);
        within(&format!("quotas[{n}].burst"), burst, MAX_CALLS)?;
        let rate = Rate::new(*calls_per_second, burst);
        let before = match (identity, role, anonymous) {
            (Some(identity), None, false) => {
                let checked = check_name("the name", identity);
                checked.map_err(|error| refusal(".identity", error.to_string()))?;
                rules.identities.insert(identity.clone(), rate)
            }
            (None, Some(role), false) => {
                let role: Result<AccessRole, UnknownAccessRole> = role.parse();
                let role = role.map_err(|error| refusal(".role", error.to_string()))?;
                rules.roles.insert(role, rate)
            }
            (None, None, true) => rules.anonymous.replace(rate),
            _ => {
                let reason = "names none or several: give identity, or role, or anonymous = true";
                return Err(refusal("", reason.into()));
            }
        };
        if before.is_some() {
            return Err(refusal("", "limits whom another entry limits already".into()));
        }
    }
    Ok(rules)
}
