//! A round of vectors, for those who ask what carried an item: of listed items by id, from the shards that hold
//! them, and of what a user's vector is a sum of by ordinal, from whichever shards those are in.

use crate::fanout::Round;
use crate::layout::Layout;
use crate::lookup::{check_vector, components, send, version_to_wire};
use crate::node::CallKind;
use futures::future::BoxFuture;
use marquee_core::id::ModelVersion;
use marquee_proto::shard::v1::shard_service_server::ShardService;
use marquee_proto::shard::v1::{
    Entity, LookupKey, LookupOp, LookupRequest, LookupResponse, LookupResult, Row, RowName,
};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// Rows of one round: with vectors of 1,024 components they are half of what a message between nodes may have.
const MAX_ROWS: usize = 8_192;

/// Rows of one matrix of items.
pub(crate) struct Wanted<'a> {
    /// The version's number in the layout.
    pub(crate) version: usize,
    pub(crate) matrix: &'a str,
    /// Items by id.
    pub(crate) ids: Vec<String>,
    /// Items by number, ascending.
    pub(crate) ordinals: Vec<u32>,
}

/// What was found of them.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    pub(crate) by_id: HashMap<String, Vec<f32>>,
    pub(crate) by_ordinal: HashMap<u32, Vec<f32>>,
    /// Ids and titles of items by number.
    pub(crate) names: HashMap<u32, (String, String)>,
}

/// See the module.
pub(crate) struct VectorRound<'a> {
    epoch: u64,
    ops: Vec<Op<'a>>,
    rows: usize,
}

struct Op<'a> {
    version: &'a ModelVersion,
    matrix: &'a str,
    pieces: Range<usize>,
    /// Piece and id of each.
    keys: Vec<(usize, String)>,
    ordinals: Vec<u32>,
    found: Vectors,
}

impl<'a> VectorRound<'a> {
    /// A round without rows.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ops: Vec::new(), rows: 0 }
    }

    /// Whether another such question would make messages too large.
    pub(crate) fn is_full_for(&self, wanted: &[Wanted<'_>]) -> bool {
        let more: usize = wanted.iter().map(Wanted::rows).sum();
        self.rows > 0 && self.rows + more > MAX_ROWS
    }

    /// Adds some rows, and says where to find them.
    pub(crate) fn add(&mut self, layout: &Layout<'a>, wanted: Wanted<'a>) -> usize {
        self.rows += wanted.rows();
        let Wanted { version, matrix, ids, ordinals } = wanted;
        let keys = ids.into_iter().map(|id| (layout.piece_of(version, &id), id)).collect();
        self.ops.push(Op {
            version: layout.version(version).name,
            matrix,
            pieces: layout.pieces(version),
            keys,
            ordinals,
            found: Vectors::default(),
        });
        self.ops.len() - 1
    }

    /// The pieces to ask.
    pub(crate) fn pieces(&self) -> BTreeSet<usize> {
        self.ops.iter().flat_map(|op| op.pieces.clone()).collect()
    }

    /// Takes what was found, after the round.
    pub(crate) fn take(&mut self, ticket: usize) -> Vectors {
        std::mem::take(&mut self.ops[ticket].found)
    }
}

impl Wanted<'_> {
    fn rows(&self) -> usize {
        self.ids.len() + self.ordinals.len()
    }
}

impl Op<'_> {
    fn of<'p>(&self, pieces: &'p [usize]) -> impl Iterator<Item = usize> + use<'p> {
        let mine = self.pieces.clone();
        pieces.iter().copied().filter(move |piece| mine.contains(piece))
    }

    fn keys<'p>(&'p self, pieces: &'p [usize]) -> impl Iterator<Item = &'p (usize, String)> {
        self.keys.iter().filter(|(piece, _)| pieces.contains(piece))
    }

    fn message(&self, pieces: &[usize]) -> LookupOp {
        let shard = |piece: usize| (piece - self.pieces.start) as u32;
        let key =
            |(piece, id): &(usize, String)| LookupKey { shard: shard(*piece), id: id.clone() };
        LookupOp {
            version: Some(version_to_wire(self.version)),
            entity: Entity::Item.into(),
            keys: self.keys(pieces).map(key).collect(),
            dense_matrix: self.matrix.into(),
            ordinals: self.ordinals.clone(),
            ordinal_shards: self.of(pieces).map(shard).collect(),
            ..LookupOp::default()
        }
    }

    fn check(&self, pieces: &[usize], result: &LookupResult) -> Result<(), String> {
        let LookupResult { rows, ordinal_rows, ordinal_names } = result;
        let wrong = |what: &str| Err(format!("{what} from {}", self.version));
        if rows.len() != self.keys(pieces).count() {
            return wrong("not a row for each key");
        }
        if ordinal_rows.len() != ordinal_names.len() {
            return wrong("rows without names");
        }
        for row in rows.iter().filter(|row| row.found).chain(ordinal_rows) {
            check_vector(&row.vector, true, self.version)?;
        }
        let was_asked = |(row, name): (&Row, &RowName)| {
            row.ordinal == name.ordinal && self.ordinals.binary_search(&row.ordinal).is_ok()
        };
        match ordinal_rows.iter().zip(ordinal_names).all(was_asked) {
            true => Ok(()),
            false => wrong("an item that was not asked for"),
        }
    }

    fn take_in(&mut self, pieces: &[usize], result: LookupResult) {
        let LookupResult { rows, ordinal_rows, ordinal_names } = result;
        let vector = |row: &Row| components(&row.vector).collect();
        let ids: Vec<String> = self.keys(pieces).map(|(_, id)| id.clone()).collect();
        let by_id = ids.into_iter().zip(&rows).filter(|(_, row)| row.found);
        self.found.by_id.extend(by_id.map(|(id, row)| (id, vector(row))));
        self.found.by_ordinal.extend(ordinal_rows.iter().map(|row| (row.ordinal, vector(row))));
        let names = ordinal_names.into_iter();
        self.found.names.extend(names.map(|it| (it.ordinal, (it.item_id, it.title))));
    }
}

impl Round for VectorRound<'_> {
    type Reply = LookupResponse;

    fn kind(&self) -> CallKind {
        CallKind::lookup(self.rows)
    }

    fn call(
        &self,
        service: Arc<dyn ShardService>,
        pieces: &[usize],
        timeout: Duration,
    ) -> BoxFuture<'static, Result<LookupResponse, Status>> {
        let asked = self.ops.iter().filter(|op| op.of(pieces).next().is_some());
        let ops = asked.map(|op| op.message(pieces)).collect();
        send(service, LookupRequest { plan_epoch: self.epoch, ops }, timeout)
    }

    fn absorb(&mut self, pieces: &[usize], reply: LookupResponse) -> Result<(), String> {
        let LookupResponse { results } = reply;
        let asked: Vec<usize> =
            (0..self.ops.len()).filter(|&op| self.ops[op].of(pieces).next().is_some()).collect();
        if results.len() != asked.len() {
            return Err(format!("{} results for {} lookups", results.len(), asked.len()));
        }
        for (&op, result) in asked.iter().zip(&results) {
            self.ops[op].check(pieces, result)?;
        }
        for (op, result) in asked.into_iter().zip(results) {
            self.ops[op].take_in(pieces, result);
        }
        Ok(())
    }
}
