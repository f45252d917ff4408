//! `marquee ctl traffic`: rates, latencies and rewards of the answers on surfaces.

use super::context::Context;
use crate::message;
use crate::output;
use clap::Args;
use marquee_proto::control::v1::{
    GetTrafficRequest, GetTrafficResponse, SegmentTraffic, SurfaceTraffic, VariantTraffic,
};
use std::collections::BTreeMap;
use std::process::ExitCode;

const NO_TRAFFIC: &str = "no router has reported any traffic: the first window comes about ten seconds after the first answer";

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl traffic
  marquee ctl traffic home --history
  marquee ctl traffic home --segments
  marquee ctl traffic --json

A window has about ten seconds; those of the last five minutes with traffic are kept. Requests that look
automated are left out and counted apart. ITEMS: different items among the first ten of all lists, to about 3 %.
SIMILARITY: the share of one user's list that the next user got too. SCORE: the median score of the best items. MEAN MS: the geometric
mean of the latencies.")]
pub(super) struct TrafficArgs {
    /// Only this surface
    surface: Option<String>,
    /// Show every window that is kept, not only the newest of each surface
    #[arg(long)]
    history: bool,
    /// Show each segment of the surfaces instead of all requests together; see `marquee ctl segments`
    #[arg(long)]
    segments: bool,
}

pub(super) async fn run(context: &mut Context, args: TrafficArgs) -> anyhow::Result<ExitCode> {
    let TrafficArgs { surface, history, segments } = args;
    let request = GetTrafficRequest { surface: surface.unwrap_or_default() };
    let mut answer = context
        .client
        .call(request, |mut control, request| async move { control.get_traffic(request).await })
        .await?;
    if !history {
        answer.windows = newest(answer.windows);
    }
    if context.json {
        output::json(&message::to_json("marquee.control.v1.GetTrafficResponse", &answer))?;
    } else {
        output::line(if segments { segment_table(&answer) } else { table(&answer) })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The last window of each surface.
fn newest(windows: Vec<SurfaceTraffic>) -> Vec<SurfaceTraffic> {
    let by_surface: BTreeMap<String, SurfaceTraffic> =
        windows.into_iter().map(|window| (window.surface.clone(), window)).collect();
    by_surface.into_values().collect()
}

/// A table with a row for each window and variant, and notes on what was left out.
fn table(answer: &GetTrafficResponse) -> String {
    if answer.windows.is_empty() {
        return NO_TRAFFIC.into();
    }
    let mut table = output::table(&[
        "UNTIL",
        "SURFACE",
        "VARIANT",
        "PER SECOND",
        "ERRORS",
        "P50 MS",
        "P95 MS",
        "P99 MS",
        "EMPTY",
        "PARTIAL",
        "FALLBACK",
        "ITEMS",
        "SIMILARITY",
        "SCORE",
        "CLICKS",
        "PLAYED S",
        "BOUGHT",
    ]);
    let mut notes = Vec::new();
    for window in &answer.windows {
        for variant in &window.variants {
            table.add_row(row(window, variant));
        }
        for (count, what) in [
            (window.automated, "look automated and are left out"),
            (window.dropped, "were not measured because routers were too busy"),
        ] {
            if count > 0 {
                let requests = output::thousands(count);
                notes.push(format!("{}: {requests} requests {what}", window.surface));
            }
        }
    }
    [vec![output::lines_of(&table)], notes].concat().join("\n")
}

/// A table with a row for each window, segment and variant.
fn segment_table(answer: &GetTrafficResponse) -> String {
    if answer.windows.is_empty() {
        return NO_TRAFFIC.into();
    }
    let mut table = output::table(&[
        "UNTIL",
        "SURFACE",
        "SEGMENT",
        "VARIANT",
        "PER SECOND",
        "ERRORS",
        "MEAN MS",
        "EMPTY",
        "FALLBACK",
        "CLICKS",
        "PLAYED S",
        "BOUGHT",
    ]);
    let mut without = Vec::new();
    for window in &answer.windows {
        for segment in &window.segments {
            table.add_row(segment_row(window, segment));
        }
        if window.segments.is_empty() && !without.contains(&&window.surface) {
            without.push(&window.surface);
        }
    }
    let note = |surface: &&String| {
        format!(
            "{surface}: no requests in segments: make some by `marquee ctl segments set --surface {surface} NAME=VALUE`"
        )
    };
    let notes: Vec<String> = without.iter().map(note).collect();
    [vec![output::lines_of(&table)], notes].concat().join("\n")
}

/// One row of the table of segments.
fn segment_row(window: &SurfaceTraffic, segment: &SegmentTraffic) -> Vec<String> {
    vec![
        output::moment(window.until_ms),
        window.surface.clone(),
        segment.segment.clone(),
        segment.variant.clone(),
        per_second(segment.requests, window),
        percent(segment.error_rate),
        number(segment.mean_latency_micros.map(|micros| micros / 1_000.0), 1),
        percent(segment.empty_rate),
        percent(segment.fallback_rate),
        number(segment.clicks_per_answer, 4),
        number(segment.play_seconds_per_answer, 1),
        number(segment.purchases_per_answer, 4),
    ]
}

/// How many requests there were each second of a window.
fn per_second(requests: u64, window: &SurfaceTraffic) -> String {
    let seconds = window.until_ms.saturating_sub(window.from_ms) as f64 / 1_000.0;
    format!("{:.1}", if seconds > 0.0 { requests as f64 / seconds } else { 0.0 })
}

/// One row of the table.
fn row(window: &SurfaceTraffic, variant: &VariantTraffic) -> Vec<String> {
    let requests = variant.requests as f64;
    let failed: u64 = variant.errors.values().sum();
    let millis = |micros: Option<u64>| number(micros.map(|micros| micros as f64 / 1_000.0), 1);
    vec![
        output::moment(window.until_ms),
        window.surface.clone(),
        variant.variant.clone(),
        per_second(variant.requests, window),
        percent((variant.requests > 0).then(|| failed as f64 / requests)),
        millis(variant.latency_p50_micros),
        millis(variant.latency_p95_micros),
        millis(variant.latency_p99_micros),
        percent(variant.empty_rate),
        percent(variant.partial_rate),
        percent(variant.fallback_rate),
        output::thousands(variant.distinct_items),
        number(variant.list_similarity, 3),
        number(variant.score_p50, 3),
        number(variant.clicks_per_answer, 4),
        number(variant.play_seconds_per_answer, 1),
        number(variant.purchases_per_answer, 4),
    ]
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.1} %", 100.0 * share))
}
