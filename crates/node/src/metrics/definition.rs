//! What one metric is.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It never falls while the process lives; its name ends in `_total`.
    Counter,
    /// It may rise and fall.
    Gauge,
    /// Counts of durations up to each of some bounds, with their number and their sum.
    Histogram,
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// Which nodes have a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricScope {
    /// All nodes have it, whatever their roles.
    Node,
    /// Those with the control role.
    Control,
    /// Those with the router role.
    Router,
    /// Those with the shard role.
    Shard,
}

impl fmt::Display for MetricScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Control => "control",
            Self::Router => "router",
            Self::Shard => "shard",
        })
    }
}

/// One metric, as it is listed and scraped.
#[derive(Debug)]
pub struct Definition {
    /// The name, with its unit, and with `_total` if it is a counter.
    pub name: &'static str,
    /// How its values move, and how they are encoded.
    pub kind: MetricKind,
    /// The nodes that have it.
    pub scope: MetricScope,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is, in words, without a full stop.
    pub meaning: &'static str,
}

/// The base units that names end in.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

impl Definition {
    /// The unit that its name says; none for plain numbers.
    pub fn unit(&self) -> Option<&'static str> {
        let stem = self.name.strip_suffix("_total").unwrap_or(self.name);
        UNITS.into_iter().find(|unit| stem.ends_with(&format!("_{unit}")))
    }

    /// The name as the encoder wants it: without unit and `_total`, which it adds.
    pub(super) fn stem(&self) -> &'static str {
        let stem = self.name.strip_suffix("_total").unwrap_or(self.name);
        let unit = self.unit().and_then(|unit| stem.strip_suffix(unit));
        unit.and_then(|stem| stem.strip_suffix('_')).unwrap_or(stem)
    }

    /// The unit as the encoder wants it.
    pub(super) fn encoded_unit(&self) -> Option<Unit> {
        match self.unit()? {
            "seconds" => Some(Unit::Seconds),
            "bytes" => Some(Unit::Bytes),
            other => Some(Unit::Other(other.to_owned())),
        }
    }

    /// The type as the encoder wants it.
    pub(super) fn encoded_kind(&self) -> MetricType {
        match self.kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        }
    }
}
