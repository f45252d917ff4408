//! The service: the same object for gRPC and for a router in the same process.

use crate::deadline::deadline_of;
use crate::engine::{lookup, search};
use crate::error::RequestError;
use crate::pool::Pool;
use crate::table::Table;
use arc_swap::ArcSwap;
use marquee_core::bounds::MAX_INTERNAL_MESSAGE_BYTES;
use marquee_core::ranking::strategy::SearchStrategy;
use marquee_core::time_spent::Spent;
use marquee_proto::shard::v1::shard_service_server::{ShardService, ShardServiceServer};
use marquee_proto::shard::v1::{LookupRequest, LookupResponse, SearchRequest, SearchResponse};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Answers lookups and searches from the replicas that are AVAILABLE.
pub struct ShardApi {
    pub(crate) table: Arc<ArcSwap<Table>>,
    pub(crate) pool: Pool,
    pub(crate) spent: Arc<OperationsSpent>,
}

/// The time that the operations took in all, on whichever threads, and how searches were made.
#[derive(Debug, Default)]
pub struct OperationsSpent {
    /// Rows looked up.
    pub lookup: Spent,
    /// Items searched for, and described.
    pub search: Spent,
    /// How the searches were made.
    pub strategies: StrategyCounts,
}

/// How many searches of a shard's matrix used each [`SearchStrategy`].
#[derive(Debug, Default)]
pub struct StrategyCounts([AtomicU64; SearchStrategy::ALL.len()]);

impl StrategyCounts {
    pub(crate) fn count(&self, strategy: SearchStrategy) {
        self.0[strategy as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The strategies that were used so far, and how many times.
    pub fn used(&self) -> impl Iterator<Item = (SearchStrategy, u64)> + '_ {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        SearchStrategy::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0)
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

    async fn look_up(
        &self,
        metadata: &MetadataMap,
        request: LookupRequest,
    ) -> Result<LookupResponse, RequestError> {
        let deadline = deadline_of(metadata, Instant::now())?;
        let work = lookup::check(request, &self.table.load(), &self.spent)?;
        let shape = work.shape();
        Ok(lookup::response(shape, self.pool.run(work, deadline).await?))
    }

    async fn find(
        &self,
        metadata: &MetadataMap,
        request: SearchRequest,
    ) -> Result<SearchResponse, RequestError> {
        let deadline = deadline_of(metadata, Instant::now())?;
        let work = search::check(request, &self.table.load(), &self.spent)?;
        let shape = work.shape();
        Ok(search::response(shape, self.pool.run(work, deadline).await?))
    }
}

#[tonic::async_trait]
impl ShardService for ShardApi {
    async fn lookup(
        &self,
        request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let plan_epoch = request.plan_epoch;
        let answer = self.look_up(&metadata, request).await;
        answer.map(Response::new).map_err(|error| refusal("lookup", plan_epoch, error))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let plan_epoch = request.plan_epoch;
        let answer = self.find(&metadata, request).await;
        answer.map(Response::new).map_err(|error| refusal("search", plan_epoch, error))
    }
}

/// The one place where a request's error is logged: for people who look, since the caller is told.
fn refusal(operation: &'static str, plan_epoch: u64, error: RequestError) -> Status {
    tracing::debug!(operation, plan_epoch, %error, "request refused");
    error.into()
}
