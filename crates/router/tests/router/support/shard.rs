//! A node that holds fake bundles.

use super::bundle::{Bundle, Item, cosine, dot};
use marquee_core::hash::shard_of;
use marquee_core::id::ModelVersion;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::*;
use marquee_proto::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::{Request, Response, Status, async_trait};

/// How a node behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// It cannot be reached.
    Dead,
    /// Takes requests and never answers.
    Hung,
    /// Answers after this many milliseconds.
    Slow(u64),
    /// Refuses because it has too much to do.
    Busy,
    /// Answers with lists that are no lists.
    Mad,
    /// Finds fault with every request.
    Picky,
    /// Says shortly before a call's time is over that it was not enough.
    GivesUp,
}

#[derive(Default)]
pub(crate) struct FakeShard {
    pub(crate) id: String,
    bundles: Mutex<BTreeMap<ModelVersion, Arc<Bundle>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mood: Mood,
    /// Versions and shards that it does not hold although the plan says so.
    lacks: BTreeSet<(ModelVersion, u32)>,
    /// A version whose calls are never answered.
    hangs_on: Option<ModelVersion>,
    /// A version whose searches are never answered.
    searches_hang_on: Option<ModelVersion>,
    /// Its mood is about searches only.
    looks_up_well: bool,
    /// How the next search finds it, before its mood is what it is.
    next_search: Option<Mood>,
    lookups: usize,
    /// Keys of these.
    keys: usize,
    /// Ordinals to name.
    ordinals: usize,
    /// Lookups of nothing, by which nodes are tried.
    probes: usize,
    searches: usize,
    /// The epochs that calls named.
    epochs: BTreeSet<u64>,
    timeouts_ms: Vec<u64>,
}

impl FakeShard {
    pub(crate) fn new(id: &str, bundles: &[Arc<Bundle>]) -> Arc<Self> {
        let bundles = bundles.iter().map(|b| (b.version.clone(), Arc::clone(b))).collect();
        Arc::new(Self { id: id.into(), bundles: Mutex::new(bundles), state: Mutex::default() })
    }

    pub(crate) fn feels(&self, mood: Mood) {
        self.state.lock().expect("no panic").mood = mood;
    }

    pub(crate) fn lacks(&self, version: &ModelVersion, shard: u32) {
        self.state.lock().expect("no panic").lacks.insert((version.clone(), shard));
    }

    /// Never answers calls for this version.
    pub(crate) fn hangs_on(&self, version: &ModelVersion) {
        self.state.lock().expect("no panic").hangs_on = Some(version.clone());
    }

    /// Never answers searches of this version.
    pub(crate) fn searches_hang_on(&self, version: &ModelVersion) {
        self.state.lock().expect("no panic").searches_hang_on = Some(version.clone());
    }

    /// Answers lookups at once, whatever its mood.
    pub(crate) fn looks_up_well(&self) {
        self.state.lock().expect("no panic").looks_up_well = true;
    }

    /// Is in this mood for one search.
    pub(crate) fn next_search_finds(&self, mood: Mood) {
        self.state.lock().expect("no panic").next_search = Some(mood);
    }

    async fn hang_on(&self, version: Option<&v1::ModelVersion>) {
        let v1::ModelVersion { model, version } = version.expect("always named");
        let version = ModelVersion::new(model, *version);
        let hangs = self.state.lock().expect("no panic").hangs_on == Some(version);
        if hangs {
            std::future::pending().await
        }
    }

    /// Has this bundle, in place of the one of its version.
    pub(crate) fn holds(&self, bundle: Arc<Bundle>) {
        self.bundles.lock().expect("no panic").insert(bundle.version.clone(), bundle);
    }

    /// Drops a version, as after a rollback.
    pub(crate) fn drops(&self, version: &ModelVersion) {
        self.bundles.lock().expect("no panic").remove(version);
    }

    /// How many lookups and searches that were not empty it had since the last call of this.
    pub(crate) fn take_calls(&self) -> (usize, usize) {
        let mut state = self.state.lock().expect("no panic");
        (std::mem::take(&mut state.lookups), std::mem::take(&mut state.searches))
    }

    /// How many keys it was asked for, and how many lookups of nothing it had, since this was last asked.
    pub(crate) fn take_keys_and_probes(&self) -> (usize, usize) {
        let mut state = self.state.lock().expect("no panic");
        (std::mem::take(&mut state.keys), std::mem::take(&mut state.probes))
    }

    /// How many items it was to name by ordinal since this was last asked.
    pub(crate) fn take_ordinals(&self) -> usize {
        std::mem::take(&mut self.state.lock().expect("no panic").ordinals)
    }

    /// The deadlines that calls brought since this was last asked.
    pub(crate) fn take_timeouts_ms(&self) -> Vec<u64> {
        std::mem::take(&mut self.state.lock().expect("no panic").timeouts_ms)
    }

    async fn behave(
        &self,
        timeout: Option<&str>,
        is_lookup: bool,
        counts: impl FnOnce(&mut State),
    ) -> Result<Mood, Status> {
        let mood = {
            let mut state = self.state.lock().expect("no panic");
            counts(&mut state);
            if let Some(micros) = timeout.and_then(|text| text.strip_suffix('u')) {
                state.timeouts_ms.push(micros.parse::<u64>().expect("digits") / 1_000);
            }
            match state.next_search.take_if(|_| !is_lookup) {
                Some(mood) => mood,
                None if is_lookup && state.looks_up_well => Mood::Well,
                None => state.mood,
            }
        };
        match mood {
            Mood::Dead => return Err(Status::unavailable("connection refused")),
            Mood::Hung => std::future::pending().await,
            Mood::Slow(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Mood::Busy => return Err(Status::resource_exhausted("too many searches")),
            Mood::Picky => return Err(Status::invalid_argument("ops[0].matrix is strange")),
            Mood::GivesUp => {
                let text = timeout.expect("every call has a deadline");
                let (number, unit) = text.split_at(text.len() - 1);
                let number: u64 = number.parse().expect("digits");
                let all = match unit {
                    "n" => Duration::from_nanos(number),
                    "u" => Duration::from_micros(number),
                    _ => Duration::from_millis(number),
                };
                tokio::time::sleep(all.saturating_sub(Duration::from_millis(5))).await;
                return Err(Status::deadline_exceeded("the search takes longer"));
            }
            Mood::Well | Mood::Mad => tokio::task::yield_now().await,
        }
        Ok(mood)
    }

    fn bundle(
        &self,
        version: Option<&v1::ModelVersion>,
        shard: u32,
    ) -> Result<Arc<Bundle>, Status> {
        let v1::ModelVersion { model, version } = version.expect("always named");
        let version = ModelVersion::new(model, *version);
        let lacks = self.state.lock().expect("no panic").lacks.contains(&(version.clone(), shard));
        match self.bundles.lock().expect("no panic").get(&version) {
            Some(bundle) if !lacks => Ok(Arc::clone(bundle)),
            _ => Err(Status::failed_precondition(format!("{version}/{shard} is not held here"))),
        }
    }
}

fn timeout_of<T>(request: &Request<T>) -> Option<String> {
    let value = request.metadata().get("grpc-timeout")?;
    Some(value.to_str().expect("ascii").to_owned())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|c| f32::from_le_bytes(c.try_into().expect("four"))).collect()
}

#[async_trait]
impl ShardService for FakeShard {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let timeout = timeout_of(&request);
        let LookupRequest { plan_epoch, ops } = request.into_inner();
        let counts = |state: &mut State| {
            if ops.is_empty() {
                state.probes += 1;
            } else {
                state.lookups += 1;
                state.keys += ops.iter().map(|op| op.keys.len()).sum::<usize>();
                state.ordinals += ops.iter().map(|op| op.ordinals.len()).sum::<usize>();
                state.epochs.insert(plan_epoch);
            }
        };
        self.behave(timeout.as_deref(), true, counts).await?;
        let mut results = Vec::new();
        for op in &ops {
            self.hang_on(op.version.as_ref()).await;
            let mut rows = Vec::new();
            for LookupKey { shard, id } in &op.keys {
                let bundle = self.bundle(op.version.as_ref(), *shard)?;
                assert_eq!(*shard, shard_of(id, bundle.shards), "asked of the wrong shard");
                rows.push(match op.entity() {
                    Entity::User => user_row(&bundle, id, op),
                    Entity::Item => item_row(&bundle, id, op),
                    Entity::Term => term_row(&bundle, id),
                    Entity::Unspecified => panic!("an entity is always named"),
                });
            }
            let mut result = LookupResult { rows, ..LookupResult::default() };
            for shard in &op.ordinal_shards {
                let bundle = self.bundle(op.version.as_ref(), *shard)?;
                for &ordinal in &op.ordinals {
                    let Item { id, title, .. } = &bundle.items[ordinal as usize];
                    if shard_of(id, bundle.shards) == *shard {
                        let (item_id, title) = (id.clone(), title.clone());
                        result.ordinal_rows.push(item_row(&bundle, id, op));
                        result.ordinal_names.push(RowName { ordinal, item_id, title });
                    }
                }
            }
            results.push(result);
        }
        Ok(Response::new(LookupResponse { results }))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let timeout = timeout_of(&request);
        let SearchRequest { plan_epoch, ops } = request.into_inner();
        let counts = |state: &mut State| {
            state.searches += 1;
            state.epochs.insert(plan_epoch);
        };
        let mood = self.behave(timeout.as_deref(), false, counts).await?;
        let mut results = Vec::new();
        for op in &ops {
            self.hang_on(op.version.as_ref()).await;
            let named = op.version.clone().map(|it| ModelVersion::new(&it.model, it.version));
            if self.state.lock().expect("no panic").searches_hang_on == named && named.is_some() {
                std::future::pending().await
            }
            let shard = *op.shards.first().expect("something to search");
            let bundle = self.bundle(op.version.as_ref(), shard)?;
            for shard in &op.shards {
                self.bundle(op.version.as_ref(), *shard)?;
            }
            let queries = op.queries.iter().map(|query| search(&bundle, op, query)).collect();
            results.push(SearchResult { queries });
        }
        if mood == Mood::Mad {
            results.iter_mut().flat_map(|r| &mut r.queries).for_each(|q| q.scores.reverse());
        }
        Ok(Response::new(SearchResponse { results }))
    }
}

fn user_row(bundle: &Bundle, id: &str, op: &LookupOp) -> Row {
    let Some((ordinal, (_, user))) = (0..).zip(&bundle.users).find(|(_, (key, _))| *key == id)
    else {
        return Row::default();
    };
    let vector: Vec<u8> = match op.dense_matrix.as_str() {
        "" => Vec::new(),
        "users" => user.vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
        other => panic!("no matrix {other:?}"),
    };
    let columns = match op.sparse_matrix.as_str() {
        "" => Vec::new(),
        "history" | "history_order" => user.history.clone(),
        "attributes" => user.terms.clone(),
        other => panic!("no matrix {other:?}"),
    };
    let value = |(place, ordinal): (usize, &u32)| match op.sparse_matrix.as_str() {
        "history" => f32::from(u8::from(!user.disliked.contains(ordinal))),
        "history_order" => user.ages.get(place).copied().unwrap_or_default(),
        _ => 1.0,
    };
    let values = columns.iter().enumerate().map(value).collect();
    Row { found: true, ordinal, vector: vector.into(), columns, values, tags: Vec::new() }
}

fn item_row(bundle: &Bundle, id: &str, op: &LookupOp) -> Row {
    assert!(["", "items", "fold"].contains(&op.dense_matrix.as_str()));
    let Some((ordinal, item)) = (0..).zip(&bundle.items).find(|(_, item)| item.id == id) else {
        return Row::default();
    };
    let vector: Vec<u8> = match op.dense_matrix.is_empty() {
        true => Vec::new(),
        false => item.vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    let tags = if op.tags { vec![item.tag.clone()] } else { Vec::new() };
    Row { found: true, ordinal, vector: vector.into(), tags, ..Row::default() }
}

fn term_row(bundle: &Bundle, id: &str) -> Row {
    let place = bundle.terms.iter().position(|term| term == id);
    place.map_or_else(Row::default, |place| Row {
        found: true,
        ordinal: place as u32,
        ..Row::default()
    })
}

fn search(bundle: &Bundle, op: &SearchOp, query: &Query) -> QueryResult {
    let filter = match query.filter {
        0 => None,
        n => Some(&op.filters[n as usize - 1]),
    };
    let vector = floats(&query.vector);
    let list = match (op.operation(), op.matrix.as_str()) {
        (Operation::DenseInnerProduct, "items") => {
            bundle.rank(&op.shards, filter, &|item| dot(&item.vector, &vector))
        }
        (Operation::DenseCosine, "items") => {
            bundle.rank(&op.shards, filter, &|item| cosine(&item.vector, &vector))
        }
        (Operation::SparseRowSum, "popularity") => {
            assert_eq!((query.rows.as_slice(), query.weights.as_slice()), (&[0][..], &[1.0][..]));
            bundle.rank(&op.shards, filter, &|item| item.popularity)
        }
        // Items are followed by the three after them, and attributes like every fifth item.
        (Operation::SparseRowSum, matrix @ ("next" | "liked")) => {
            let entry = |row: u32, item: u32| match matrix {
                "next" => [0.0, 3.0, 2.0, 1.0].get(item.wrapping_sub(row) as usize).copied(),
                _ => (item % 5 == row).then_some(1.0 + item as f32),
            };
            let rows = || query.rows.iter().zip(&query.weights);
            let score = |item: &Item| -> f32 {
                let item = bundle.ordinal(&item.id);
                rows().map(|(&row, weight)| weight * entry(row, item).unwrap_or(0.0)).sum()
            };
            let mut list = bundle.rank(&op.shards, filter, &score);
            list.retain(|(score, _)| *score > 0.0);
            list
        }
        other => panic!("no such search: {other:?}"),
    };
    let item = |ordinal: u32| &bundle.items[ordinal as usize];
    let denied = match query.deny_list {
        0 => &[][..],
        n => &op.deny_lists[n as usize - 1].item_ids,
    };
    let mut result = QueryResult::default();
    let wanted = list.into_iter().filter(|(_, ordinal)| {
        !query.exclude_ordinals.contains(ordinal)
            && !denied.contains(&item(*ordinal).id)
            && !query.exclude_item_ids.contains(&item(*ordinal).id)
    });
    for (score, ordinal) in wanted.take(query.count as usize) {
        result.scores.push(score);
        result.ordinals.push(ordinal);
        result.item_ids.push(item(ordinal).id.clone());
        result.titles.push(item(ordinal).title.clone());
    }
    // One that this router does not know too: a node of a later version may name it.
    let strategies =
        op.shards.iter().map(|shard| strategy_of(op.operation(), *shard).into()).chain([99]);
    result.strategies = strategies.collect::<BTreeSet<i32>>().into_iter().collect();
    result
}

/// How a fake claims to search: even shards by cells, odd ones by scans.
fn strategy_of(operation: Operation, shard: u32) -> SearchStrategy {
    match (operation, shard % 2) {
        (Operation::SparseRowSum, _) => SearchStrategy::RowSum,
        (_, 0) => SearchStrategy::Cells,
        _ => SearchStrategy::Scan,
    }
}
