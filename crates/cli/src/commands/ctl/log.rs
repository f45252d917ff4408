//! `marquee ctl log`: what nodes log, changed while they run.

use super::context::Context;
use crate::output;
use anyhow::Context as _;
use clap::Args;
use marquee_client::{channel, innermost_reason};
use marquee_proto::node::v1::node_service_client::NodeServiceClient;
use marquee_proto::node::v1::{SetLogFilterRequest, SetLogFilterResponse};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl --endpoint http://127.0.0.1:7201 log
  marquee ctl --endpoint http://127.0.0.1:7201 log debug
  marquee ctl --endpoint http://127.0.0.1:7201 log info,marquee_shard=debug

It asks the nodes at the endpoints, whatever their roles, and changes no others. The change ends with the process.")]
pub(super) struct LogArgs {
    /// A level (error, warn, info, debug, trace, off) or directives; without it, prints what holds
    #[arg(value_name = "LEVEL")]
    filter: Option<String>,
}

/// Changes the filter of the node at each endpoint, and prints the filters.
pub(super) async fn run(context: &Context, args: LogArgs) -> anyhow::Result<ExitCode> {
    let LogArgs { filter } = args;
    let filter = filter.unwrap_or_default();
    let mut answers = Vec::new();
    for address in &context.addresses {
        let mut client = NodeServiceClient::new(channel(address, &context.credentials));
        let answer = client.set_log_filter(SetLogFilterRequest { filter: filter.clone() }).await;
        let answer = answer
            .map_err(|status| anyhow::anyhow!(innermost_reason(&status)))
            .with_context(|| format!("the log of {address} stays as it is"))?;
        answers.push((address, answer.into_inner()));
    }
    if context.json {
        let list: Vec<_> = answers
            .iter()
            .map(|(address, SetLogFilterResponse { filter, previous })| {
                serde_json::json!({ "endpoint": address.as_str(), "filter": filter, "previous": previous })
            })
            .collect();
        output::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (address, SetLogFilterResponse { filter, previous }) in answers {
        let before =
            if filter == previous { String::new() } else { format!(", before: {previous}") };
        output::line(format!("{address} logs {filter}{before}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
