//! The two operations, and lookups: from a request on the wire to the answer on the wire.
//!
//! Each request is first *checked* against the table of replicas that answer ([`lookup::check`],
//! [`search::check`]): every index, count and name, and that all named shards are here. That is
//! cheap, needs no pool, and leaves a [`Work`](crate::pool::Work) that holds on to its shards, so
//! that a swap in mid-request changes nothing for it. The work then runs on the pool, which is
//! told how long such work took lately on the replicas that it is about ([`Paces`]).
//!
//! What is deliberately missing: recipes. Which matrices to search, and with what, is the router's
//! business; new model families need no change here.

mod explain;
mod filter;
pub(crate) mod lookup;
mod paces;
pub(crate) mod search;

pub(crate) use paces::Paces;

use crate::error::RequestError;
use marquee_core::bounds::{MAX_INTERNAL_MESSAGE_BYTES, MAX_NAME_BYTES};
use marquee_core::id::ModelVersion;
use marquee_proto::v1;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Operations of one request: for each leaf of an ensemble, of each of a batch's surfaces, a few.
const MAX_OPS: usize = 1_000;
/// Bytes of an answer's vectors, lists and texts, a little below what a message may have, for its
/// tags and lengths.
const MAX_ANSWER_BYTES: usize = MAX_INTERNAL_MESSAGE_BYTES - (1 << 20);

fn check_ops(ops: usize) -> Result<(), RequestError> {
    match ops {
        0..=MAX_OPS => Ok(()),
        _ => Err(RequestError::invalid("ops", format!("{ops}: at most {MAX_OPS} are allowed"))),
    }
}

fn check_version(
    field: &str,
    version: Option<v1::ModelVersion>,
) -> Result<ModelVersion, RequestError> {
    let Some(v1::ModelVersion { model, version }) = version else {
        return Err(RequestError::invalid(format!("{field}.version"), "it is missing"));
    };
    if model.len() > MAX_NAME_BYTES {
        let reason = format!("{} bytes: at most {MAX_NAME_BYTES} are allowed", model.len());
        return Err(RequestError::invalid(format!("{field}.version.model"), reason));
    }
    Ok(ModelVersion { model, version })
}

/// Counts the bytes of an answer, while several threads make it.
#[derive(Debug, Default)]
struct AnswerBytes(AtomicUsize);

impl AnswerBytes {
    fn add(&self, bytes: usize) -> Result<(), RequestError> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_ANSWER_BYTES {
            return Err(RequestError::AnswerTooLarge { bound: MAX_ANSWER_BYTES });
        }
        Ok(())
    }
}
