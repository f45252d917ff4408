//! Batches whose answers are sent one by one: together they may be larger than a message.
//!
//! A few requests are answered at a time, and the next ones once the caller has taken those, so a stream keeps little in memory
//! however slowly it is read. Nobody waits for a job as for a page: while the router is pressed, the next part waits a moment.

use crate::admission::request::RankingRequest;
use crate::error::RouterError;
use futures::{Stream, stream};
use marquee_proto::v1;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// Requests that are answered at a time: enough to share round trips and scans, and some megabytes of answers at most.
const PART: usize = 32;
/// How often a part looks whether the router is still pressed, at most, before it takes its chance with the others.
const MAX_LOOKS: usize = 20;
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The answers of one stream.
pub(crate) type BatchStream =
    Pin<Box<dyn Stream<Item = Result<v1::StreamBatchRecommendResponse, Status>> + Send>>;

/// What answers the parts of a batch.
pub(crate) trait BatchAnswers: Send + Sync + 'static {
    /// Whether there is no room for what nobody waits for.
    fn is_pressed(&self) -> bool;

    /// Answers the requests, in order. An error of one names its place among them.
    fn answer(
        &self,
        part: Vec<RankingRequest>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<v1::RecommendResponse>, RouterError>> + Send;
}

/// Streams the answers to the requests, in order, until the first error.
pub(crate) fn stream_answers(
    answers: impl BatchAnswers,
    requests: Vec<RankingRequest>,
    deadline: Instant,
) -> BatchStream {
    let begun = StreamedBatch {
        answers,
        requests: requests.into(),
        answered: 0,
        ready: VecDeque::new(),
        deadline,
    };
    Box::pin(stream::unfold(Some(begun), |batch| async move { batch?.next().await }))
}

/// A batch, as far as it is answered.
struct StreamedBatch<A> {
    answers: A,
    /// The requests that are not answered yet.
    requests: VecDeque<RankingRequest>,
    /// How many requests are answered.
    answered: usize,
    /// Answers that are not sent yet, with their places.
    ready: VecDeque<v1::StreamBatchRecommendResponse>,
    deadline: Instant,
}

impl<A: BatchAnswers> StreamedBatch<A> {
    /// The next answer, and the rest of the batch; none of it after an error.
    async fn next(
        mut self,
    ) -> Option<(Result<v1::StreamBatchRecommendResponse, Status>, Option<Self>)> {
        if self.ready.is_empty()
            && !self.requests.is_empty()
            && let Err(error) = self.answer_part().await
        {
            return Some((Err(error.in_batch_from(self.answered).into()), None));
        }
        let response = self.ready.pop_front()?;
        Some((Ok(response), Some(self)))
    }

    /// Answers the next few requests.
    async fn answer_part(&mut self) -> Result<(), RouterError> {
        for _ in 0..MAX_LOOKS {
            if !self.answers.is_pressed() {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if Instant::now() >= self.deadline {
            return Err(RouterError::Deadline);
        }
        let part: Vec<_> = self.requests.drain(..PART.min(self.requests.len())).collect();
        let responses = self.answers.answer(part, self.deadline).await?;
        for (place, response) in (self.answered..).zip(responses) {
            let index = u32::try_from(place).unwrap_or(u32::MAX);
            self.ready
                .push_back(v1::StreamBatchRecommendResponse { index, response: Some(response) });
        }
        self.answered += self.ready.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use marquee_proto::convert::caller::Recommend;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Answers each request by the user's id, but for the user "gone", and counts the parts.
    #[derive(Clone, Default)]
    struct Named {
        parts: Arc<AtomicUsize>,
        looks: Arc<AtomicUsize>,
        pressed_looks: usize,
    }

    impl BatchAnswers for Named {
        fn is_pressed(&self) -> bool {
            self.looks.fetch_add(1, Ordering::Relaxed) < self.pressed_looks
        }

        async fn answer(
            &self,
            part: Vec<RankingRequest>,
            _: Instant,
        ) -> Result<Vec<v1::RecommendResponse>, RouterError> {
            self.parts.fetch_add(1, Ordering::Relaxed);
            let mut responses = Vec::new();
            for (place, request) in part.iter().enumerate() {
                let user = request.subject.user().unwrap_or_default();
                if user == "gone" {
                    return Err(RouterError::Deadline.in_batch(place));
                }
                let recommendation_id = user.to_owned();
                responses.push(v1::RecommendResponse { recommendation_id, ..Default::default() });
            }
            Ok(responses)
        }
    }

    fn requests(users: impl IntoIterator<Item = String>) -> Vec<RankingRequest> {
        let mut requests = Vec::new();
        for user_id in users {
            let wire = v1::RecommendRequest { user_id, ..Default::default() };
            requests.push(Recommend::from_wire(wire).expect("valid").into());
        }
        requests
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_order_and_no_faster_than_they_are_taken() {
        let answers = Named::default();
        let users = (0..2 * PART + 5).map(|user| user.to_string());
        let mut stream = stream_answers(answers.clone(), requests(users), later());
        for place in 0..2 * PART + 5 {
            let answer = stream.next().await.expect("one for each").expect("answered");
            assert_eq!(answer.index as usize, place);
            assert_eq!(answer.response.expect("there").recommendation_id, place.to_string());
            assert_eq!(answers.parts.load(Ordering::Relaxed), place / PART + 1);
        }
        assert!(stream.next().await.is_none());
        assert!(stream_answers(answers, Vec::new(), later()).next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_names_the_place_in_the_whole_batch_and_is_the_end() {
        let users = (0..2 * PART)
            .map(|user| if user == PART + 3 { "gone".to_owned() } else { user.to_string() });
        let stream = stream_answers(Named::default(), requests(users), later());
        let mut all: Vec<_> = stream.collect().await;
        let error = all.pop().expect("an end").expect_err("gone");
        assert!(error.message().starts_with(&format!("requests[{}]", PART + 3)), "{error:?}");
        assert_eq!(all.len(), PART, "the part before");
        assert!(all.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_waits_while_the_router_is_pressed_and_not_for_ever() {
        for (pressed_looks, waits) in [(3, 3), (usize::MAX, MAX_LOOKS)] {
            let answers = Named { pressed_looks, ..Named::default() };
            let began = Instant::now();
            let mut stream = stream_answers(answers, requests(["u".to_owned()]), later());
            stream.next().await.expect("one").expect("answered");
            // Within a millisecond, which is what timers are exact to.
            let waited = began.elapsed().as_millis() / LOOK_AGAIN.as_millis();
            assert_eq!(waited as usize, waits);
        }
        let late = stream_answers(Named::default(), requests(["u".to_owned()]), Instant::now());
        let error = late.collect::<Vec<_>>().await.pop().expect("an end").expect_err("too late");
        assert_eq!(error.code(), tonic::Code::DeadlineExceeded);
    }
}
