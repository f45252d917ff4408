//! The rounds of a batch: lookups, then searches until every task has its list.
//!
//! Leaves that are asked at the same time share one Search a node, unless their members have timeouts that
//! end at different moments: then each moment has a round of its own, a *wave*, and all waves are under way
//! at once, so that who is late keeps no answer of others back. Requests without timeouts have one wave.

use super::{Engine, in_batch, left};
use crate::error::RouterError;
use crate::facts;
use crate::fanout::{Failure, Limit, Outcome, Round, drive};
use crate::layout::Layout;
use crate::lookup::{Found, LookupRound, MAX_KEYS};
use crate::search::SearchRound;
use crate::task::{Task, Why};
use crate::tree::Demand;
use crate::vectors::{VectorRound, Vectors};
use futures::future::{join, join_all};
use marquee_proto::shard::v1::Entity;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::time::Instant;

/// Lookups get this part of the time that is left, so that a user whose shard hangs can still be
/// given popular items.
const LOOKUP_SHARE: u32 = 2;

/// What is missing after a round, and why.
type Lost = BTreeMap<usize, Failure>;
/// Demands of tasks, by the moment at which they are to be answered.
type Waves = BTreeMap<Instant, VecDeque<(usize, Demand)>>;

impl Engine {
    /// Looks all subjects up and decides how each leaf is answered.
    pub(super) async fn look_up<'a>(
        &self,
        tasks: &mut [Task<'a>],
        layout: &mut Layout<'a>,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        let deadline = deadline - left(deadline) / LOOKUP_SHARE;
        // What is mirrored asks anew on both sides: one of them was just asked about the same user.
        let rows = layout.terrain.learns.then_some(&*self.rows);
        let number = tasks.len();
        let mut begun = 0;
        while begun < number {
            let mut round = LookupRound::new(layout.epoch);
            let mut ended = begun;
            while ended < number && round.len() < MAX_KEYS {
                tasks[ended].look_up(layout, &mut round, rows);
                ended += 1;
            }
            let pieces = round.pieces();
            let limit = Limit { at: deadline, is_hasty: false };
            let lost = self.drive(&mut round, layout, &pieces, limit).await?;
            if let Some(rows) = rows {
                round.remember(rows);
            }
            let mut settled = Ok(());
            for (n, task) in (begun..ended).zip(&mut tasks[begun..ended]) {
                let said = task.settle(layout, &mut round, &lost);
                settled = settled.and(said.map_err(|error| in_batch(error, n)));
            }
            settled?;
            begun = ended;
        }
        Ok(())
    }

    /// Searches until every task has its list.
    pub(super) async fn search<'a>(
        &self,
        tasks: &mut [Task<'a>],
        layout: &mut Layout<'a>,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        loop {
            let now = Instant::now();
            let mut waves = Waves::new();
            let mut is_done = true;
            for (n, task) in tasks.iter_mut().enumerate() {
                for demand in task.demands() {
                    is_done = false;
                    match task.limit(&demand, now) {
                        Some(limit) if limit <= now => task.leave_out(layout, demand.leaf),
                        limit => {
                            let ends = limit.map_or(deadline, |limit| limit.min(deadline));
                            waves.entry(ends).or_default().push_back((n, demand));
                        }
                    }
                }
            }
            if is_done {
                return Ok(());
            }
            self.find_rows(tasks, layout, &mut waves, deadline).await?;
            // Every round makes a leaf of each unfinished task known, so this ends.
            while waves.values().any(|demands| !demands.is_empty()) {
                self.search_once(tasks, layout, &mut waves, deadline).await?;
            }
        }
    }

    /// Looks up what leaves of chains are to add up; takes out the demands of those that know nothing of it.
    async fn find_rows<'a>(
        &self,
        tasks: &mut [Task<'a>],
        layout: &mut Layout<'a>,
        waves: &mut Waves,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        for (&ends, demands) in waves {
            let mut open: VecDeque<(usize, Demand)> = std::mem::take(demands);
            while let Some((n, demand)) = open.pop_front() {
                let Some(rows) = demand.rows.clone() else {
                    demands.push_back((n, demand));
                    continue;
                };
                // As many as fit into one message a node.
                let mut together = vec![(n, demand, rows)];
                let mut keys = together[0].2.len();
                while let Some((_, Demand { rows: Some(rows), .. })) = open.front()
                    && keys + rows.len() <= MAX_KEYS
                {
                    keys += rows.len();
                    let rows = Arc::clone(rows);
                    together.extend(open.pop_front().map(|(n, demand)| (n, demand, rows)));
                }
                let mut round = LookupRound::new(layout.epoch);
                let mut tickets = Vec::new();
                for (n, demand, wanted) in &together {
                    let of = facts::rows(tasks[*n].version_of(demand), Entity::Item, "", "");
                    let mut of_demand = Vec::with_capacity(wanted.len());
                    for (id, _) in wanted.iter() {
                        of_demand.push(round.add(layout, of, id, None));
                    }
                    tickets.push(of_demand);
                }
                let limit = Limit { at: ends, is_hasty: ends < deadline };
                let pieces = round.pieces();
                let lost = self.drive(&mut round, layout, &pieces, limit).await?;
                let found: Vec<Vec<Found>> = tickets
                    .into_iter()
                    .map(|of| of.into_iter().map(|ticket| round.take(ticket)).collect())
                    .collect();
                for ((n, demand, _), found) in together.into_iter().zip(found) {
                    if tasks[n].multiply(&demand, &found, &lost) {
                        demands.push_back((n, demand));
                    }
                }
            }
        }
        Ok(())
    }

    /// Searches for as many of the demands of each wave as fit into one message a node, for all waves at once.
    async fn search_once<'a>(
        &self,
        tasks: &mut [Task<'a>],
        layout: &mut Layout<'a>,
        waves: &mut Waves,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        let mut rounds = Vec::new();
        for (&ends, demands) in waves {
            let mut round = SearchRound::new(layout.epoch);
            let mut tickets = Vec::new();
            while let Some((n, demand)) = demands.front() {
                let (matrix, query, filter) = tasks[*n].query(demand);
                if round.is_full_for(matrix, &query, filter.as_ref()) {
                    break;
                }
                let denied = tasks[*n].denied(demand);
                let ticket = round.add(layout, matrix, query, filter, denied);
                tickets.extend(demands.pop_front().map(|(n, demand)| (n, demand, ticket)));
            }
            rounds.push((round, tickets, Limit { at: ends, is_hasty: ends < deadline }));
        }
        let calls = rounds.iter_mut().map(|(round, _, limit)| {
            let pieces = round.pieces();
            self.make(round, layout, pieces, *limit)
        });
        let outcomes = join_all(calls).await;
        let began = Instant::now();
        for ((mut round, tickets, _), outcome) in rounds.into_iter().zip(outcomes) {
            let lost = self.after(outcome?, layout);
            for (n, demand, ticket) in tickets {
                if tasks[n].finds_neighbours(demand.leaf) {
                    let neighbours = round.take_ordinals(ticket);
                    tasks[n].meet(layout, demand.leaf, neighbours, &lost);
                    continue;
                }
                let leaf = tasks[n].explains().then_some(demand.leaf);
                if leaf.is_some() {
                    tasks[n].note_strategies(&demand, round.strategies(ticket));
                }
                let list = round.take(ticket, leaf);
                tasks[n].learn(layout, &demand, list, &lost);
            }
        }
        self.merging.add(began.elapsed());
        Ok(())
    }

    /// The last step of those that have one: what their lists are compared by is looked up, and they are spread.
    pub(super) async fn spread<'a>(
        &self,
        tasks: &mut [Task<'a>],
        layout: &mut Layout<'a>,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        let ends = deadline - left(deadline) / LOOKUP_SHARE;
        let wanted: Vec<_> = tasks.iter().map(|task| task.comparisons(layout)).collect();
        // Most requests have no last step, and to find that out costs no round.
        if wanted.iter().all(|(ids, _)| ids.is_empty()) {
            return Ok(());
        }
        let mut begun = 0;
        while begun < tasks.len() {
            let mut round = LookupRound::new(layout.epoch);
            let mut together = Vec::new();
            while begun < tasks.len() && round.len() < MAX_KEYS {
                let (ids, rows) = &wanted[begun];
                let mut tickets = Vec::with_capacity(ids.len());
                for id in ids {
                    let of_item: Vec<_> =
                        rows.iter().map(|rows| round.add(layout, *rows, id, None)).collect();
                    tickets.push(of_item);
                }
                if !tickets.is_empty() {
                    together.push((begun, tickets));
                }
                begun += 1;
            }
            let pieces = round.pieces();
            let limit = Limit { at: ends, is_hasty: true };
            let lost = self.drive(&mut round, layout, &pieces, limit).await?;
            for (n, tickets) in together {
                let mut found = Vec::with_capacity(tickets.len());
                for of_item in tickets {
                    found.push(of_item.into_iter().map(|ticket| round.take(ticket)).collect());
                }
                tasks[n].spread(found, &lost);
            }
        }
        Ok(())
    }

    /// Asks of those who explain why their lists are as they are. What does not answer is not said.
    pub(super) async fn explain<'a>(
        &self,
        tasks: &mut [Task<'a>],
        layout: &mut Layout<'a>,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        let ends = deadline - left(deadline) / LOOKUP_SHARE;
        let whys = tasks.iter().map(Task::whys).enumerate();
        let open = whys.flat_map(|(n, whys)| whys.into_iter().map(move |why| (n, why)));
        let open = &mut open.collect::<Vec<_>>().into_iter().peekable();
        let sums = tasks.iter().map(Task::sums).enumerate();
        let sums = sums.flat_map(|(n, sums)| sums.into_iter().map(move |sum| (n, sum)));
        let sums = &mut sums.collect::<Vec<_>>().into_iter().peekable();
        while open.peek().is_some() || sums.peek().is_some() {
            let mut round = SearchRound::new(layout.epoch);
            let mut tickets = Vec::new();
            while let Some((n, why)) = open.next_if(|(_, Why { matrix, query, filter, .. })| {
                !round.is_full_for(*matrix, query, filter.as_ref())
            }) {
                let Why { about, matrix, query, filter, denied } = why;
                tickets.push((n, about, round.add(layout, matrix, query, filter, &denied)));
            }
            let mut vectors = VectorRound::new(layout.epoch);
            let mut of_leaves = Vec::new();
            while let Some((n, (leaf, wanted))) =
                sums.next_if(|(_, (_, wanted))| !vectors.is_full_for(wanted))
            {
                let places: Vec<usize> =
                    wanted.into_iter().map(|wanted| vectors.add(layout, wanted)).collect();
                of_leaves.push((n, leaf, places));
            }
            let limit = Limit { at: ends, is_hasty: true };
            let (pieces, of_vectors) = (round.pieces(), vectors.pieces());
            // Both at once: one round for whoever waits.
            let (said, found) = join(
                self.make(&mut round, layout, pieces, limit),
                self.make(&mut vectors, layout, of_vectors, limit),
            )
            .await;
            self.after(said?, layout);
            self.after(found?, layout);
            for (n, about, ticket) in tickets {
                tasks[n].understand(about, round.take_explanation(ticket));
            }
            for (n, leaf, places) in of_leaves {
                let found: Vec<Vectors> =
                    places.into_iter().map(|place| vectors.take(place)).collect();
                tasks[n].attribute(leaf, &found);
            }
        }
        Ok(())
    }

    /// Makes one round over these pieces, and remembers for the next one which nodes to doubt.
    async fn drive<R: Round>(
        &self,
        round: &mut R,
        layout: &mut Layout<'_>,
        pieces: &BTreeSet<usize>,
        limit: Limit,
    ) -> Result<Lost, RouterError> {
        let outcome = self.make(round, layout, pieces.clone(), limit).await?;
        Ok(self.after(outcome, layout))
    }

    /// Makes one round over these pieces.
    async fn make<R: Round>(
        &self,
        round: &mut R,
        layout: &Layout<'_>,
        pieces: BTreeSet<usize>,
        limit: Limit,
    ) -> Result<Outcome, RouterError> {
        if pieces.is_empty() {
            return Ok(Outcome::default());
        }
        // All rounds of a request take their part of one assignment, so few nodes are asked in all.
        let first = layout.assign().restricted(&pieces);
        let hedging = if layout.terrain.learns { &self.hedging } else { &self.mirror_hedging };
        drive(round, &layout.terrain, hedging, &first, limit)
            .await
            .map_err(|status| RouterError::Refused(status.message().to_owned()))
    }

    /// Remembers for the next round which nodes to doubt, and says what is lost.
    fn after(&self, outcome: Outcome, layout: &mut Layout<'_>) -> Lost {
        layout.doubt(&outcome.doubted);
        outcome.lost.into_iter().collect()
    }
}
