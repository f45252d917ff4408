//! The service: the same object for gRPC and for a router in the same process.

use crate::audit::LiveAudit;
use crate::deadline::deadline_of;
use crate::engine::lookup::{Lookup, rows_by_lookup};
use crate::engine::search::{Search, results_by_search};
use crate::engine::table::ReplicaTable;
use crate::error::RequestError;
use crate::pool::{Pool, WorkTerms};
use crate::usage::{LoadedReplica, OperationsSpent};
use crate::wire;
use arc_swap::ArcSwap;
use marquee_core::bounds::MAX_INTERNAL_MESSAGE_BYTES;
use marquee_proto::overload::priority_of;
use marquee_proto::shard::v1::shard_service_server::{ShardService, ShardServiceServer};
use marquee_proto::shard::v1::{LookupRequest, LookupResponse, SearchRequest, SearchResponse};
use std::sync::Arc;
use std::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Answers lookups and searches from the replicas that are AVAILABLE.
pub struct ShardApi {
    pub(crate) table: Arc<ArcSwap<ReplicaTable>>,
    pub(crate) pool: Pool,
    pub(crate) spent: Arc<OperationsSpent>,
    pub(crate) audit: Arc<LiveAudit>,
}

impl Drop for ShardApi {
    fn drop(&mut self) {
        self.audit.close();
    }
}

impl ShardApi {
    /// This service as a gRPC server, with room for the messages between nodes.
    pub fn server(self: &Arc<Self>) -> ShardServiceServer<Self> {
        ShardServiceServer::from_arc(Arc::clone(self))
            .max_decoding_message_size(MAX_INTERNAL_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_INTERNAL_MESSAGE_BYTES)
    }

    /// The time that its operations took so far.
    pub fn spent(&self) -> &OperationsSpent {
        &self.spent
    }

    /// The replicas that answer, with what was counted of them.
    pub fn loaded_replicas(&self) -> Vec<LoadedReplica> {
        let table = self.table.load();
        let mut loaded = Vec::new();
        for (key, replica) in table.all() {
            loaded.push(LoadedReplica {
                key: key.clone(),
                bytes_mapped: replica.shard.bytes_mapped(),
                searches: replica.counts.strategies.used().collect(),
                rows_read: replica.counts.rows_read(),
            });
        }
        loaded
    }

    /// How many queries and keys are admitted and not answered yet.
    pub fn queued(&self) -> usize {
        self.pool.admitted()
    }

    async fn answer_lookup(
        &self,
        metadata: &MetadataMap,
        request: LookupRequest,
    ) -> Result<LookupResponse, RequestError> {
        let deadline = deadline_of(metadata, Instant::now())?;
        let terms = WorkTerms { deadline, priority: priority_of(metadata) };
        let specs = wire::lookup::parse(request)?;
        let work = Lookup::place(specs, &self.table.load(), &self.spent)?;
        let shape = work.shape();
        let faults = marquee_bundle::faults();
        let found = self.pool.run(work, terms).await;
        check_faults(faults)?;
        let found = found?;
        Ok(wire::lookup::response(rows_by_lookup(&shape, found)))
    }

    async fn answer_search(
        &self,
        metadata: &MetadataMap,
        request: SearchRequest,
    ) -> Result<SearchResponse, RequestError> {
        let deadline = deadline_of(metadata, Instant::now())?;
        let terms = WorkTerms { deadline, priority: priority_of(metadata) };
        let specs = wire::search::parse(request)?;
        let work = Search::place(specs, &self.table.load(), (&self.spent, &self.audit))?;
        let shape = work.shape();
        let faults = marquee_bundle::faults();
        let found = self.pool.run(work, terms).await;
        check_faults(faults)?;
        let found = found?;
        Ok(wire::search::response(results_by_search(&shape, found)))
    }
}

#[tonic::async_trait]
impl ShardService for ShardApi {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let plan_epoch = message.plan_epoch;
        let answer = self.answer_lookup(&metadata, message).await;
        answer.map(Response::new).map_err(|error| refusal("lookup", plan_epoch, error))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let plan_epoch = message.plan_epoch;
        let answer = self.answer_search(&metadata, message).await;
        answer.map(Response::new).map_err(|error| refusal("search", plan_epoch, error))
    }
}

/// Refuses what was computed while a mapped file turned out to be unreadable, of whichever shard.
fn check_faults(before: u64) -> Result<(), RequestError> {
    if marquee_bundle::faults() == before { Ok(()) } else { Err(RequestError::Unreadable) }
}

/// Logs a request's error, here and nowhere else, and turns it into a gRPC status.
fn refusal(operation: &'static str, plan_epoch: u64, error: RequestError) -> Status {
    tracing::debug!(operation, plan_epoch, %error, "request refused");
    error.into()
}
