//! The choice: walks the grid of each family by trials, and decides whether what it found is taken.

use super::trials::{TrialData, Tried, ask_with, gain, mean};
use super::walk::{Trial, walk};
use crate::error::TrainError;
use crate::family::grid::Grid;
use crate::family::{
    BlendLists, ModelConfig, ModelKind, TrainedPart, TrainingOptions, fit_weights,
};
use crate::interactions::Interactions;
use crate::progress::TaskProgress;
use crate::random::shuffle;
use crate::settings::ModelSettings;
use crate::split::hold_out::{HoldOut, hold_out_over_all};
use marquee_bundle::ItemRecord;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;

/// Fits with the fixed settings that the trials of a family may cost.
pub const MAX_FITS: f64 = 4.0;
/// Users that a sample has at least: with fewer, chance decides.
const MIN_SAMPLED_USERS: usize = 2_000;
/// Users with something held out without whom there is no search: chance would decide.
const MIN_USERS: usize = 50;
/// Users whose lists are measured in a trial.
const MAX_MEASURED_USERS: usize = 4_000;
/// A gain below this share of the value does not move a walk: it is not worth its cost.
const MIN_STEP: f64 = 0.002;

/// The search of one family's settings.
#[derive(Clone, Debug, Serialize)]
pub struct SettingsSearch {
    /// The family whose settings were searched.
    pub model: ModelKind,
    /// Settings that were measured, the fixed ones among them.
    pub trials: usize,
    /// Users they were measured on.
    pub users: usize,
    /// Users they were trained on, where that was a sample.
    pub sampled_users: Option<usize>,
    /// nDCG@20 of the fixed settings on what was held out, and of those that are given.
    pub fixed: f64,
    /// nDCG@20 of the best.
    pub best: f64,
    /// The standard error of the difference.
    pub gain_standard_error: f64,
    /// The best settings, the given among them.
    pub settings: ModelSettings,
    /// Whether they are clearly better than the fixed ones, and so taken.
    pub is_taken: bool,
}

impl fmt::Display for SettingsSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, trials, users, fixed, best, .. } = self;
        write!(f, "{}: tried {trials} settings on {users} users", model.name())?;
        if let Some(sampled) = self.sampled_users {
            write!(f, ", trained on a sample of {sampled}")?;
        }
        if !self.is_taken {
            return write!(
                f,
                "; none is clearly better than the fixed ones (nDCG@20 {fixed:.4}, best {best:.4})"
            );
        }
        let listed = self.settings.iter().map(|(name, value)| format!("{name} {value}"));
        let listed: Vec<String> = listed.collect();
        write!(f, "; took {}: nDCG@20 {best:.4}, fixed {fixed:.4}", listed.join(", "))
    }
}

/// What was chosen.
pub(crate) struct Choice {
    /// The family with its settings; of a hybrid, the members with theirs and their weights.
    pub(crate) config: ModelConfig,
    /// The searches behind it, one a family.
    pub(crate) searches: Vec<SettingsSearch>,
}

/// Chooses the settings that are not given, on what is held out of `rows`. None where there is nothing to choose, or
/// users are too few.
///
/// # Errors
/// Data that the family can't be trained on, given settings that don't suit them.
pub(crate) fn choose(
    config: &ModelConfig,
    rows: &Interactions,
    items: &[ItemRecord],
    options: &TrainingOptions,
) -> Result<Option<Choice>, TrainError> {
    let is_hybrid = config.model == ModelKind::Hybrid;
    if !is_hybrid && config.model.family().grid(rows, items).axes.is_empty() {
        return Ok(None);
    }
    let Some(split) = hold_out_over_all(rows, options.seed) else { return Ok(None) };
    let users = split.sample_of_users(options.seed, MAX_MEASURED_USERS);
    if users.len() < MIN_USERS {
        return Ok(None);
    }
    let data = TrialData { split: &split, users: &users, items, options };
    if !is_hybrid {
        let Found { config, search, .. } = search_family(config, &data, items)?;
        return Ok(Some(Choice { config, searches: search.into_iter().collect() }));
    }
    let members = match config.members.as_slice() {
        [] => ModelKind::members_for(rows, items).into_iter().map(ModelConfig::of).collect(),
        given => given.to_vec(),
    };
    let mut searches = Vec::new();
    let mut chosen = Vec::with_capacity(members.len());
    let mut lists = BlendLists::new(&split, &users);
    for member in &members {
        let Found { config, search, part } = search_family(member, &data, items)?;
        let part = match part {
            Some(part) => part,
            None => config.train(&split.train, items, options, "choosing settings")?,
        };
        lists.add(&part, options.weight);
        searches.extend(search);
        chosen.push(config);
    }
    let weights = fit_weights(&lists);
    for (member, weight) in chosen.iter_mut().zip(weights) {
        member.weight = Some(weight);
    }
    Ok(Some(Choice { config: ModelConfig { members: chosen, ..config.clone() }, searches }))
}

/// What was found of one family.
struct Found {
    config: ModelConfig,
    search: Option<SettingsSearch>,
    /// What was trained with exactly these settings on all that is not held out, where that was done.
    part: Option<TrainedPart>,
}

fn search_family(
    start: &ModelConfig,
    data: &TrialData<'_>,
    items: &[ItemRecord],
) -> Result<Found, TrainError> {
    let grid = start.model.family().grid(&data.split.train, items);
    let nothing = |config: &ModelConfig| Found { config: config.clone(), search: None, part: None };
    if grid.axes.is_empty() {
        return Ok(nothing(start));
    }
    let sample = sample(data, &grid);
    let data = match &sample {
        Some((split, users)) => &TrialData { split, users, ..*data },
        None => data,
    };
    let Some(first) = data.measure(start, &grid)? else { return Ok(nothing(start)) };
    let fixed = first.values.clone();
    let mut best = first;
    let mut trials = 1;
    let progress = TaskProgress::new(format!("choosing settings of {}", start.model.name()));
    walk(&grid, start, &mut |config, is_trained| -> Result<Trial, TrainError> {
        trials += 1;
        progress.set(trials as u64, trials as u64 + 1);
        if is_trained {
            let Some(tried) = data.measure(config, &grid)? else { return Ok(Trial::Worse) };
            if is_better(&best, &tried.values) {
                best = tried;
                return Ok(Trial::Better);
            }
            return Ok(Trial::Worse);
        }
        let before = best.part.recipe.clone();
        ask_with(&mut best.part.recipe, &config.settings);
        let values = data.values(&best.part);
        if is_better(&best, &values) {
            (best.values, best.config) = (values, config.clone());
            return Ok(Trial::Better);
        }
        best.part.recipe = before;
        Ok(Trial::Worse)
    })?;
    let (gained, gain_standard_error) = gain(&fixed, &best.values);
    let is_taken = gained > gain_standard_error;
    let search = SettingsSearch {
        model: start.model,
        trials,
        users: data.users.len(),
        sampled_users: sample.as_ref().map(|(split, _)| users_of(split)),
        fixed: mean(&fixed),
        best: best.mean(),
        gain_standard_error,
        settings: best.config.settings.clone(),
        is_taken,
    };
    // What was trained on a sample, or with what is for trials alone, is no model of all users. A recipe that was
    // changed since differs from a trained one in nothing else.
    let is_complete = sample.is_none() && grid.trial.is_empty();
    let is_best = is_taken || best.config.settings == start.settings;
    let config = if is_taken { best.config } else { start.clone() };
    let part = (is_complete && is_best).then_some(best.part);
    Ok(Found { config, search: Some(search), part })
}

fn is_better(best: &Tried, values: &[f64]) -> bool {
    mean(values) > best.mean() * (1.0 + MIN_STEP)
}

fn users_of(split: &HoldOut) -> usize {
    (0..split.train.users.len()).filter(|&user| !split.train.rows_of(user).is_empty()).count()
}

/// So many of the users that all trials cost no more than [`MAX_FITS`] fits, with those of them who are measured; none
/// where all users are affordable.
fn sample(data: &TrialData<'_>, grid: &Grid) -> Option<(HoldOut, Vec<u32>)> {
    let all = data.split.train.users.len();
    let share = MAX_FITS / grid.most_fits();
    let count = ((all as f64 * share) as usize).max(MIN_SAMPLED_USERS);
    if !grid.sampled || share >= 1.0 || count >= all {
        return None;
    }
    let mut order: Vec<u32> = (0..all as u32).collect();
    shuffle(&mut order, data.options.seed);
    let chosen: HashSet<u32> = order[..count].iter().copied().collect();
    let of_chosen =
        |rows: &Interactions| rows.filter_rows(|user, _| chosen.contains(&(user as u32)));
    let HoldOut { train, test, by_time } = data.split;
    let split = HoldOut { train: of_chosen(train), test: of_chosen(test), by_time: *by_time };
    let users: Vec<u32> = split.sample_of_users(data.options.seed, MAX_MEASURED_USERS);
    (users.len() >= MIN_USERS).then_some((split, users))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{Duplicates, RawRow};
    use crate::options::TrainArgs;

    /// Users who liked ten of the 30 items of one group, and after that ten of another group: what comes next is of
    /// the second. Groups differ from user to user.
    fn changed_preferences(users: u32) -> Interactions {
        let mut rows = Vec::new();
        for user in 0..users {
            for step in 0..20u32 {
                let group = if step < 10 { user % 4 } else { (user / 4 + 1 + user) % 4 };
                let item = group * 30 + (user * 7 + step * (3 + user % 5)) % 30;
                rows.push(RawRow { user, item, value: 1.0, time: f64::from(step) });
            }
        }
        let ids = |count: u32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let (user_ids, item_ids) = (ids(users), ids(120));
        let users: Vec<&str> = user_ids.iter().map(String::as_str).collect();
        let items: Vec<&str> = item_ids.iter().map(String::as_str).collect();
        Interactions::from_rows(&users, &items, &rows, false, true, Duplicates::Last).0
    }

    fn chosen(config: &ModelConfig, rows: &Interactions) -> Option<Choice> {
        let items: Vec<ItemRecord> = vec![ItemRecord::default(); rows.items.len()];
        let options = TrainArgs::new("", "").training_options();
        choose(config, rows, &items, &options).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn settings_that_are_clearly_better_are_taken() {
        let rows = changed_preferences(120);
        let start = ModelConfig::of(ModelKind::Rp3beta);
        let Choice { config, searches } = chosen(&start, &rows).expect("a search");
        let [search] = searches.as_slice() else { panic!("{searches:?}") };
        assert!(search.is_taken && search.best > search.fixed, "{search}");
        let decay = config.settings.value("decay").map(ToString::to_string).unwrap_or_default();
        assert!(
            ["0.7", "0.8"].contains(&decay.as_str()),
            "the newest say what comes next: {search}"
        );
        let said = search.to_string();
        assert!(said.contains("took ") && said.contains(&format!("decay {decay}")), "{said}");
        let again = chosen(&start, &rows).expect("a search");
        assert_eq!((again.config, again.searches[0].trials), (config.clone(), search.trials));
        // What a search measured by asking otherwise is what training with these settings gives.
        let options = TrainArgs::new("", "").training_options();
        let split = hold_out_over_all(&rows, options.seed).expect("a split");
        let users = split.sample_of_users(options.seed, MAX_MEASURED_USERS);
        let data = TrialData { split: &split, users: &users, items: &[], options: &options };
        let trained = data.measure(&config, &Grid::default()).expect("trained").expect("finite");
        assert!((trained.mean() - search.best).abs() < 1e-12, "{} beside {search}", trained.mean());
        // Given settings stay, and nothing else of them is tried.
        let given = start.with("decay", 0.9);
        let kept = chosen(&given, &rows).expect("a search");
        assert_eq!(
            kept.config.settings.value("decay").map(ToString::to_string).as_deref(),
            Some("0.9")
        );
        assert!(kept.searches[0].trials < search.trials);
    }

    #[test]
    fn what_is_not_clearly_better_is_not_taken() {
        // All users like everything of a small catalogue at random: there is nothing to choose by.
        let mut random = crate::random::Random::new(7);
        let rows: Vec<RawRow> = (0..60 * 12)
            .map(|n| RawRow {
                user: n / 12,
                item: random.below(200) as u32,
                value: 1.0,
                time: f64::from(n),
            })
            .collect();
        let ids: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let rows =
            Interactions::from_rows(&ids[..60], &ids, &rows, false, true, Duplicates::Last).0;
        let taken =
            [ModelKind::Rp3beta, ModelKind::Ease, ModelKind::Transitions, ModelKind::Trending].map(
                |kind| {
                    let Choice { config, searches } =
                        chosen(&ModelConfig::of(kind), &rows).expect("a search");
                    let search = &searches[0];
                    let is_clear = search.best - search.fixed > search.gain_standard_error;
                    assert_eq!(search.is_taken, is_clear, "{search}");
                    assert_eq!(search.is_taken, config != ModelConfig::of(kind), "{search}");
                    search.is_taken
                },
            );
        assert!(taken.contains(&false), "{taken:?}");
    }

    #[test]
    fn too_few_users_choose_nothing() {
        assert!(chosen(&ModelConfig::of(ModelKind::Ease), &changed_preferences(40)).is_none());
        assert!(
            chosen(&ModelConfig::of(ModelKind::Popularity), &changed_preferences(120)).is_none()
        );
    }

    /// Members have settings of their own and weights of the blend, and what is asked of a member is kept.
    #[test]
    fn members_of_a_hybrid_are_searched_and_weighed() {
        let rows = changed_preferences(120);
        let members =
            vec![ModelConfig::of(ModelKind::Rp3beta), ModelConfig::of(ModelKind::Transitions)];
        let start = ModelConfig { members, ..ModelConfig::of(ModelKind::Hybrid) };
        let Choice { config, searches } = chosen(&start, &rows).expect("a search");
        assert_eq!(searches.len(), 2);
        let weights: Vec<f64> = config.members.iter().filter_map(|member| member.weight).collect();
        assert_eq!(weights.len(), 2);
        assert_eq!(weights.iter().copied().fold(0.0, f64::max), 1.0, "{weights:?}");
        let options = TrainArgs::new("", "").training_options();
        let part = config.train(&rows, &[], &options, "").expect("trained");
        assert_eq!(
            part.recipe.parts().len(),
            weights.iter().filter(|weight| **weight > 0.0).count()
        );
    }

    #[test]
    fn users_are_sampled_where_the_trials_would_cost_more() {
        let rows = changed_preferences(4_500);
        let options = TrainArgs::new("", "").training_options();
        let split = hold_out_over_all(&rows, options.seed).expect("a split");
        let users = split.sample_of_users(options.seed, MAX_MEASURED_USERS);
        let data = TrialData { split: &split, users: &users, items: &[], options: &options };
        let of = |kind: ModelKind| sample(&data, &kind.family().grid(&split.train, &[]));
        let (sampled, measured) = of(ModelKind::ItemKnn).expect("many trials");
        let grid = ModelKind::ItemKnn.family().grid(&split.train, &[]);
        let cost = users_of(&sampled) as f64 / 4_500.0 * grid.most_fits();
        assert!(cost <= MAX_FITS || users_of(&sampled) == MIN_SAMPLED_USERS, "{cost}");
        assert!(measured.iter().all(|&user| !sampled.train.rows_of(user as usize).is_empty()));
        // λ depends on how many users there are.
        assert!(of(ModelKind::Ease).is_none() && of(ModelKind::Mf).is_none());
        for kind in ModelKind::ALL {
            let grid = kind.family().grid(&split.train, &[]);
            let is_bounded = grid.sampled || grid.most_fits() <= MAX_FITS + 1e-9;
            assert!(is_bounded, "{}: {}", kind.name(), grid.most_fits());
        }
    }
}
