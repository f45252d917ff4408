//! The rounds of calls of a batch: each takes all requests of the batch from one stage to the next.
//!
//! Leaves that are searched at the same time share one Search a node, unless their members have timeouts that
//! end at different moments: then each moment has a round of its own, a *wave*, and all waves are under way
//! at once, so that a late leaf delays no other. Requests without timeouts have one wave.

use crate::admission::deadline::time_left;
use crate::error::RouterError;
use crate::explanation::explaining::{ExplainedRequest, LeafVectors, ListQuestion};
use crate::fanout::policy::CallBudgets;
use crate::fanout::{CallFailure, DriveAids, FanOutCounts, Round, RoundLimit, RoundOutcome, drive};
use crate::fusion::diversification::DiversifiedRequest;
use crate::fusion::fusing::{FusedRequest, FusingProgress, FusingRequest};
use crate::lookup::item_round::{FoundItems, ItemRound, WantedItems};
use crate::lookup::looked_up::LookedUpRequest;
use crate::lookup::looked_up_rows::LookedUpRows;
use crate::lookup::round::{LookupRound, MAX_KEYS};
use crate::lookup::row_cache::RowCache;
use crate::lookup::seen_items::ItemNames;
use crate::lookup::stored_row::FoundRow;
use crate::planning::planned::PlannedRequest;
use crate::planning::shard_map::ShardMap;
use crate::planning::wanted_rows::{RowSource, id_of};
use crate::pressure::Pressure;
use crate::search::leaf_query::LeafQuery;
use crate::search::round::SearchRound;
use futures::future::{join, join_all};
use marquee_core::bounds::MAX_ATTRIBUTED_ROWS;
use marquee_core::model::recipe::Entity;
use marquee_core::overload::Priority;
use marquee_core::time_spent::TimeSpent;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// Lookups get this part of the time that is left, so that a user whose shard hangs can still be
/// given popular items.
const LOOKUP_SHARE: u32 = 2;

/// The shards without an answer in a round, and why.
type Unanswered = BTreeMap<usize, CallFailure>;
/// Leaf queries with the places of their requests, by the moment at which they are to be answered.
type Waves = BTreeMap<Instant, VecDeque<(usize, LeafQuery)>>;

/// The rows to look up for one request.
struct KeysOfRequest<'k> {
    keys: Vec<(RowSource<'k>, &'k str)>,
    /// Whether remembered rows may take the place of a lookup.
    may_be_remembered: bool,
}

/// Makes the rounds of batches, and has what outlives a batch.
pub(super) struct Rounds {
    /// Rows of bundles that were looked up before.
    pub(super) rows: Arc<RowCache>,
    budgets: Mutex<CallBudgets>,
    /// What mirrored requests may hedge and retry: they take nothing from callers.
    mirror_budgets: Mutex<CallBudgets>,
    pressure: Pressure,
    /// The calls of shard nodes so far.
    pub(super) calls: FanOutCounts,
    /// Making lists of what nodes answered, and answers of lists.
    pub(super) merging: TimeSpent,
}

impl Rounds {
    /// Rounds that look in `rows` first.
    pub(super) fn new(rows: Arc<RowCache>, pressure: Pressure) -> Self {
        Self {
            rows,
            budgets: Mutex::default(),
            mirror_budgets: Mutex::default(),
            pressure,
            calls: FanOutCounts::default(),
            merging: TimeSpent::default(),
        }
    }

    /// Looks the subjects of all requests up, and decides how each leaf is answered.
    pub(super) async fn look_up<'a>(
        &self,
        planned: Vec<PlannedRequest<'a>>,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<Vec<LookedUpRequest<'a>>, RouterError> {
        // Mirrored requests look rows up on both sides: one of them has just answered the same user.
        let cache = (shards.targets.priority != Priority::Mirrored).then_some(&*self.rows);
        let limit = RoundLimit { at: lookup_deadline(deadline), is_shortened: false };
        let mut wanted = Vec::with_capacity(planned.len());
        let mut keys = Vec::with_capacity(planned.len());
        for request in &planned {
            let rows = request.wanted_rows(shards);
            let of_request = rows.rows().iter();
            keys.push(KeysOfRequest {
                keys: of_request.map(|(of, row)| (*row, id_of(*of, request.request))).collect(),
                may_be_remembered: request.may_use_remembered_rows(),
            });
            wanted.push(rows);
        }
        let found = self.look_up_rows(&keys, cache, shards, limit).await?;
        let mut looked_up = Vec::with_capacity(planned.len());
        let all_rows = wanted.into_iter().zip(found);
        for (n, (request, (wanted, found))) in planned.into_iter().zip(all_rows).enumerate() {
            let rows = LookedUpRows::new(wanted, found);
            let decided = LookedUpRequest::new(request, &rows, shards);
            looked_up.push(decided.map_err(|error| error.in_batch(n))?);
        }
        self.name_seen_items(&mut looked_up, shards, deadline).await?;
        Ok(looked_up)
    }

    /// Looks up the ids of the items that versions know as seen, so that the other versions of a request leave them
    /// out, too. Items whose shards do not answer are not left out by others.
    async fn name_seen_items<'a>(
        &self,
        looked_up: &mut [LookedUpRequest<'a>],
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        if !looked_up.iter().any(LookedUpRequest::shares_seen_items) {
            return Ok(());
        }
        let cache = self.rows.names();
        let mut names = ItemNames::new();
        let mut unnamed: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        for request in looked_up.iter().filter(|request| request.shares_seen_items()) {
            for (version, ordinals) in request.seen.by_version() {
                let bundle = shards.version(version).digest;
                let known = names.entry(version).or_default();
                for &ordinal in ordinals {
                    if known.contains_key(&ordinal) {
                        continue;
                    }
                    match cache.and_then(|cache| cache.get(bundle, ordinal)) {
                        Some(id) => {
                            known.insert(ordinal, id);
                        }
                        None => {
                            unnamed.entry(version).or_default().insert(ordinal);
                        }
                    }
                }
            }
        }
        let limit = RoundLimit { at: lookup_deadline(deadline), is_shortened: true };
        self.look_up_names(unnamed, &mut names, shards, limit).await?;
        for request in looked_up.iter_mut().filter(|request| request.shares_seen_items()) {
            let reserved = request.request.left_out_items().len();
            request.seen.share(&names, reserved);
        }
        Ok(())
    }

    /// Adds the ids of items to `names`, given by version and ordinal, as many in a round as fit into one message.
    async fn look_up_names(
        &self,
        unnamed: BTreeMap<usize, BTreeSet<u32>>,
        names: &mut ItemNames,
        shards: &mut ShardMap<'_>,
        limit: RoundLimit,
    ) -> Result<(), RouterError> {
        let mut wanted = VecDeque::new();
        for (version, ordinals) in unnamed {
            let ordinals: Vec<u32> = ordinals.into_iter().collect();
            for chunk in ordinals.chunks(MAX_ATTRIBUTED_ROWS) {
                let (ids, ordinals) = (Vec::new(), chunk.to_vec());
                wanted.push_back([WantedItems { version, matrix: "", ids, ordinals }]);
            }
        }
        while !wanted.is_empty() {
            let mut round = ItemRound::new(shards.epoch);
            let mut places = Vec::new();
            while let Some(next) = wanted.front()
                && !round.is_full_for(next)
                && let Some([next]) = wanted.pop_front()
            {
                places.push((next.version, round.add(shards, next)));
            }
            let asked = round.shards();
            let outcome = self.make_round(&mut round, asked, shards, limit).await?;
            let unanswered = note_outcome(outcome, shards);
            shards.note_failures(&unanswered);
            for (version, place) in places {
                let bundle: Arc<str> = shards.version(version).digest.into();
                let known = names.entry(version).or_default();
                for (ordinal, (id, _)) in round.take(place).names {
                    let id: Arc<str> = id.into();
                    if let Some(cache) = self.rows.names() {
                        cache.put(&bundle, ordinal, Arc::clone(&id));
                    }
                    known.insert(ordinal, id);
                }
            }
        }
        Ok(())
    }

    /// Searches leaves and fuses their lists, in turn, until every request has its list.
    pub(super) async fn search_and_fuse<'a>(
        &self,
        looked_up: Vec<LookedUpRequest<'a>>,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<Vec<FusedRequest<'a>>, RouterError> {
        let mut fused: Vec<Option<FusedRequest<'a>>> = looked_up.iter().map(|_| None).collect();
        let requests = looked_up.len();
        let mut open: Vec<(usize, FusingRequest<'a>)> =
            looked_up.into_iter().map(FusingRequest::new).enumerate().collect();
        while !open.is_empty() {
            let now = Instant::now();
            let mut waves = Waves::new();
            let mut still_open = Vec::with_capacity(open.len());
            for (place, request) in open {
                let (mut request, queries) = match request.advance() {
                    FusingProgress::Fused(request) => {
                        fused[place] = Some(request);
                        continue;
                    }
                    FusingProgress::Search(request, queries) => (request, queries),
                };
                for query in queries {
                    match request.searching.time_limit(query.leaf, requests, now, deadline) {
                        Some(limit) if limit <= now => {
                            request.searching.leave_out(shards, query.leaf);
                        }
                        limit => {
                            let ends = limit.map_or(deadline, |limit| limit.min(deadline));
                            waves.entry(ends).or_default().push_back((still_open.len(), query));
                        }
                    }
                }
                still_open.push((place, request));
            }
            open = still_open;
            self.look_up_chained_rows(&mut open, &mut waves, shards, deadline).await?;
            // Every round answers a leaf of each open request, so this ends.
            while waves.values().any(|queries| !queries.is_empty()) {
                self.search_once(&mut open, &mut waves, shards, deadline).await?;
            }
        }
        Ok(fused.into_iter().map(|request| request.expect("no request is open any more")).collect())
    }

    /// Looks up the rows that chained leaves sum; takes out the queries of leaves that know none of their items.
    async fn look_up_chained_rows<'a>(
        &self,
        open: &mut [(usize, FusingRequest<'a>)],
        waves: &mut Waves,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        for (&ends, queries) in waves {
            if queries.iter().all(|(_, query)| query.items.is_none()) {
                continue;
            }
            let mut chained = Vec::new();
            for (n, query) in std::mem::take(queries) {
                match query.items {
                    Some(_) => chained.push((n, query)),
                    None => queries.push_back((n, query)),
                }
            }
            let mut keys = Vec::with_capacity(chained.len());
            for (n, query) in &chained {
                let version = open[*n].1.searching.version_of(query.leaf);
                let row = RowSource::ordinal(version, Entity::Item);
                let items = query.items.iter().flat_map(|items| items.iter());
                let of_leaf = items.map(|(id, _)| (row, id.as_str())).collect();
                keys.push(KeysOfRequest { keys: of_leaf, may_be_remembered: false });
            }
            let limit = RoundLimit { at: ends, is_shortened: ends < deadline };
            let found = self.look_up_rows(&keys, None, shards, limit).await?;
            for ((n, query), rows) in chained.into_iter().zip(found) {
                if open[n].1.searching.set_chained_rows(&query, &rows) {
                    queries.push_back((n, query));
                }
            }
        }
        Ok(())
    }

    /// Searches for as many of the queries of each wave as fit into one message a node, for all waves at once.
    async fn search_once<'a>(
        &self,
        open: &mut [(usize, FusingRequest<'a>)],
        waves: &mut Waves,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<(), RouterError> {
        let mut rounds = Vec::new();
        for (&ends, queries) in waves {
            let mut round = SearchRound::new(shards.epoch);
            let mut places = Vec::new();
            while let Some((n, leaf_query)) = queries.front() {
                let searching = &open[*n].1.searching;
                let wire_query = searching.wire_query(leaf_query);
                if round.is_full_for(&wire_query) {
                    break;
                }
                let place = round.add(shards, wire_query, searching.denied(leaf_query));
                places.extend(queries.pop_front().map(|(n, query)| (n, query.leaf, place)));
            }
            let limit = RoundLimit { at: ends, is_shortened: ends < deadline };
            rounds.push((round, places, limit));
        }
        let calls = rounds.iter_mut().map(|(round, _, limit)| {
            let asked = round.shards();
            self.make_round(round, asked, shards, *limit)
        });
        let outcomes = join_all(calls).await;
        let began = Instant::now();
        for ((mut round, places, _), outcome) in rounds.into_iter().zip(outcomes) {
            let unanswered = note_outcome(outcome?, shards);
            shards.note_failures(&unanswered);
            for (n, leaf, place) in places {
                let searching = &mut open[n].1.searching;
                if searching.finds_neighbours(leaf) {
                    let neighbours = round.take_ordinals(place);
                    searching.set_neighbours(shards, leaf, &neighbours, &unanswered);
                    continue;
                }
                let mut contributor = None;
                if searching.explains() {
                    contributor = Some(leaf);
                    searching.note_strategies(leaf, round.strategies(place));
                }
                let list = round.take(place, contributor);
                searching.record_list(shards, leaf, list, &unanswered);
            }
        }
        self.merging.add(began.elapsed());
        Ok(())
    }

    /// Diversifies the lists of those requests whose ensemble says so, once what is compared was looked up.
    pub(super) async fn diversify<'a>(
        &self,
        fused: Vec<FusedRequest<'a>>,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<Vec<DiversifiedRequest<'a>>, RouterError> {
        let rows: Vec<Vec<RowSource<'a>>> =
            fused.iter().map(|request| request.compared_rows(shards)).collect();
        // Most requests compare nothing, and to find that out costs no round.
        let found = if rows.iter().all(Vec::is_empty) {
            fused.iter().map(|_| Vec::new()).collect()
        } else {
            let mut keys = Vec::with_capacity(fused.len());
            for (request, rows) in fused.iter().zip(&rows) {
                let mut of_request = Vec::with_capacity(rows.len() * request.items.len());
                for item in &request.items {
                    of_request.extend(rows.iter().map(|row| (*row, item.item_id.as_str())));
                }
                keys.push(KeysOfRequest { keys: of_request, may_be_remembered: false });
            }
            let limit = RoundLimit { at: lookup_deadline(deadline), is_shortened: true };
            self.look_up_rows(&keys, None, shards, limit).await?
        };
        Ok(fused.into_iter().zip(found).map(|(request, found)| request.diversify(found)).collect())
    }

    /// Finds out why lists are as they are, for those requests that explain. Shards that do not answer leave it unsaid.
    pub(super) async fn explain<'a>(
        &self,
        diversified: Vec<DiversifiedRequest<'a>>,
        shards: &mut ShardMap<'a>,
        deadline: Instant,
    ) -> Result<Vec<ExplainedRequest<'a>>, RouterError> {
        let mut explained: Vec<ExplainedRequest<'a>> =
            diversified.into_iter().map(ExplainedRequest::new).collect();
        let mut questions = VecDeque::new();
        let mut vectors = VecDeque::new();
        for (n, request) in explained.iter().enumerate() {
            questions.extend(request.questions().into_iter().map(|question| (n, question)));
            vectors.extend(request.wanted_vectors().into_iter().map(|wanted| (n, wanted)));
        }
        let limit = RoundLimit { at: lookup_deadline(deadline), is_shortened: true };
        while !questions.is_empty() || !vectors.is_empty() {
            self.explain_once(&mut explained, &mut questions, &mut vectors, shards, limit).await?;
        }
        Ok(explained)
    }

    /// Searches for the answers to as many of the questions, and looks up as many of the vectors, as fit into one message a node.
    async fn explain_once<'a>(
        &self,
        explained: &mut [ExplainedRequest<'a>],
        questions: &mut VecDeque<(usize, ListQuestion<'a>)>,
        vectors: &mut VecDeque<(usize, LeafVectors<'a>)>,
        shards: &mut ShardMap<'a>,
        limit: RoundLimit,
    ) -> Result<(), RouterError> {
        let mut searches = SearchRound::new(shards.epoch);
        let mut asked = Vec::new();
        while let Some((n, ListQuestion { topic, search })) = questions.front() {
            let wire_query = search.wire_query();
            if searches.is_full_for(&wire_query) {
                break;
            }
            asked.push((*n, *topic, searches.add(shards, wire_query, &search.denied)));
            questions.pop_front();
        }
        let mut lookups = ItemRound::new(shards.epoch);
        let mut wanted_of = Vec::new();
        while let Some((_, LeafVectors { wanted, .. })) = vectors.front()
            && !lookups.is_full_for(wanted)
            && let Some((n, LeafVectors { leaf, wanted })) = vectors.pop_front()
        {
            let places: Vec<usize> =
                wanted.into_iter().map(|wanted| lookups.add(shards, wanted)).collect();
            wanted_of.push((n, leaf, places));
        }
        let (searched, looked_up) = (searches.shards(), lookups.shards());
        // Both at once: one round for the caller who waits.
        let (answers, rows) = join(
            self.make_round(&mut searches, searched, shards, limit),
            self.make_round(&mut lookups, looked_up, shards, limit),
        )
        .await;
        note_outcome(answers?, shards);
        note_outcome(rows?, shards);
        for (n, topic, place) in asked {
            explained[n].record_answer(topic, searches.take_explanation(place));
        }
        for (n, leaf, places) in wanted_of {
            let found: Vec<FoundItems> =
                places.into_iter().map(|place| lookups.take(place)).collect();
            explained[n].record_vectors(leaf, &found);
        }
        Ok(())
    }

    /// Looks up the rows of several requests, those of as many requests together as fit into one message a node.
    /// Gives for each request what was found of its keys, in their order. Rows that `cache` has are not asked for
    /// where they may be remembered, and those that were asked for are remembered in it.
    async fn look_up_rows(
        &self,
        requests: &[KeysOfRequest<'_>],
        cache: Option<&RowCache>,
        shards: &mut ShardMap<'_>,
        limit: RoundLimit,
    ) -> Result<Vec<Vec<FoundRow>>, RouterError> {
        let mut found = Vec::with_capacity(requests.len());
        let mut rest = requests.iter().peekable();
        while rest.peek().is_some() {
            let mut round = LookupRound::new(shards.epoch);
            let mut places = Vec::new();
            while let Some(KeysOfRequest { keys, may_be_remembered }) =
                rest.next_if(|next| round.is_empty() || round.len() + next.keys.len() <= MAX_KEYS)
            {
                let remembered = cache.filter(|_| *may_be_remembered);
                let mut of_request = Vec::with_capacity(keys.len());
                for &(row, id) in keys {
                    of_request.push(round.add(shards, row, id, remembered));
                }
                places.push(of_request);
            }
            let asked = round.shards();
            let outcome = self.make_round(&mut round, asked, shards, limit).await?;
            let unanswered = note_outcome(outcome, shards);
            shards.note_failures(&unanswered);
            if let Some(cache) = cache {
                round.remember(cache);
            }
            for of_request in places {
                let rows = of_request.into_iter().map(|place| round.take(place, &unanswered));
                found.push(rows.collect());
            }
        }
        Ok(found)
    }

    /// Makes one round of calls for these shards.
    async fn make_round<R: Round>(
        &self,
        round: &mut R,
        asked: BTreeSet<usize>,
        shards: &ShardMap<'_>,
        limit: RoundLimit,
    ) -> Result<RoundOutcome, RouterError> {
        if asked.is_empty() {
            return Ok(RoundOutcome::default());
        }
        // All rounds of a request take their part of one assignment, so few nodes are asked altogether.
        let first = shards.assign().restricted(&asked);
        let budgets = match shards.targets.priority {
            Priority::Interactive | Priority::Batch => &self.budgets,
            Priority::Mirrored => &self.mirror_budgets,
        };
        drive(
            round,
            &shards.targets,
            DriveAids { budgets, pressure: &self.pressure, counts: &self.calls },
            &first,
            limit,
        )
        .await
        .map_err(|status| RouterError::Refused(status.message().to_owned()))
    }
}

/// Remembers for the next round which nodes to suspect, and gives the shards without an answer.
fn note_outcome(outcome: RoundOutcome, shards: &mut ShardMap<'_>) -> Unanswered {
    let RoundOutcome { unanswered, suspected } = outcome;
    shards.suspect(&suspected);
    unanswered.into_iter().collect()
}

/// The moment at which lookups end, so that time is left for what follows.
fn lookup_deadline(deadline: Instant) -> Instant {
    deadline - time_left(deadline) / LOOKUP_SHARE
}
