//! For tests of clients and servers: a recommender that answers when its gate is open.

use futures::stream::Empty;
use marquee_proto::v1::recommender_service_server::{RecommenderService, RecommenderServiceServer};
use marquee_proto::v1::{
    BatchRecommendRequest, BatchRecommendResponse, ModelVersion, RankItemsRequest,
    RankItemsResponse, RecommendRequest, RecommendResponse, RecordEventsRequest,
    RecordEventsResponse, SearchItemsRequest, SearchItemsResponse, ServedBy, SimilarItemsRequest,
    SimilarItemsResponse, StreamBatchRecommendRequest, StreamBatchRecommendResponse,
    StreamEventsRequest, StreamEventsResponse, Variant,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

/// Answers every user with `films@1` as baseline, once its gate is open. The user "unknown" is
/// NOT_FOUND at once.
#[derive(Clone, Debug)]
pub struct GatedRecommender {
    gate: watch::Receiver<bool>,
    asked: Arc<AtomicU64>,
}

impl GatedRecommender {
    /// A recommender, and its gate: it answers while that is true.
    pub fn new(open: bool) -> (Self, watch::Sender<bool>) {
        let (sender, gate) = watch::channel(open);
        (Self { gate, asked: Arc::default() }, sender)
    }

    /// How many requests have arrived.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }

    /// The service, to be added to a server.
    pub fn server(&self) -> RecommenderServiceServer<Self> {
        RecommenderServiceServer::new(self.clone())
    }

    async fn answer(&self, request: RecommendRequest) -> Result<RecommendResponse, Status> {
        self.asked.fetch_add(1, Ordering::AcqRel);
        if request.user_id == "unknown" {
            return Err(Status::not_found("unknown"));
        }
        let _ = self.gate.clone().wait_for(|open| *open).await;
        let served_by = ServedBy {
            models: vec![ModelVersion { model: "films".into(), version: 1 }],
            variant: Variant::Baseline.into(),
            ..ServedBy::default()
        };
        Ok(RecommendResponse { served_by: Some(served_by), ..RecommendResponse::default() })
    }
}

#[tonic::async_trait]
impl RecommenderService for GatedRecommender {
    type StreamBatchRecommendStream = Empty<Result<StreamBatchRecommendResponse, Status>>;

    async fn recommend(
        &self,
        request: Request<RecommendRequest>,
    ) -> Result<Response<RecommendResponse>, Status> {
        self.answer(request.into_inner()).await.map(Response::new)
    }

    async fn batch_recommend(
        &self,
        request: Request<BatchRecommendRequest>,
    ) -> Result<Response<BatchRecommendResponse>, Status> {
        let mut responses = Vec::new();
        for request in request.into_inner().requests {
            responses.push(self.answer(request).await?);
        }
        Ok(Response::new(BatchRecommendResponse { responses }))
    }

    async fn stream_batch_recommend(
        &self,
        _: Request<StreamBatchRecommendRequest>,
    ) -> Result<Response<Self::StreamBatchRecommendStream>, Status> {
        Err(Status::unimplemented("tests do not ask"))
    }

    async fn similar_items(
        &self,
        _: Request<SimilarItemsRequest>,
    ) -> Result<Response<SimilarItemsResponse>, Status> {
        Err(Status::unimplemented("tests do not ask"))
    }

    async fn search_items(
        &self,
        _: Request<SearchItemsRequest>,
    ) -> Result<Response<SearchItemsResponse>, Status> {
        Err(Status::unimplemented("tests do not ask"))
    }

    async fn rank_items(
        &self,
        _: Request<RankItemsRequest>,
    ) -> Result<Response<RankItemsResponse>, Status> {
        Err(Status::unimplemented("tests do not ask"))
    }

    async fn record_events(
        &self,
        request: Request<RecordEventsRequest>,
    ) -> Result<Response<RecordEventsResponse>, Status> {
        self.asked.fetch_add(1, Ordering::AcqRel);
        let accepted = request.into_inner().events.len() as u32;
        Ok(Response::new(RecordEventsResponse { accepted, ..RecordEventsResponse::default() }))
    }

    async fn stream_events(
        &self,
        _: Request<Streaming<StreamEventsRequest>>,
    ) -> Result<Response<StreamEventsResponse>, Status> {
        Err(Status::unimplemented("tests do not ask"))
    }
}
