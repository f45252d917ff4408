//! What a node tells Prometheus: every number that it has of itself and of what it follows, at one address.
//!
//! ```text
//! parts of the node: counters they have anyway ──▶ sources ──▶ Samples ──▶ text ──▶ GET /metrics
//! calls to its services ──▶ CallCounts (a layer) ─────▲
//! ```
//!
//! [`ALL_METRICS`] names every metric with its type, labels, unit and meaning. Samples can be made of what is in it only, and
//! `marquee metrics` prints it: the list cannot differ from what is scraped. Numbers are gathered when they are asked for,
//! from counters that roles keep for themselves; only calls are counted here.
//!
//! Labels have values of a bounded set: methods, codes, states, and the names of what is in the plan. None is of a user or
//! an item, nor an address.
//!
//! Deliberately missing: a history. That is what Prometheus is for.

mod calls;
mod definition;
mod endpoint;
mod list;
mod samples;
mod sources;

pub use definition::{Definition, MetricKind, MetricScope};
pub(crate) use endpoint::{open_endpoint, serve_metrics};
pub use list::ALL_METRICS;
pub(crate) use sources::{
    CallSource, CertificateSource, ControlSource, MetricSources, NodeSource, PlanSource,
    RouterSource, ShardSource,
};
