//! `marquee ctl health`: gRPC health of a node, for scripts that wait for one.

use super::context::Context;
use crate::output;
use clap::Args;
use marquee_client::{channel, innermost_reason};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Pause between two checks of a node that does not serve yet.
const POLL: Duration = Duration::from_millis(100);
/// Upper bound of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl --endpoint http://127.0.0.1:50052 health
  marquee ctl health --service marquee.v1.RecommenderService --wait-seconds 30")]
pub(super) struct HealthArgs {
    /// A service's full name; empty for the node as a whole
    #[arg(long, default_value = "")]
    service: String,
    /// Seconds to wait for every endpoint to serve, 0 to 3600
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    wait_seconds: u64,
}

pub(super) async fn run(context: &Context, args: HealthArgs) -> anyhow::Result<ExitCode> {
    let until = Instant::now() + Duration::from_secs(args.wait_seconds);
    let mut results = Vec::new();
    for address in &context.addresses {
        let mut client = HealthClient::new(channel(address, &context.credentials));
        let status = loop {
            let check = client.check(HealthCheckRequest { service: args.service.clone() });
            let status = match tokio::time::timeout(CHECK_TIMEOUT, check).await {
                Ok(Ok(answer)) => status_name(answer.into_inner()),
                Ok(Err(status)) => innermost_reason(&status),
                Err(_) => format!("no answer within {CHECK_TIMEOUT:?}"),
            };
            if status == SERVING || Instant::now() >= until {
                break status;
            }
            tokio::time::sleep(POLL).await;
        };
        results.push((address, status));
    }
    let all_serve = results.iter().all(|(_, status)| status == SERVING);
    if context.json {
        let list: Vec<_> = results
            .iter()
            .map(|(address, status)| {
                serde_json::json!({ "endpoint": address.as_str(), "status": status })
            })
            .collect();
        output::json(&list)?;
    } else {
        for (address, status) in &results {
            output::line(format!("{address} {status}"))?;
        }
    }
    Ok(if all_serve { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const SERVING: &str = "SERVING";

/// The name of a health status, as gRPC writes it.
fn status_name(answer: HealthCheckResponse) -> String {
    match answer.status() {
        ServingStatus::Serving => SERVING,
        ServingStatus::NotServing => "NOT_SERVING",
        ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
        ServingStatus::Unknown => "UNKNOWN",
    }
    .into()
}
