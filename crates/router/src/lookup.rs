//! The first round: the rows of users or items, from the shards that hold them.

use crate::fanout::Round;
use crate::layout::{Layout, Version};
use crate::node::CallKind;
use crate::row_cache::RowCache;
use futures::future::{BoxFuture, FutureExt as _};
use marquee_core::id::ModelVersion;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{
    Entity, LookupKey, LookupOp, LookupRequest, LookupResponse, LookupResult, Row,
};
use marquee_proto::v1;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Status};

/// Rows asked of a node at once: so many vectors of 1,024 components with histories of some hundred
/// items fit into a message between nodes with room to spare.
pub(crate) const MAX_KEYS: usize = 8_192;

/// What to look up of one version for one kind of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows<'a> {
    /// The version's number in the layout.
    pub(crate) version: usize,
    /// Users or items.
    pub(crate) entity: Entity,
    /// The dense matrix, empty for none.
    pub(crate) dense: &'a str,
    /// The sparse matrix, empty for none.
    pub(crate) sparse: &'a str,
    /// Which tags items have.
    pub(crate) tags: bool,
}

/// Where to find a row after the round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    op: usize,
    key: usize,
}

/// What became of a key.
#[derive(Debug)]
pub(crate) enum Found {
    /// Its row.
    Row(Row),
    /// The shard does not have it.
    Unknown,
    /// The shard, a piece, did not answer.
    Unavailable(usize),
}

impl Found {
    /// The piece that did not answer, if that is what became of it.
    pub(crate) fn unavailable(&self) -> Option<usize> {
        match self {
            Self::Unavailable(piece) => Some(*piece),
            Self::Row(_) | Self::Unknown => None,
        }
    }
}

/// See the module.
pub(crate) struct LookupRound<'a> {
    epoch: u64,
    ops: Vec<Op<'a>>,
    keys: usize,
}

struct Op<'a> {
    rows: Rows<'a>,
    version: &'a ModelVersion,
    /// The digest of the version's bundle.
    bundle: &'a str,
    keys: Vec<Key<'a>>,
}

struct Key<'a> {
    piece: usize,
    shard: u32,
    id: &'a str,
    row: Option<Row>,
    /// The row was remembered, and is not asked for.
    is_remembered: bool,
}

impl<'a> LookupRound<'a> {
    /// A round without keys.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ops: Vec::new(), keys: 0 }
    }

    /// How many keys it asks for.
    pub(crate) fn len(&self) -> usize {
        self.keys
    }

    /// Adds a key, which is not asked for if `remembered` has its row.
    pub(crate) fn add(
        &mut self,
        layout: &Layout<'a>,
        rows: Rows<'a>,
        id: &'a str,
        remembered: Option<&RowCache>,
    ) -> Ticket {
        let Version { name: version, digest: bundle, .. } = *layout.version(rows.version);
        let op = self.ops.iter().position(|op| op.rows == rows).unwrap_or_else(|| {
            self.ops.push(Op { rows, version, bundle, keys: Vec::new() });
            self.ops.len() - 1
        });
        let piece = layout.piece_of(rows.version, id);
        let shard = layout.shard(rows.version, piece);
        let row = remembered.and_then(|remembered| remembered.get(bundle, rows, id));
        let is_remembered = row.is_some();
        self.ops[op].keys.push(Key { piece, shard, id, row, is_remembered });
        self.keys += usize::from(!is_remembered);
        Ticket { op, key: self.ops[op].keys.len() - 1 }
    }

    /// The pieces that hold the keys that it asks for.
    pub(crate) fn pieces(&self) -> BTreeSet<usize> {
        let keys = self.ops.iter().flat_map(|op| &op.keys).filter(|key| !key.is_remembered);
        keys.map(|key| key.piece).collect()
    }

    /// Has the rows remembered that were asked for and found, after the round and before they are taken out.
    pub(crate) fn remember(&self, cache: &RowCache) {
        for Op { rows, version: _, bundle, keys } in &self.ops {
            for Key { id, row, is_remembered, .. } in keys {
                if let (Some(row), false) = (row, is_remembered)
                    && row.found
                {
                    cache.put(bundle, *rows, id, row);
                }
            }
        }
    }

    /// Takes a row out, after the round.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Found {
        let key = &mut self.ops[ticket.op].keys[ticket.key];
        match key.row.take() {
            Some(row) if row.found => Found::Row(row),
            Some(_) => Found::Unknown,
            None => Found::Unavailable(key.piece),
        }
    }

    fn message(&self, pieces: &[usize]) -> LookupRequest {
        let mut message = LookupRequest { plan_epoch: self.epoch, ops: Vec::new() };
        for op in &self.ops {
            let keys: Vec<LookupKey> = op
                .keys
                .iter()
                .filter(|key| key.is_in(pieces))
                .map(|key| LookupKey { shard: key.shard, id: key.id.into() })
                .collect();
            if !keys.is_empty() {
                message.ops.push(LookupOp {
                    version: Some(version_to_wire(op.version)),
                    entity: op.rows.entity.into(),
                    keys,
                    dense_matrix: op.rows.dense.into(),
                    sparse_matrix: op.rows.sparse.into(),
                    tags: op.rows.tags,
                    ..LookupOp::default()
                });
            }
        }
        message
    }
}

impl Key<'_> {
    /// Whether it is asked for of one of these pieces.
    fn is_in(&self, pieces: &[usize]) -> bool {
        !self.is_remembered && pieces.binary_search(&self.piece).is_ok()
    }
}

impl Round for LookupRound<'_> {
    type Reply = LookupResponse;

    fn kind(&self) -> CallKind {
        CallKind::lookup(self.keys)
    }

    fn call(
        &self,
        service: Arc<dyn ShardService>,
        pieces: &[usize],
        timeout: Duration,
    ) -> BoxFuture<'static, Result<LookupResponse, Status>> {
        send(service, self.message(pieces), timeout)
    }

    fn absorb(&mut self, pieces: &[usize], reply: LookupResponse) -> Result<(), String> {
        let asked: Vec<usize> = (0..self.ops.len())
            .filter(|&op| self.ops[op].keys.iter().any(|key| key.is_in(pieces)))
            .collect();
        let LookupResponse { results } = reply;
        if results.len() != asked.len() {
            return Err(format!("{} results for {} lookups", results.len(), asked.len()));
        }
        for (&op, LookupResult { rows, ordinal_rows: _, ordinal_names: _ }) in
            asked.iter().zip(&results)
        {
            let op = &self.ops[op];
            let keys = op.keys.iter().filter(|key| key.is_in(pieces)).count();
            if rows.len() != keys {
                return Err(format!("{} rows for {keys} keys of {}", rows.len(), op.version));
            }
            rows.iter().try_for_each(|row| check_row(row, op))?;
        }
        for (op, LookupResult { rows, .. }) in asked.into_iter().zip(results) {
            let keys = self.ops[op].keys.iter_mut().filter(|key| key.is_in(pieces));
            keys.zip(rows).for_each(|(key, row)| key.row = Some(row));
        }
        Ok(())
    }
}

fn check_row(row: &Row, op: &Op<'_>) -> Result<(), String> {
    let Row { found, ordinal: _, vector, columns, values, tags: _ } = row;
    if !found {
        return Ok(());
    }
    check_vector(vector, !op.rows.dense.is_empty(), op.version)?;
    if columns.len() != values.len() {
        return Err(format!(
            "{} columns with {} values from {}",
            columns.len(),
            values.len(),
            op.version
        ));
    }
    Ok(())
}

/// Asks a node for rows.
pub(crate) fn send(
    service: Arc<dyn ShardService>,
    message: LookupRequest,
    timeout: Duration,
) -> BoxFuture<'static, Result<LookupResponse, Status>> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    async move { Ok(service.lookup(request).await?.into_inner()) }.boxed()
}

/// Refuses a vector that is none.
pub(crate) fn check_vector(
    vector: &[u8],
    is_wanted: bool,
    version: &ModelVersion,
) -> Result<(), String> {
    if !vector.len().is_multiple_of(4) || (vector.is_empty() && is_wanted) {
        return Err(format!("a vector of {} bytes from {version}", vector.len()));
    }
    if !components(vector).all(f32::is_finite) {
        return Err(format!("a vector with a component that is no number from {version}"));
    }
    Ok(())
}

/// The components of a vector on the wire.
pub(crate) fn components(vector: &[u8]) -> impl Iterator<Item = f32> {
    vector.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
}

/// A version's name on the wire.
pub(crate) fn version_to_wire(version: &ModelVersion) -> v1::ModelVersion {
    let ModelVersion { model, version } = version;
    v1::ModelVersion { model: model.clone(), version: *version }
}
