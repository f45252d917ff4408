//! `marquee metrics`: the list of what nodes show to Prometheus.

use crate::output;
use clap::{Args, ValueEnum};
use marquee_node::metrics::{ALL_METRICS, Definition, MetricScope};
use serde::Serialize;
use std::process::ExitCode;

/// `marquee metrics …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee metrics
  marquee metrics --role router
  marquee metrics --json | jq -r '.[].name'
  curl http://127.0.0.1:20051/metrics")]
pub struct MetricsArgs {
    /// Only those of nodes with this role; \"node\": those that all nodes have
    #[arg(long, value_name = "ROLE")]
    role: Option<RoleArg>,
    /// Print JSON for scripts instead of text
    #[arg(long)]
    json: bool,
}

/// The nodes that have a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    Node,
    Control,
    Router,
    Shard,
}

impl RoleArg {
    fn scope(self) -> MetricScope {
        match self {
            Self::Node => MetricScope::Node,
            Self::Control => MetricScope::Control,
            Self::Router => MetricScope::Router,
            Self::Shard => MetricScope::Shard,
        }
    }
}

/// One metric as JSON.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    #[serde(rename = "type")]
    kind: String,
    role: String,
    labels: &'static [&'static str],
    unit: Option<&'static str>,
    meaning: &'static str,
}

/// Prints every metric with its type, labels, unit and meaning.
pub fn run(args: &MetricsArgs) -> anyhow::Result<ExitCode> {
    let MetricsArgs { role, json } = args;
    let wanted = |it: &&&Definition| role.is_none_or(|role| role.scope() == it.scope);
    let listed: Vec<&&Definition> = ALL_METRICS.iter().filter(wanted).collect();
    if *json {
        let listed: Vec<Listed> =
            listed.into_iter().map(|definition| json_of(definition)).collect();
        output::json(&serde_json::to_value(listed)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (n, definition) in listed.into_iter().enumerate() {
        let blank = if n == 0 { "" } else { "\n" };
        output::line(format!("{blank}{}", text_of(definition)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json_of(definition: &Definition) -> Listed {
    Listed {
        name: definition.name,
        kind: definition.kind.to_string(),
        role: definition.scope.to_string(),
        labels: definition.labels,
        unit: definition.unit(),
        meaning: definition.meaning,
    }
}

/// Two lines: what it is, and what it means.
fn text_of(definition: &Definition) -> String {
    let labels = match definition.labels {
        [] => String::new(),
        labels => format!("{{{}}}", labels.join(", ")),
    };
    let unit = definition.unit().map_or(String::new(), |unit| format!(", {unit}"));
    let Definition { name, kind, scope, meaning, .. } = definition;
    format!("{name}{labels}  {kind}{unit}, {scope}\n  {meaning}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_listed_with_type_unit_labels_and_meaning() {
        let rpc = ALL_METRICS.iter().find(|it| it.name == "marquee_rpc_duration_seconds");
        let text = text_of(rpc.expect("it is there"));
        let first = "marquee_rpc_duration_seconds{method, code}  histogram, seconds, node\n  Calls";
        assert!(text.starts_with(first), "{text}");
    }
}
