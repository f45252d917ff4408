//! A hybrid, tuned: its members' settings first, then which of them it has.
//!
//! A hybrid is fitted in a minute where a member takes seconds, and nearly all of its settings are its
//! members'. So in the first half of the time each member is searched alone, by the rounds that tune its
//! family, on the rows that the hybrid is validated on. Then hybrids are compared: the default one, one of the
//! members as they were found, and from the better of the two on those that lack a member, one after another from the
//! worst member on, as long as there is time. What is left out stays out if that made it better. Weights are no
//! settings: every hybrid fits its own, to rows that it holds out of those it is trained on.

use super::search::{MAX_ROUNDS, TuneSearch};
use crate::catalogue::records;
use crate::error::TrainError;
use crate::family::{ModelConfig, ModelKind};
use crate::random::Random;

/// The part of the time that members have: the other half is for the hybrids.
const MEMBERS_SHARE: u32 = 2;

/// A member whose settings are searched.
struct SearchedMember {
    random: Random,
    found: Found,
}

/// What was found of a member.
struct Found {
    kind: ModelKind,
    /// What it reached alone, on all users.
    value: f64,
    best: ModelConfig,
}

impl TuneSearch<'_> {
    /// Searches members and then hybrids; says how many rounds of members were begun.
    pub(super) fn run_blend(&mut self) -> Result<usize, TrainError> {
        let last = self.rungs.len() - 1;
        // What all others have to beat, whatever the time.
        let value = self.try_on(last, &ModelConfig::of(ModelKind::Hybrid))?;
        let (rounds, members) = self.search_members()?;
        if rounds > 0 {
            compare(members, value, &mut |hybrid| {
                (!self.is_over()).then(|| self.try_on(last, hybrid)).transpose()
            })?;
        }
        Ok(rounds)
    }

    /// Each member alone, a round of each after another.
    fn search_members(&mut self) -> Result<(usize, Vec<Found>), TrainError> {
        let last = self.rungs.len() - 1;
        let until = self.args.budget / MEMBERS_SHARE;
        let (rows, seed) = (&self.rungs[last].train, self.training.seed);
        let (items, _) = records(&rows.items, self.file);
        let mut members: Vec<SearchedMember> = ModelKind::members_for(rows, &items)
            .into_iter()
            .map(|kind| SearchedMember {
                random: Random::new(seed),
                found: Found { kind, value: 0.0, best: ModelConfig::of(kind) },
            })
            .collect();
        let mut rounds = 0;
        while rounds < self.args.rounds.unwrap_or(MAX_ROUNDS) && self.began.elapsed() < until {
            rounds += 1;
            for member in &mut members {
                if self.began.elapsed() >= until {
                    break;
                }
                let SearchedMember { random, found: Found { kind, value, best } } = member;
                if rounds == 1 {
                    let fixed = self.try_on(last, best)?;
                    (*value, *best) = self.walk_grid(*kind, fixed, until)?;
                }
                let found = self.round(*kind, random, until)?;
                if let Some((reached, config)) = found.filter(|(reached, _)| *reached > *value) {
                    (*value, *best) = (reached, config);
                }
            }
        }
        Ok((rounds, members.into_iter().map(|member| member.found).collect()))
    }
}

/// Tries hybrids of these members; `value_of` gives the value of each, none once the time is over. The default
/// hybrid has `value`.
fn compare<E>(
    mut members: Vec<Found>,
    mut value: f64,
    value_of: &mut dyn FnMut(&ModelConfig) -> Result<Option<f64>, E>,
) -> Result<(), E> {
    let mut is_ahead = |members: &[Found]| {
        let reached = value_of(&hybrid_of(members))?;
        Ok(reached.map(|reached| {
            let is_ahead = reached > value;
            value = value.max(reached);
            is_ahead
        }))
    };
    let is_default = members.iter().all(|member| member.best == ModelConfig::of(member.kind));
    if is_default || is_ahead(&members)? != Some(true) {
        // The default is ahead: go on from it.
        members.iter_mut().for_each(|member| member.best = ModelConfig::of(member.kind));
    }
    members.sort_by(|a, b| a.value.total_cmp(&b.value));
    let mut at = 0;
    while at < members.len() && members.len() > 1 {
        let without = members.remove(at);
        match is_ahead(&members)? {
            None => break,
            Some(true) => {}
            Some(false) => {
                members.insert(at, without);
                at += 1;
            }
        }
    }
    Ok(())
}

fn hybrid_of(members: &[Found]) -> ModelConfig {
    ModelConfig {
        members: members.iter().map(|member| member.best.clone()).collect(),
        ..ModelConfig::of(ModelKind::Hybrid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three members, the worst last, of which two were found to be better than their defaults.
    fn found() -> Vec<Found> {
        let neighbours = |kind, neighbours| ModelConfig::of(kind).with("neighbours", neighbours);
        vec![
            Found { kind: ModelKind::ItemKnn, value: 0.3, best: neighbours(ModelKind::ItemKnn, 7) },
            Found { kind: ModelKind::Ease, value: 0.2, best: ModelConfig::of(ModelKind::Ease) },
            Found { kind: ModelKind::UserKnn, value: 0.1, best: neighbours(ModelKind::UserKnn, 9) },
        ]
    }

    /// The members of each hybrid that is tried, with their neighbours, where these are the values in turn.
    fn tried(
        members: Vec<Found>,
        value: f64,
        values: &[f64],
    ) -> Vec<Vec<(ModelKind, Option<usize>)>> {
        let mut tried = Vec::new();
        let mut values = values.iter().copied();
        let ended = compare(members, value, &mut |hybrid| {
            let value = values.next();
            if value.is_some() {
                tried.push(hybrid.members.iter().map(|m| (m.model, neighbours_of(m))).collect());
            }
            Ok::<_, std::convert::Infallible>(value)
        });
        let Ok(()) = ended;
        tried
    }

    fn neighbours_of(config: &ModelConfig) -> Option<usize> {
        config.settings.value("neighbours").and_then(|value| value.to_string().parse().ok())
    }

    const KNN: ModelKind = ModelKind::ItemKnn;
    const EASE: ModelKind = ModelKind::Ease;
    const USER: ModelKind = ModelKind::UserKnn;

    #[test]
    fn what_was_found_is_gone_on_from_where_it_blends_better() {
        let whole = vec![(KNN, Some(7)), (EASE, None), (USER, Some(9))];
        // Without the worst it is better, so that one stays out; the others stay.
        assert_eq!(
            tried(found(), 0.4, &[0.5, 0.6, 0.55, 0.6, 0.9]),
            [whole, vec![(EASE, None), (KNN, Some(7))], vec![(KNN, Some(7))], vec![(EASE, None)],]
        );
    }

    #[test]
    fn defaults_are_gone_on_from_where_they_blend_as_well() {
        for reached in [0.3, 0.4] {
            let [whole, rest @ ..] = &tried(found(), 0.4, &[reached, 0.4, 0.4, 0.4, 0.4])[..]
            else {
                panic!("nothing was tried");
            };
            assert_eq!(whole[0], (KNN, Some(7)));
            assert_eq!(
                rest,
                [
                    vec![(EASE, None), (KNN, None)],
                    vec![(USER, None), (KNN, None)],
                    vec![(USER, None), (EASE, None)],
                ]
            );
        }
    }

    #[test]
    fn the_default_is_not_tried_twice_and_time_ends_it() {
        let mut members = found();
        members.iter_mut().for_each(|member| member.best = ModelConfig::of(member.kind));
        assert_eq!(tried(members, 0.4, &[0.3]), [[(EASE, None), (KNN, None)]]);
    }
}
