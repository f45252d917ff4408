//! `marquee ctl rollout evaluate`: what a candidate would have earned, by logged answers, before any user meets it.
//!
//! [`feedback`] joins exposures with events, by the names of [`user_names`], [`lists`] has the candidate list items for the same users, and
//! [`report`] prints the estimates, which [`marquee_core::off_policy`] makes, also of each segment ([`by_segment`]). No cluster is asked.

mod by_segment;
mod feedback;
mod lists;
mod report;
mod user_names;

use crate::commands::ctl::segments::parse_attribute;
use anyhow::{Context as _, bail};
use clap::Args;
use feedback::{Feedback, RewardKind, Selection};
use lists::Lister;
use marquee_core::off_policy::{
    self, DEFAULT_EXPONENT, DEFAULT_MAX_WEIGHT, DEFAULT_MIN_SUPPORT, ItemMeans, LoggedAnswer,
    Options, PositionCurve,
};
use marquee_core::plan::{SegmentedAttribute, Segments};
use marquee_train::read::read_user_keys;
use report::{Report, SegmentReport};
use std::path::PathBuf;
use std::process::ExitCode;

/// Ranks of an answer that count by default: what lists show before anyone scrolls.
const DEFAULT_RANKS: usize = 20;
/// The most ranks that may count, as many as an answer can have.
const MAX_RANKS: usize = marquee_core::bounds::MAX_COUNT as usize;
/// Draws of users by default: the ends of a 90 % interval are then known to some hundredths of its width.
const DEFAULT_RESAMPLES: usize = 1_000;
/// The fewest and the most draws of users.
const RESAMPLES: std::ops::RangeInclusive<usize> = 100..=100_000;

/// Examples below `marquee ctl rollout evaluate --help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  marquee ctl rollout evaluate --exposures data/events --events data/events --user-keys users.json \\
      --candidate bundles/films-v2
  marquee ctl rollout evaluate --exposures shown.parquet --events events.parquet --user-keys users.json --surface home \\
      --candidate bundles/films-v2 --against bundles/films-v1 --reward play-seconds
  marquee ctl rollout evaluate --exposures data/events --events data/events --user-keys users.json \\
      --candidate bundles/films-v2 --segments region=de,at --segments device=ios,tv
  marquee ctl rollout evaluate --exposures shown.csv --events events.csv --user-keys users.json --ensemble blend.yaml \\
      --bundle films@1=films-v1 --bundle films@2=films-v2 --json

Rankings can be judged as far as the log has evidence for them: set router.drawn_slots_basis_points, so that a
small share of answers has one slot drawn from the candidates beyond the list. Without it, only the position-based
estimates can say something, of items that both list.";

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("evaluated").required(true))]
pub(in crate::commands::ctl) struct EvaluateArgs {
    /// The answers that were shown: a router's directory of events or of exposures, or a file of `marquee export
    /// --exposures`. Repeat it for more routers
    #[arg(long, value_name = "DIR|FILE", required = true)]
    exposures: Vec<PathBuf>,
    /// What users did: a router's directory of events, or a file of `marquee export`. Repeat it for more routers
    #[arg(long, value_name = "DIR|FILE", required = true)]
    events: Vec<PathBuf>,
    /// The keys that exposures name users by: a file of `marquee ctl users keys`. Exposures of earlier versions need
    /// none
    #[arg(long, value_name = "FILE")]
    user_keys: Option<PathBuf>,
    /// What is evaluated: a bundle, ranked offline, or a file of lists with columns user, item and rank
    #[arg(long, value_name = "DIR|FILE", group = "evaluated")]
    candidate: Option<PathBuf>,
    /// The ensemble that is evaluated instead: a file as `marquee ctl ensemble put` reads it
    #[arg(long, value_name = "FILE", group = "evaluated", requires = "bundle")]
    ensemble: Option<PathBuf>,
    /// The bundle of each model of the ensemble, as MODEL@VERSION=DIR
    #[arg(long, value_name = "MODEL@VERSION=DIR", requires = "ensemble")]
    bundle: Vec<String>,
    /// What the candidate is compared with: a bundle or a file of lists; without it, what was shown
    #[arg(long, value_name = "DIR|FILE")]
    against: Option<PathBuf>,
    /// The surface whose answers count; may be left out where all are of one
    #[arg(long)]
    surface: Option<String>,
    /// What is counted as reward of an answer
    #[arg(long, value_enum, default_value = "clicks")]
    reward: RewardKind,
    /// The segments that the surface had, as `marquee ctl segments list` shows them: estimates are also made within
    /// each. Repeat it for more attributes, in the same order
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = parse_attribute)]
    segments: Vec<SegmentedAttribute>,
    /// How many ranks of an answer count, the first ones
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RANKS)]
    ranks: usize,
    /// How a rank's chance of being looked at falls off: rank to the power of minus X. Without it, it is fitted to
    /// drawn slots, and assumed to be 1 where they are too few
    #[arg(long, value_name = "X")]
    position_exponent: Option<f64>,
    /// The largest weight of an item; what is above is cut, and counts as not supported
    #[arg(long, value_name = "W", default_value_t = DEFAULT_MAX_WEIGHT)]
    max_weight: f64,
    /// The least share of the candidate's lists that the log must have evidence for, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_MIN_SUPPORT)]
    min_support: f64,
    /// Random draws of users that intervals are made of
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RESAMPLES)]
    resamples: usize,
    /// What they come from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Evaluates a candidate and prints the estimates.
pub(super) fn run(args: &EvaluateArgs, json: bool) -> anyhow::Result<ExitCode> {
    args.validate()?;
    let segments = Segments::new(&args.segments).context("--segments")?;
    let selection =
        Selection { surface: args.surface.as_deref(), reward: args.reward, ranks: args.ranks };
    let user_keys =
        args.user_keys.as_deref().map(read_user_keys).transpose().context("--user-keys")?;
    let feedback = Feedback::read(&args.exposures, &args.events, user_keys, &selection)?;
    let candidate = match (&args.candidate, &args.ensemble) {
        (Some(path), _) => Lister::open(path)?,
        (None, Some(file)) => Lister::ensemble(file, &args.bundle)?,
        (None, None) => bail!("nothing to evaluate: give --candidate or --ensemble"),
    };
    let listed = candidate.list(&feedback)?;
    let against = match &args.against {
        Some(path) => Some(Lister::open(path)?.list(&feedback)?),
        None => None,
    };
    let answers = feedback.answers();
    let curve = match args.position_exponent {
        Some(exponent) => PositionCurve::assumed(exponent),
        None => PositionCurve::fitted(answers)
            .unwrap_or_else(|| PositionCurve::assumed(DEFAULT_EXPONENT)),
    };
    let options = Options {
        curve,
        max_weight: args.max_weight,
        min_support: args.min_support,
        resamples: args.resamples,
    };
    let means = ItemMeans::fit(answers, curve);
    let predict = |assumption, answer: &LoggedAnswer, item: u32, place: usize| {
        means.predict(assumption, answer.user, item, place)
    };
    let baseline = against.as_ref().map(|listed| listed.lists.as_slice());
    let mut random = fastrand::Rng::with_seed(args.seed);
    let mut below = |n| random.usize(..n);
    let evaluation =
        off_policy::evaluate(answers, &listed.lists, baseline, &predict, &options, &mut below);
    let (split, without_segments) = by_segment::split(&segments, answers, feedback.segments());
    let mut segment_reports = Vec::with_capacity(split.len());
    for segment in split {
        let predict_of_user = |assumption, answer: &LoggedAnswer, item: u32, place: usize| {
            means.predict(assumption, segment.users[answer.user as usize], item, place)
        };
        let evaluation = off_policy::evaluate(
            &segment.answers,
            &segment.select(&listed.lists),
            baseline.map(|lists| segment.select(lists)).as_deref(),
            &predict_of_user,
            &options,
            &mut below,
        );
        segment_reports.push(SegmentReport { segment: segment.name, evaluation });
    }
    let report = Report {
        surface: feedback.surface().to_owned(),
        metric: args.reward.metric(),
        is_against_log: against.is_none(),
        position_exponent: curve.exponent,
        position_exponent_is_fitted: curve.is_fitted,
        max_weight: args.max_weight,
        unknown_users: listed.unknown_users,
        left_out: feedback.left_out(),
        evaluation,
        segments: segment_reports,
        without_segments: if segments.is_empty() { 0 } else { without_segments },
    };
    report.print(json)?;
    Ok(ExitCode::SUCCESS)
}

impl EvaluateArgs {
    /// Checks that every option is within its bounds.
    fn validate(&self) -> anyhow::Result<()> {
        if !(1..=MAX_RANKS).contains(&self.ranks) {
            bail!("--ranks: {} is not within 1 to {MAX_RANKS}", self.ranks);
        }
        if self.max_weight.is_nan() || self.max_weight < 1.0 {
            bail!("--max-weight: {} is no number from 1", self.max_weight);
        }
        if !(0.0..=1.0).contains(&self.min_support) {
            bail!("--min-support: {} is not within 0 to 1", self.min_support);
        }
        if !RESAMPLES.contains(&self.resamples) {
            let (least, most) = RESAMPLES.into_inner();
            bail!("--resamples: {} is not within {least} to {most}", self.resamples);
        }
        if self.position_exponent.is_some_and(|exponent| !(0.0..=4.0).contains(&exponent)) {
            bail!("--position-exponent: it is within 0 (all ranks alike) to 4");
        }
        Ok(())
    }
}
