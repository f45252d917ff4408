//! `marquee load`: an open loop of requests, so that a stall shows; or a closed one, to see what a call
//! costs.
//!
//! Calls are sent at a fixed rate, whether or not earlier ones were answered, and each latency is
//! counted from the moment the call *should* have been sent. A closed loop would stop asking while
//! the server hangs and report one slow call; this one reports all that a real crowd would have
//! made. With `--clients` the loop is closed, as benchmarks of other systems are. [`Schedule`] says when
//! calls are due, [`Users`] who asks, [`Load`] sends, [`Tally`] counts, [`Usages`] says what the answers
//! cost the servers.
//!
//! Deliberately missing: ramps and mixes of calls. Run several, one after another or at once.

mod cost;
mod engine;
mod events;
mod report;
mod schedule;
mod tally;
mod users;

pub use cost::{Cost, Usages};
pub use engine::{Load, LoadConfig};
pub use report::{LoadReport, milliseconds};
pub use schedule::Schedule;
pub use tally::{Answer, Ended, Served, Tally};
pub use users::{Users, UsersError};

use crate::output;
use clap::Args;
use marquee_client::{Address, innermost_reason};
use marquee_core::bounds::{DEFAULT_COUNT, MAX_BATCH, MAX_COUNT};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How often the progress line is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

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
    /// A router's address; repeat it for more, which take turns
    #[arg(
        long,
        env = "MARQUEE_ENDPOINT",
        value_delimiter = ',',
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    endpoint: Vec<Address>,
    /// Count the CPU time of the node at this address too, as of every endpoint: repeat it for all
    /// nodes of a cluster
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    server: Vec<Address>,
    /// Calls a second, above 0
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    rate: f64,
    /// Instead of a rate, so many clients that ask again as soon as they were answered: then a server that
    /// hangs is asked less, and latencies hide it
    #[arg(long, conflicts_with_all = ["rate", "max_in_flight"], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: Option<u32>,
    /// How long to send, such as 500ms, 30s or 5m (a number alone is seconds); at most a day
    #[arg(long, default_value = "10s", value_parser = time, value_name = "TIME")]
    duration: Duration,
    /// A file with one user id a line; a line that comes twice is asked for twice as often
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
    /// Results wanted for each user
    #[arg(long, default_value_t = DEFAULT_COUNT, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    count: u32,
    /// Users in a call: 1 calls Recommend, more BatchRecommend
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MAX_BATCH as i64))]
    batch: u32,
    /// Record events instead of asking: --batch of them a call by RecordEvents, made up, each acknowledged
    /// when it is on the router's disk
    #[arg(long)]
    events: bool,
    /// The surface to ask for
    #[arg(long, default_value = marquee_core::plan::DEFAULT_SURFACE)]
    surface: String,
    /// Calls under way at most; a call that is due beyond that counts as not sent
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_in_flight: u32,
    /// Milliseconds that a call may take before it has failed
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=600_000), value_name = "MS")]
    deadline_ms: u32,
    /// Draw the same users again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Exit with 1 if any call failed or could not be sent
    #[arg(long)]
    fail_on_error: bool,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1e6 => Ok(value),
        _ => Err("give a number above 0 and up to 1000000".into()),
    }
}

/// A time above nothing and up to a day; a number without a unit is seconds.
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

/// Runs a load and reports it. Fails if nobody answers at the start, or nothing was answered.
pub async fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let users = match (&args.users, &args.bundle) {
        (Some(file), _) => Users::from_file(file)?,
        (None, Some(bundle)) => Users::of_bundle(bundle)?,
        (None, None) => anyhow::bail!("nobody to ask for: give --users FILE or --bundle DIR"),
    };
    for address in &args.endpoint {
        somebody_listens(address).await?;
    }
    let servers: Vec<Address> = args.endpoint.iter().chain(&args.server).cloned().collect();
    let before = Usages::of(&servers).await?;
    if before.is_none() && !args.server.is_empty() {
        anyhow::bail!("--server: not all of the nodes say what they cost: run this version there");
    }
    let rate = args.clients.is_none().then_some(args.rate);
    let schedule = Schedule { rate, duration: Some(args.duration) };
    let config = LoadConfig {
        endpoints: args.endpoint,
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
        tokio::time::sleep(DRAW_EVERY.min(Duration::from_millis(20))).await;
        load.look(|tally| {
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
            let after = Usages::of(&servers).await?;
            after.and_then(|after| after.since(before, tally.answered))
        }
    };
    let report = LoadReport { server: cost, ..LoadReport::new(&schedule, elapsed, &tally) };
    match args.json {
        true => output::json(&report)?,
        false => output::line(report.to_string())?,
    }
    let perfect = report.errors.is_empty() && report.not_sent == 0;
    let fine = report.answered > 0 && (perfect || !args.fail_on_error);
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A mistyped address should be an error, not a report full of them.
async fn somebody_listens(address: &Address) -> anyhow::Result<()> {
    let endpoint = tonic::transport::Endpoint::from_shared(address.to_string())?
        .connect_timeout(Duration::from_secs(2));
    if let Err(error) = endpoint.connect().await {
        anyhow::bail!(
            "nobody answers at {address} ({}): start a node with `marquee serve`, or name another with --endpoint",
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
