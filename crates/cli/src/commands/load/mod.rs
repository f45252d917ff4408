//! `marquee load`: an open loop of requests, in which a stall shows; or a closed loop, to measure the cost of
//! a call.
//!
//! In the open loop calls are sent at a fixed rate, whether or not earlier ones were answered, and each
//! latency counts from the moment the call *should* have been sent. A closed loop (`--clients`), as
//! benchmarks of other systems have, stops sending while the server hangs and reports one slow call where
//! real users would have seen many. [`Schedule`] says when calls are due, [`Users`] for which users, [`Load`]
//! sends them, [`LoadTally`] counts, and [`Usages`] measures what the answers cost the servers.
//!
//! Deliberately missing: ramps and mixes of calls. Run several, one after another or at once.

mod config;
mod cost;
mod engine;
mod events;
mod report;
mod schedule;
mod tally;
mod users;

pub use config::LoadConfig;
pub use cost::{Cost, Usages};
pub use engine::Load;
pub use report::{LoadReport, milliseconds};
pub use schedule::Schedule;
pub use tally::{AnsweredBy, CallResult, CountedAnswer, LoadTally};
pub use users::{Users, UsersError};

use crate::credentials::CredentialArgs;
use crate::output;
use clap::Args;
use marquee_client::{Address, Credentials, innermost_reason, try_connect};
use marquee_core::bounds::{DEFAULT_COUNT, MAX_BATCH_REQUESTS, MAX_COUNT};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two updates of the progress bar.
const PROGRESS_POLL: Duration = Duration::from_millis(20);

/// `marquee load …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee load --bundle bundles/films-v1 --rate 200 --duration 30s
  marquee load --endpoint http://127.0.0.1:50051 --endpoint http://127.0.0.1:50052 \\
      --users users.txt --rate 1000 --duration 60s --json
  marquee load --users users.txt --clients 1
  marquee load --users users.txt --events --batch 100 --rate 200 --duration 30s
  marquee load --bundle bundles/films-v1 --server http://127.0.0.1:7201,http://127.0.0.1:7202")]
pub struct LoadArgs {
    /// A router's address; repeat it for more, which get calls in turn
    #[arg(
        long,
        env = "MARQUEE_ENDPOINT",
        value_delimiter = ',',
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    endpoint: Vec<Address>,
    /// The address of a node whose CPU time is counted besides that of the endpoints; repeat it for all nodes
    /// of a cluster
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    server: Vec<Address>,
    /// Calls per second, above 0
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    rate: f64,
    /// Number of clients that send the next call when the last one was answered, instead of a rate: a server
    /// that hangs then gets fewer calls, and the latencies do not show it
    #[arg(long, conflicts_with_all = ["rate", "max_in_flight"], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: Option<u32>,
    /// How long to send, such as 500ms, 30s or 5m (a number alone is seconds); at most a day
    #[arg(long, default_value = "10s", value_parser = time, value_name = "TIME")]
    duration: Duration,
    /// A file with one user id a line; an id that is there twice is drawn twice as often
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "bundle",
        conflicts_with = "bundle"
    )]
    users: Option<PathBuf>,
    /// Take the users from this bundle, each as often as it has interactions
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Recommendations requested for each user
    #[arg(long, default_value_t = DEFAULT_COUNT, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    count: u32,
    /// Users in a call: 1 calls Recommend, more BatchRecommend
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MAX_BATCH_REQUESTS as i64))]
    batch: u32,
    /// Send generated events instead of requests, --batch of them in each RecordEvents call
    #[arg(long)]
    events: bool,
    /// The surface of the requests
    #[arg(long, default_value = marquee_core::plan::DEFAULT_SURFACE)]
    surface: String,
    /// Upper bound of the calls under way; a call that is due beyond it counts as not sent
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_in_flight: u32,
    /// Deadline of a call in milliseconds
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=600_000), value_name = "MS")]
    deadline_ms: u32,
    /// Seed of the random draws: the same seed draws the same users
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Exit with 1 if any call failed or could not be sent
    #[arg(long)]
    fail_on_error: bool,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: CredentialArgs,
}

/// Reads a rate.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1e6 => Ok(value),
        _ => Err("give a number above 0 and up to 1000000".into()),
    }
}

/// Reads a time above 0 and up to a day; a number without a unit is seconds.
fn time(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] =
        [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("", 1.0)];
    const DAY: f64 = 86_400.0;
    let seconds = UNITS.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * seconds)
    });
    match seconds {
        Some(seconds) if seconds > 0.0 && seconds <= DAY => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a time of up to a day, such as 500ms, 30s or 5m".into()),
    }
}

/// Runs a load and prints its report. Fails if no node answers at the start, or no call was answered.
pub async fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let users = match (&args.users, &args.bundle) {
        (Some(file), _) => Users::from_file(file)?,
        (None, Some(bundle)) => Users::of_bundle(bundle)?,
        (None, None) => anyhow::bail!("no users: give --users FILE or --bundle DIR"),
    };
    let servers: Vec<Address> = args.endpoint.iter().chain(&args.server).cloned().collect();
    let credentials = args.credentials.read(&servers)?;
    for address in &args.endpoint {
        check_reachable(address, &credentials).await?;
    }
    let before = Usages::of(&servers, &credentials).await?;
    if before.is_none() && !args.server.is_empty() {
        anyhow::bail!(
            "--server: not all of the nodes report their usage: run this version there, as an operator"
        );
    }
    let rate = args.clients.is_none().then_some(args.rate);
    let schedule = Schedule { rate, duration: Some(args.duration) };
    let config = LoadConfig {
        endpoints: args.endpoint,
        credentials: credentials.clone(),
        schedule,
        users: Arc::new(users),
        count: args.count,
        batch: args.batch as usize,
        events: args.events,
        surface: args.surface,
        max_in_flight: args.clients.unwrap_or(args.max_in_flight) as usize,
        deadline: Duration::from_millis(args.deadline_ms.into()),
        seed: args.seed,
    };
    let load = Load::start(config)?;
    let progress = progress_bar(&schedule);
    while !load.is_done() {
        tokio::time::sleep(PROGRESS_POLL).await;
        load.read_tally(|tally| {
            progress.set_position(tally.calls() + tally.not_sent);
            progress.set_message(format!(
                "p99 {}, {} failed",
                milliseconds(tally.latency(0.99)),
                tally.failed()
            ));
        });
    }
    progress.finish_and_clear();
    let elapsed = load.elapsed();
    let tally = load.stop().await;
    let cost = match &before {
        None => None,
        Some(before) => {
            let after = Usages::of(&servers, &credentials).await?;
            after.and_then(|after| after.cost_since(before, tally.answered))
        }
    };
    let report = LoadReport { server: cost, ..LoadReport::new(&schedule, elapsed, &tally) };
    if args.json {
        output::json(&report)?;
    } else {
        output::line(report.to_string())?;
    }
    let all_answered = report.errors.is_empty() && report.not_sent == 0;
    let succeeded = report.answered > 0 && (all_answered || !args.fail_on_error);
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fails if no server listens at the address, so that a mistyped one is an error and not a report of failed
/// calls.
async fn check_reachable(address: &Address, credentials: &Credentials) -> anyhow::Result<()> {
    if let Err(error) = try_connect(address, credentials).await {
        anyhow::bail!(
            "no node answers at {address} ({}): start one with `marquee serve`, or name another with --endpoint",
            innermost_reason(&error)
        );
    }
    Ok(())
}

fn progress_bar(schedule: &Schedule) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let style =
        indicatif::ProgressStyle::with_template("{elapsed:>4} {wide_bar} {pos}/{len} calls, {msg}");
    let bar = indicatif::ProgressBar::new(schedule.calls().unwrap_or(0));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(time("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(time("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("10"), Ok(Duration::from_secs(10)));
        for bad in ["", "s", "0", "0s", "-1s", "NaNs", "infs", "25h", "1d", "1e400s"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
