//! Requests arrive as a whole before anything is done for them.
//!
//! Headers cost a caller nothing, so a call without its body gets no place among those under way. Most requests come
//! with their headers and wait for nothing. The others have a named time, and a place each in a waiting room, where the
//! oldest of the caller with the most gives way: one who sends headers only keeps out himself only.

use super::evicting::EvictingPlaces;
use bytes::{Buf as _, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use marquee_core::limits::peer::Peer;
use marquee_core::limits::places::PlaceBounds;
use marquee_proto::status::{DetailedStatus, RETRY_UNAVAILABLE};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Code, Status};

/// Requests that arrive at one address at once, beyond those that are there at once. Honest ones take milliseconds.
const MAX_ARRIVING: usize = 1_024;
/// Nobody is refused: the oldest gives way.
const BOUNDS: PlaceBounds = PlaceBounds {
    all: MAX_ARRIVING,
    of_peer: MAX_ARRIVING,
    of_connection: MAX_ARRIVING,
    oldest_gives_way: true,
};
/// Bytes before a message: whether it is compressed, and its length (gRPC over HTTP/2, Length-Prefixed-Message).
const PREFIX_BYTES: usize = 5;

/// The waiting room of one address. Clones share it.
#[derive(Clone)]
pub(super) struct Arrivals {
    waiting: EvictingPlaces,
    within: Duration,
}

impl Arrivals {
    /// Requests have this time to arrive.
    pub(super) fn new(within: Duration) -> Self {
        Self { waiting: EvictingPlaces::default(), within }
    }

    /// Waits for the rest of a request. One that has or declares more than `max_bytes` is refused.
    pub(super) async fn whole(
        &self,
        body: Body,
        peer: &Peer,
        connection: u64,
        max_bytes: usize,
    ) -> Result<Body, DetailedStatus> {
        if body.is_end_stream() {
            return Ok(body);
        }
        let mut request =
            Request { body, frames: VecDeque::new(), bytes: 0, max_bytes, is_whole: false };
        // What is there already waits for nothing.
        if poll_fn(|cx| Poll::Ready(request.poll_whole(cx))).await.is_pending() {
            let place = self.waiting.take(peer, connection, &BOUNDS);
            let mut place = place.map_err(|error| too_many(&error.to_string()))?;
            tokio::select! {
                biased;
                () = poll_fn(|cx| request.poll_whole(cx)) => {}
                () = place.evicted() => return Err(too_many("newer ones took their place")),
                () = tokio::time::sleep(self.within) => {
                    let within = self.within;
                    let says = format!(
                        "the request did not arrive within {within:?} of its headers, the limit of server.request_seconds"
                    );
                    return Err(DetailedStatus::new(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", says));
                }
            }
        }
        if request.is_too_large() {
            let says = format!(
                "the request is larger than {max_bytes} bytes, the most that a message may have: send it in parts"
            );
            return Err(DetailedStatus::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", says));
        }
        Ok(Body::new(request))
    }
}

fn too_many(why: &str) -> DetailedStatus {
    let says = format!("too many requests are arriving here and this one was not whole: {why}");
    let full = DetailedStatus::new(Code::ResourceExhausted, "TOO_MANY_ARRIVING", says);
    full.retry_after(RETRY_UNAVAILABLE)
}

/// A request, and how much of it is there.
struct Request {
    body: Body,
    /// What has arrived and was not read.
    frames: VecDeque<Result<Frame<Bytes>, Status>>,
    /// How many bytes have arrived.
    bytes: usize,
    max_bytes: usize,
    /// Whether nothing more will come.
    is_whole: bool,
}

impl Request {
    /// Ready once nothing more will come, or too much has.
    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_whole && !self.is_too_large() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.is_whole = true,
                Some(frame) => {
                    self.is_whole = frame.is_err() || self.body.is_end_stream();
                    let data = frame.as_ref().ok().and_then(Frame::data_ref);
                    self.bytes += data.map_or(0, Bytes::len);
                    self.frames.push_back(frame);
                }
            }
        }
        Poll::Ready(())
    }

    /// Whether the message is larger than it may be, as far as can be seen.
    fn is_too_large(&self) -> bool {
        let limit = self.max_bytes.saturating_add(PREFIX_BYTES);
        self.bytes > limit || self.declared().is_some_and(|declared| declared > self.max_bytes)
    }

    /// The length that the message declares, once it is there. Only the first frame is looked at: what comes in pieces is
    /// counted.
    fn declared(&self) -> Option<usize> {
        let mut first = self.frames.front()?.as_ref().ok()?.data_ref()?.get(1..PREFIX_BYTES)?;
        usize::try_from(first.get_u32()).ok()
    }
}

impl http_body::Body for Request {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if self.is_whole {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && (self.is_whole || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;
    use tokio_stream::StreamExt as _;
    use tokio_stream::wrappers::ReceiverStream;

    type Frames = mpsc::Sender<Result<Frame<Bytes>, Status>>;

    fn body() -> (Frames, Body) {
        let (sender, receiver) = mpsc::channel(8);
        (sender, Body::new(StreamBody::new(ReceiverStream::new(receiver))))
    }

    fn message(declared: u32, bytes: usize) -> Bytes {
        [&[0], declared.to_be_bytes().as_slice(), &vec![7; bytes]].concat().into()
    }

    fn code(refused: DetailedStatus) -> Code {
        Status::from(refused).code()
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_is_handed_on_and_what_does_not_has_its_time() {
        let arrivals = Arrivals::new(Duration::from_secs(5));
        let (sender, waiting) = body();
        let whole = tokio::spawn({
            let arrivals = arrivals.clone();
            async move { arrivals.whole(waiting, &Peer::Unknown, 1, 100).await }
        });
        for part in [message(10, 4), vec![7; 6].into()] {
            tokio::time::sleep(Duration::from_secs(2)).await;
            sender.send(Ok(Frame::data(part))).await.expect("taken");
        }
        drop(sender);
        let whole = whole.await.expect("no panic").expect("in time");
        assert_eq!(whole.collect().await.expect("whole").to_bytes(), message(10, 10));

        let (_sender, never) = body();
        let refused = arrivals.whole(never, &Peer::Unknown, 1, 100).await;
        assert_eq!(refused.map(drop).map_err(code), Err(Code::DeadlineExceeded));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_too_large_is_not_waited_for() {
        let arrivals = Arrivals::new(Duration::from_secs(5));
        for first in [message(101, 0), message(100, 0)] {
            let (sender, large) = body();
            sender.send(Ok(Frame::data(first))).await.expect("taken");
            sender.send(Ok(Frame::data(vec![7; 101].into()))).await.expect("taken");
            let refused = arrivals.whole(large, &Peer::Unknown, 1, 100).await;
            assert_eq!(refused.map(drop).map_err(code), Err(Code::ResourceExhausted));
            drop(sender);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_those_who_only_begin_gives_way() {
        let arrivals = Arrivals::new(Duration::from_secs(3_600));
        let mut senders = Vec::new();
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..=MAX_ARRIVING {
            let (sender, never) = body();
            senders.push(sender);
            let arrivals = arrivals.clone();
            waiting.spawn(async move {
                (n, arrivals.whole(never, &Peer::Unknown, 1, 100).await.map(drop).map_err(code))
            });
        }
        let first = waiting.join_next().await.expect("there are some").expect("no panic");
        assert_eq!(first, (0, Err(Code::ResourceExhausted)));
        assert_eq!(waiting.len(), MAX_ARRIVING);
        let stream = tokio_stream::iter([Ok(Frame::data(message(3, 3)))]);
        let there = Body::new(StreamBody::new(stream.map(|it: Result<_, Status>| it)));
        assert!(
            arrivals.whole(there, &Peer::Unknown, 2, 100).await.is_ok(),
            "it waits for nothing"
        );
        assert_eq!(waiting.len(), MAX_ARRIVING);
    }
}
