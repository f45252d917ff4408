//! A hybrid, tuned: its members' settings first, then which of them it has.
//!
//! A hybrid is fitted in a minute where a member takes seconds, and nearly all of its settings are its
//! members'. So in the first half of the time each member is searched alone, by the rounds that tune its
//! family, on the rows that the hybrid is validated on. Then hybrids are compared: the default one, one of the
//! members as they were found, and from the better of the two on those that lack a member, one after another from the
//! worst member on, as long as there is time. What is left out stays out if that made it better. Weights are no
//! settings: every hybrid fits its own, to rows that it holds out of those it learns from.

use super::space::{Setting, settings};
use super::{MAX_ROUNDS, Search, default};
use crate::catalogue::records;
use crate::config::ModelConfig;
use crate::error::TrainError;
use crate::family::hybrid;
use crate::options::ModelKind;
use crate::random::Random;

/// The part of the time that members have: the other half is for the hybrids.
const MEMBERS_SHARE: u32 = 2;

/// A member as far as it was searched.
struct Member {
    kind: ModelKind,
    settings: Vec<Setting>,
    random: Random,
    /// What it reached alone, on all users.
    value: f64,
    best: ModelConfig,
}

impl Search<'_> {
    /// Searches members and then hybrids; says how many rounds of members were begun.
    pub(super) fn run_blend(&mut self) -> Result<usize, TrainError> {
        let last = self.rungs.len() - 1;
        // What all others have to beat, whatever the time.
        let whole = default(ModelKind::Hybrid);
        let mut best = (self.try_on(last, &whole)?, whole);
        let (rounds, mut members) = self.search_members()?;
        if rounds == 0 {
            return Ok(0);
        }
        let of = |members: &[Member]| ModelConfig {
            members: members.iter().map(|member| member.best.clone()).collect(),
            ..default(ModelKind::Hybrid)
        };
        let is_found = members.iter().any(|member| member.best != default(member.kind));
        if is_found && !self.is_over() {
            let found = of(&members);
            let value = self.try_on(last, &found)?;
            if value > best.0 {
                best = (value, found);
            }
        }
        if best.1.members.is_empty() {
            // The default is ahead: go on from it.
            members.iter_mut().for_each(|member| member.best = default(member.kind));
        }
        members.sort_by(|a, b| a.value.total_cmp(&b.value));
        let mut at = 0;
        while at < members.len() && members.len() > 1 && !self.is_over() {
            let without = members.remove(at);
            let fewer = of(&members);
            let value = self.try_on(last, &fewer)?;
            if value > best.0 {
                best = (value, fewer);
            } else {
                members.insert(at, without);
                at += 1;
            }
        }
        Ok(rounds)
    }

    /// Each member alone, a round of each after another.
    fn search_members(&mut self) -> Result<(usize, Vec<Member>), TrainError> {
        let last = self.rungs.len() - 1;
        let until = self.args.budget / MEMBERS_SHARE;
        let (rows, seed) = (&self.rungs[last].train, self.training.seed);
        let (items, _) = records(&rows.items, self.file);
        let has_times = rows.has_times();
        let mut members: Vec<Member> = hybrid::allowed(rows, &items)
            .into_iter()
            .map(|kind| Member {
                kind,
                settings: settings(kind, has_times),
                random: Random::new(seed),
                value: 0.0,
                best: default(kind),
            })
            .collect();
        let mut rounds = 0;
        while rounds < self.args.rounds.unwrap_or(MAX_ROUNDS) && self.began.elapsed() < until {
            rounds += 1;
            for member in &mut members {
                if self.began.elapsed() >= until {
                    break;
                }
                if rounds == 1 {
                    member.value = self.try_on(last, &member.best)?;
                }
                let Member { kind, settings, random, value, best } = member;
                let found = self.round(*kind, settings, random, until)?;
                if let Some((reached, config)) = found.filter(|(reached, _)| *reached > *value) {
                    (*value, *best) = (reached, config);
                }
            }
        }
        Ok((rounds, members))
    }
}
