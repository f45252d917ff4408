//! Streams that last for as long as their peer wants: watches, telemetry, raft, events.
//!
//! They would fill the limit of calls under way and delay every shutdown, so they are not counted there. Each kind has
//! places of its own, so many of one connection, of one caller and in all; who holds most of them gives way to those who
//! hold fewer. A stream that has to go ends with RESOURCE_EXHAUSTED.

use super::evicting::{EvictingPlaces, HeldPlace};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use marquee_core::bounds::MAX_NODES;
use marquee_core::limits::peer::Peer;
use marquee_core::limits::places::PlaceBounds;
use marquee_proto::status::{DetailedStatus, RETRY_UNAVAILABLE};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};

/// One kind of streams: its RPC, and how many there may be.
struct StreamKind {
    path: &'static str,
    all: usize,
    /// Of one who has proved who it is.
    of_identity: usize,
    /// Of one address whose callers have not: all nodes of a cluster on one machine have the same.
    of_network: usize,
    of_connection: usize,
}

/// Streams of each kind of a node: the one it uses, and those that it left when it connected anew.
const OF_NODE: usize = 8;
/// Streams of each kind of one address, where many nodes may be behind it.
const OF_MACHINE: usize = 256;

/// Every RPC with a stream.
const KINDS: &[StreamKind] = &[
    // Two for each node that a cluster may have, because one that reconnects may have two for a while.
    StreamKind {
        path: "/marquee.control.v1.ControlService/WatchPlan",
        all: 2 * MAX_NODES,
        of_identity: OF_NODE,
        of_network: OF_MACHINE,
        of_connection: OF_NODE,
    },
    StreamKind {
        path: "/marquee.control.v1.ControlService/ReportTelemetry",
        all: 2 * MAX_NODES,
        of_identity: OF_NODE,
        of_network: OF_MACHINE,
        of_connection: OF_NODE,
    },
    // Five voters at most.
    StreamKind {
        path: "/marquee.raft.v1.RaftService/Step",
        all: 64,
        of_identity: OF_NODE,
        of_network: 32,
        of_connection: OF_NODE,
    },
    // Terminals and dashboards.
    StreamKind {
        path: "/marquee.control.v1.ControlService/WatchRollout",
        all: 512,
        of_identity: 64,
        of_network: 128,
        of_connection: 32,
    },
    // Each holds a copy of all that control keeps.
    StreamKind {
        path: "/marquee.control.v1.ControlService/BackUp",
        all: 8,
        of_identity: 2,
        of_network: 4,
        of_connection: 2,
    },
    // Jobs, each of which has a few requests computed at a time.
    StreamKind {
        path: "/marquee.v1.RecommenderService/StreamBatchRecommend",
        all: 64,
        of_identity: 16,
        of_network: 16,
        of_connection: 8,
    },
    // As many as the router takes; services of one name run on many machines.
    StreamKind {
        path: "/marquee.v1.RecommenderService/StreamEvents",
        all: 256,
        of_identity: 128,
        of_network: 128,
        of_connection: 32,
    },
    // Load balancers.
    StreamKind {
        path: "/grpc.health.v1.Health/Watch",
        all: 1_024,
        of_identity: 128,
        of_network: OF_MACHINE,
        of_connection: 16,
    },
    // grpcurl, one at a time.
    StreamKind {
        path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        all: 64,
        of_identity: 16,
        of_network: 16,
        of_connection: 4,
    },
    StreamKind {
        path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        all: 64,
        of_identity: 16,
        of_network: 16,
        of_connection: 4,
    },
];

/// The places for streams of one address. Clones share them.
#[derive(Clone)]
pub(super) struct Streams {
    /// In the order of [`KINDS`].
    places: Vec<EvictingPlaces>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { places: KINDS.iter().map(|_| EvictingPlaces::default()).collect() }
    }

    /// Takes a place for a call of this path; none if it has no stream.
    pub(super) fn take(
        &self,
        path: &str,
        peer: &Peer,
        connection: u64,
    ) -> Option<Result<HeldPlace, DetailedStatus>> {
        let (kind, places) = KINDS.iter().zip(&self.places).find(|(kind, _)| kind.path == path)?;
        let bounds = PlaceBounds {
            all: kind.all,
            of_peer: if peer.is_identified() { kind.of_identity } else { kind.of_network },
            of_connection: kind.of_connection,
            oldest_gives_way: false,
        };
        Some(places.take(peer, connection, &bounds).map_err(|no_place| {
            let says = format!("too many of these streams are open here: {no_place}");
            let full = DetailedStatus::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", says);
            full.retry_after(RETRY_UNAVAILABLE)
        }))
    }
}

/// What a stream that has to go ends with.
pub(super) fn evicted() -> Status {
    let says = "too many of these streams are open here, and this one gave way to one of a caller that has fewer";
    let gone = DetailedStatus::new(Code::ResourceExhausted, "TOO_MANY_STREAMS", says);
    gone.retry_after(RETRY_UNAVAILABLE).into()
}

/// The answers of a stream, while it has its place.
pub(super) struct HeldStream {
    body: Body,
    place: HeldPlace,
    has_ended: bool,
}

impl HeldStream {
    pub(super) fn new(body: Body, place: HeldPlace) -> Self {
        Self { body, place, has_ended: false }
    }
}

impl http_body::Body for HeldStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.place.poll_evicted(cx).is_ready() {
            self.has_ended = true;
            self.body = Body::empty();
            let mut trailers = HeaderMap::new();
            return Poll::Ready(match evicted().add_header(&mut trailers) {
                Ok(()) => Some(Ok(Frame::trailers(trailers))),
                Err(status) => Some(Err(status)),
            });
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use marquee_core::access::access_to;
    use marquee_proto::FILE_DESCRIPTOR_SET;
    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use std::collections::BTreeSet;

    #[test]
    fn every_rpc_with_a_stream_is_known_as_one() {
        let ours = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
        let health = FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let mut streams = BTreeSet::new();
        for file in ours.file.iter().chain(&health.expect("descriptors").file) {
            for service in &file.service {
                for method in &service.method {
                    if method.client_streaming() || method.server_streaming() {
                        let names = (file.package(), service.name(), method.name());
                        streams.insert(format!("/{}.{}/{}", names.0, names.1, names.2));
                    }
                }
            }
        }
        let known = KINDS.iter().map(|kind| kind.path.to_owned());
        let known: BTreeSet<_> = known.filter(|path| !path.contains("reflection")).collect();
        assert_eq!(known, streams);
        assert!(KINDS.iter().all(|kind| access_to(kind.path).is_some()));
    }

    #[tokio::test]
    async fn a_stream_that_has_to_go_says_why_and_when_to_come_back() {
        let streams = Streams::new();
        let path = "/marquee.control.v1.ControlService/WatchPlan";
        let take = |connection: u64| {
            let node = Peer::Network("10.0.0.7".parse().expect("an address"));
            streams.take(path, &node, connection).expect("it is a stream")
        };
        let mut held = Vec::new();
        for n in 0..OF_MACHINE {
            held.push(take((n / OF_NODE) as u64).map_err(|_| n).expect("there is room"));
        }
        assert!(take(0).is_err(), "the connection has all that it may have");
        let mut oldest = HeldStream::new(Body::empty(), held.remove(0));
        take(1_000).map_err(drop).expect("one of a connection with more gives way");
        let frame = oldest.frame().await.expect("an end").expect("trailers");
        let trailers = frame.into_trailers().expect("trailers");
        let status = Status::from_header_map(&trailers).expect("a status");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(http_body::Body::is_end_stream(&oldest));
        assert!(
            streams.take("/marquee.v1.RecommenderService/Recommend", &Peer::Unknown, 1).is_none()
        );
    }
}
