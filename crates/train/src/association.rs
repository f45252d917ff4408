//! `marquee rules list`: which items go together in a file of interactions.

use crate::catalogue::records;
use crate::csr::Csr;
use crate::error::TrainError;
use crate::family::{RuleCounts, RuleMeasure, frequent_sets};
use crate::interactions::Duplicates;
use crate::options::check_positive_at;
use crate::read::{ColumnArgs, ItemColumnArgs, read_interactions, read_items};
use crate::weight::{Weight, confidences, positives};
use clap::Args;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// Most items of a rule: beyond these there are more rules than anybody reads.
const MAX_ITEMS: i64 = 5;
/// Most rules that are listed.
const MAX_LISTED: i64 = 100_000;

/// Interactions in, rules out.
#[derive(Args, Clone, Debug)]
pub struct RulesArgs {
    /// Interactions, as `marquee train` reads them.
    #[arg(long, value_name = "FILE")]
    pub interactions: PathBuf,
    /// Titles of items.
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// Count rows with a value of at least X only.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub positive_at: Option<f32>,
    /// Users who have all items of a rule at least.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub min_support: u32,
    /// Share of the users with the items before the arrow who have that behind it at least.
    #[arg(long, default_value_t = 0.1, value_name = "X")]
    pub min_confidence: f64,
    /// Items of a rule at most, that behind the arrow among them.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=MAX_ITEMS))]
    pub max_items: u32,
    /// What rules are sorted by, the greatest first.
    #[arg(long, value_enum, default_value_t = RuleOrder::Lift, value_name = "MEASURE")]
    pub by: RuleOrder,
    /// Rules that are listed.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_LISTED))]
    pub top: u32,
    /// Count and skip rows that can't be read, rather than stop at the first.
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Where the interactions' columns are.
    #[command(flatten)]
    pub columns: ColumnArgs,
    /// Where the items' columns are.
    #[command(flatten)]
    pub item_columns: ItemColumnArgs,
}

/// What rules are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOrder {
    /// How many users have all items.
    Support,
    /// How often who has what is before the arrow has what is behind it.
    Confidence,
    /// How much more often than anybody.
    Lift,
    /// How much more often the rule would be wrong by chance.
    Conviction,
}

/// A rule: who has some items has another, with how often that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// The ids of the items before the arrow.
    pub from: Vec<String>,
    /// The id of the item behind it.
    pub to: String,
    /// Their titles, where they are known, in the same order.
    pub titles: Vec<String>,
    /// How many users have all of them.
    pub users: u32,
    /// Their share of all users.
    pub support: f64,
    /// Share of the users with what is before the arrow who have what is behind it.
    pub confidence: f64,
    /// Confidence over the share of all users who have what is behind the arrow.
    pub lift: f64,
    /// How much more often the rule would be wrong by chance than it is.
    pub conviction: f64,
}

/// The rules of a file.
#[derive(Clone, Debug, Serialize)]
pub struct Rules {
    /// Users of the file.
    pub users: usize,
    /// Rules with enough support and confidence.
    pub total: usize,
    /// Those that are listed, the greatest first.
    pub rules: Vec<Rule>,
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>7} {:>10} {:>8} {:>10}  rule",
            "users", "confidence", "lift", "conviction"
        )?;
        for rule in &self.rules {
            let Rule { titles, users, confidence, lift, conviction, .. } = rule;
            let (to, from) =
                titles.split_last().map_or(("", &[][..]), |(to, from)| (to.as_str(), from));
            let from = from.join(" + ");
            writeln!(
                f,
                "{users:>7} {confidence:>10.3} {lift:>8.2} {conviction:>10.2}  {from} → {to}"
            )?;
        }
        write!(f, "{} of {} rules of {} users", self.rules.len(), self.total, self.users)
    }
}

/// Lists the rules of a file.
///
/// # Errors
/// Options out of bounds, unreadable data, more sets of items than fit.
pub fn rules(args: &RulesArgs) -> Result<Rules, TrainError> {
    check_positive_at(args.positive_at)?;
    if !(0.0..=1.0).contains(&args.min_confidence) {
        let problem = format!("{} is not in 0 to 1", args.min_confidence);
        return Err(TrainError::option("--min-confidence", problem));
    }
    let (all, _) =
        read_interactions(&args.interactions, &args.columns, Duplicates::Last, args.skip_bad_rows)?;
    let file = args
        .items
        .as_ref()
        .map(|path| read_items(path, &args.item_columns, args.skip_bad_rows))
        .transpose()?;
    let rows = positives(&all, args.positive_at, Weight::None)?;
    let (items, _) = records(&rows.items, file.as_ref());
    let name = |item: u32| {
        let record = &items[item as usize];
        if record.title.is_empty() { record.id.clone() } else { record.title.clone() }
    };
    let mut rules = Vec::new();
    for (from, to, counts) in found(&confidences(&rows, Weight::None, 1.0), args)? {
        rules.push(Rule {
            titles: from.iter().chain([&to]).map(|&item| name(item)).collect(),
            from: from.iter().map(|&item| rows.items[item as usize].clone()).collect(),
            to: rows.items[to as usize].clone(),
            users: counts.both as u32,
            support: counts.support(),
            confidence: counts.of(RuleMeasure::Confidence),
            lift: counts.of(RuleMeasure::Lift),
            conviction: counts.of(RuleMeasure::Conviction),
        });
    }
    let value = |rule: &Rule| match args.by {
        RuleOrder::Support => rule.support,
        RuleOrder::Confidence => rule.confidence,
        RuleOrder::Lift => rule.lift,
        RuleOrder::Conviction => rule.conviction,
    };
    // Stable: of equal ones the first by the order of items.
    rules.sort_by(|a, b| value(b).total_cmp(&value(a)));
    let total = rules.len();
    rules.truncate(args.top as usize);
    Ok(Rules { users: rows.users.len(), total, rules })
}

/// The rules with enough support and confidence, in the order of their items.
fn found(baskets: &Csr, args: &RulesArgs) -> Result<Vec<(Vec<u32>, u32, RuleCounts)>, TrainError> {
    let sets = frequent_sets(baskets, args.min_support, args.max_items as usize)?;
    let having: HashMap<&[u32], u32> =
        sets.iter().map(|(set, count)| (set.as_slice(), *count)).collect();
    let mut found = Vec::new();
    for (set, both) in sets.iter().filter(|(set, _)| set.len() > 1) {
        for (at, &to) in set.iter().enumerate() {
            let mut from = set.clone();
            from.remove(at);
            // Parts of a frequent set are frequent.
            let (Some(&of_from), Some(&of_to)) =
                (having.get(from.as_slice()), having.get([to].as_slice()))
            else {
                continue;
            };
            let counts = RuleCounts {
                users: baskets.rows() as f64,
                from: f64::from(of_from),
                to: f64::from(of_to),
                both: f64::from(*both),
            };
            if counts.confidence() >= args.min_confidence {
                found.push((from, to, counts));
            }
        }
    }
    Ok(found)
}
