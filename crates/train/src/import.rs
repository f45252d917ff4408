//! `marquee import`: factors that were trained elsewhere → bundle.

use crate::catalogue::records;
use crate::error::TrainError;
use crate::factors::{FactorTable, read_factors};
use crate::family::{mf_matrices, mf_recipe};
use crate::history::CsrByIds;
use crate::interactions::Interactions;
use crate::options::ImportArgs;
use crate::phases::Stopwatch;
use crate::progress::TaskProgress;
use crate::read::{ReadReport, forgotten_up_to, read_interactions, read_items, read_user_keys};
use crate::summary::{ImportSummary, ImportedInteractions, LeftOutFactors};
use crate::train::check_out;
use marquee_bundle::{BundleInput, Quality, WriteProgress, write_bundle};
use std::collections::{BTreeMap, HashMap};

/// Makes a bundle of factors; `now_ms` is noted as when (milliseconds since 1970).
///
/// # Errors
/// Options out of bounds, files that don't fit one another, a place that can't be written.
pub fn import(args: &ImportArgs, now_ms: u64) -> Result<ImportSummary, TrainError> {
    args.validate()?;
    check_out(&args.out)?;
    let mut clock = Stopwatch::default();
    let privacy = args.forgotten.as_deref().map(read_user_keys).transpose()?;
    let (items, mut users) = clock.time("read", || {
        let items = read_factors(&args.item_factors, args.item_ids.as_deref(), "item")?;
        let users = read_factors(&args.user_factors, args.user_ids.as_deref(), "user")?;
        Ok::<_, TrainError>((items, users))
    })?;
    if items.rank != users.rank {
        return Err(TrainError::Data(format!(
            "item factors have rank {} and user factors {}: give two matrices of one model",
            items.rank, users.rank
        )));
    }
    let forgotten = privacy.as_ref().map(|privacy| LeftOutFactors {
        users: leave_out_users(&mut users, |id| privacy.forgotten(id).is_some()),
        list: forgotten_up_to(privacy),
    });
    if users.ids.is_empty() && forgotten.is_some() {
        return Err(TrainError::Data(
            "all factors are of users who are forgotten: give others".into(),
        ));
    }
    let file = clock.time("read", || {
        args.items
            .as_ref()
            .map(|path| read_items(path, &args.item_columns, args.skip_bad_rows))
            .transpose()
    })?;
    let read = clock.time("read", || {
        let read =
            |path| read_interactions(path, &args.columns, args.duplicates, args.skip_bad_rows);
        args.interactions.as_deref().map(read).transpose()
    })?;
    let met = read
        .map(|(rows, report)| meet(&rows, report, &users, &items, args.positive_at))
        .transpose()?;
    let (history, popularity, interactions) = match met {
        Some(met) => (met.history, met.popularity, Some(met.report)),
        // No user has seen anything; but routers ask every bundle what a user has seen.
        None => {
            let offsets = vec![0; users.ids.len() + 1];
            (CsrByIds { offsets, ..CsrByIds::default() }, Vec::new(), None)
        }
    };
    let (item_records, catalogue) = records(&items.ids, file.as_ref());
    // The records have what the bundle needs of it.
    drop(file);
    let mut summary = ImportSummary {
        model: args.model.clone(),
        out: args.out.clone(),
        users: users.ids.len(),
        items: items.ids.len(),
        rank: items.rank,
        shards: args.shards,
        forgotten,
        interactions,
        catalogue,
        phases: Vec::new(),
    };
    drop(items.ids);
    let factors = crate::als::Factors { rank: items.rank, users: users.data, items: items.data };
    let input = BundleInput {
        model: args.model.clone(),
        recipe: mf_recipe(None),
        kind: "import".into(),
        shards: args.shards,
        items: item_records,
        users: users.ids,
        terms: Vec::new(),
        dense: mf_matrices(factors, args.index.into(), args.rows.into()),
        history: Some(history.into_input()),
        popularity,
        sparse: Vec::new(),
        quality: Quality::default(),
        parameters: BTreeMap::new(),
        forgotten: summary.forgotten.as_ref().map(|left_out| left_out.list.clone()),
        created_at_ms: now_ms,
    };
    let progress = TaskProgress::new("writing");
    clock.time("write", || {
        write_bundle(input, &args.out, &|step| match step {
            WriteProgress::Indexing { done, total } => progress.set(done, total),
            WriteProgress::Writing { done, total } => {
                progress.set(u64::from(done), u64::from(total))
            }
        })
    })?;
    summary.phases = clock.finish();
    Ok(summary)
}

/// Takes users out of the factors, and returns how many.
fn leave_out_users(users: &mut FactorTable, is_left_out: impl Fn(&str) -> bool) -> usize {
    let kept: Vec<bool> = users.ids.iter().map(|id| !is_left_out(id)).collect();
    let before = kept.len();
    let mut at = 0;
    for (row, is_kept) in kept.iter().enumerate() {
        if *is_kept {
            let range = row * users.rank..(row + 1) * users.rank;
            users.data.copy_within(range, at * users.rank);
            users.ids.swap(at, row);
            at += 1;
        }
    }
    users.ids.truncate(at);
    users.data.truncate(at * users.rank);
    before - at
}

struct Met {
    history: CsrByIds,
    popularity: Vec<f32>,
    report: ImportedInteractions,
}

/// Interactions by the factors' numbering. Positive rows weigh 1 and make popularity; others weigh 0
/// and are only seen.
fn meet(
    rows: &Interactions,
    read: ReadReport,
    users: &FactorTable,
    items: &FactorTable,
    positive_at: Option<f32>,
) -> Result<Met, TrainError> {
    if positive_at.is_some() && !rows.has_values {
        let problem = "the interactions have no values: leave it out, or name their column with --value-column";
        return Err(TrainError::option("--positive-at", problem));
    }
    let item_of: HashMap<&str, u32> = items.ids.iter().map(String::as_str).zip(0..).collect();
    let row_of: HashMap<&str, usize> = rows.users.iter().map(String::as_str).zip(0..).collect();
    let items_known: Vec<Option<u32>> =
        rows.items.iter().map(|id| item_of.get(id.as_str()).copied()).collect();
    let mut history = CsrByIds { offsets: vec![0], ..CsrByIds::default() };
    let mut popularity = vec![0f32; items.ids.len()];
    let (mut of_known_users, mut unknown_items) = (0, 0);
    for id in &users.ids {
        let range = row_of.get(id.as_str()).map_or(0..0, |&user| rows.rows_of(user));
        of_known_users += range.len();
        for row in range {
            let Some(item) = items_known[rows.item[row] as usize] else {
                unknown_items += 1;
                continue;
            };
            let positive = positive_at.is_none_or(|x| rows.value[row] >= x);
            history.columns.push(item);
            history.values.push(if positive { 1.0 } else { 0.0 });
            popularity[item as usize] += if positive { 1.0 } else { 0.0 };
        }
        history.offsets.push(history.columns.len());
    }
    let report = ImportedInteractions {
        read,
        used: history.columns.len(),
        rows_of_unknown_users: rows.len() - of_known_users,
        rows_of_unknown_items: unknown_items,
    };
    Ok(Met { history, popularity, report })
}
