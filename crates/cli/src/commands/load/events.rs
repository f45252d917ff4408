//! Generated events of a load run, and how their calls are counted.

use super::config::LoadConfig;
use super::tally::{AnsweredBy, CallResult, CountedAnswer};
use marquee_client::{Connection, code_name};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{Event, EventType, RecordEventsRequest};
use std::time::Duration;
use tonic::Code;

/// How many different items the events have.
const ITEMS: u64 = 100_000;
/// Shares of the event types in percent, for a click rate of a tenth.
const MIX: [(EventType, u32); 5] = [
    (EventType::Impression, 80),
    (EventType::Click, 10),
    (EventType::Play, 6),
    (EventType::Rating, 3),
    (EventType::Purchase, 1),
];

/// Makes the events of one run; their ids contain the run's random number.
pub(super) struct EventGenerator(u64);

impl EventGenerator {
    /// A generator with a new random number.
    pub(super) fn new() -> Self {
        Self(fastrand::u64(..))
    }

    /// The events of call `n`.
    pub(super) fn request(
        &self,
        n: u64,
        config: &LoadConfig,
        random: &mut fastrand::Rng,
    ) -> RecordEventsRequest {
        let mut events = Vec::with_capacity(config.batch);
        for k in 0..config.batch {
            let event_type = event_type(random.u32(..100));
            events.push(Event {
                event_id: format!("{:016x}-{n:x}-{k:x}", self.0),
                user_id: config.users.pick(random.f64()).into(),
                item_id: format!("item-{}", random.u64(..ITEMS)),
                r#type: event_type.into(),
                value: match event_type {
                    EventType::Play => f64::from(random.u32(..7_200)),
                    EventType::Rating => f64::from(random.u32(1..=10)) / 2.0,
                    EventType::Purchase => 9.99,
                    _ => 0.0,
                },
                time_ms: 0,
                recommendation_id: format!("{:016x}-{n:x}", !self.0),
            });
        }
        RecordEventsRequest { events }
    }
}

/// The event type at a draw of 0 to 99 from [`MIX`].
fn event_type(mut hundredth: u32) -> EventType {
    for (event_type, share) in MIX {
        if hundredth < share {
            return event_type;
        }
        hundredth -= share;
    }
    EventType::Impression
}

/// Sends a call; it counts as answered if every event was accepted.
pub(super) async fn record(
    client: &mut RecommenderServiceClient<Connection>,
    request: RecordEventsRequest,
    deadline: Duration,
) -> CallResult {
    let sent = request.events.len();
    let mut request = tonic::Request::new(request);
    request.set_timeout(deadline);
    match tokio::time::timeout(deadline, client.record_events(request)).await {
        Ok(Ok(answer)) if answer.get_ref().accepted as usize == sent => {
            let answered_by = AnsweredBy { models: "events".into(), variant: "-" };
            let answer = CountedAnswer { answered_by, fallback: false, partial: false };
            CallResult::Answered(vec![answer; sent])
        }
        Ok(Ok(_)) => CallResult::Failed("NOT_ACCEPTED"),
        Ok(Err(status)) => CallResult::Failed(code_name(status.code())),
        Err(_) => CallResult::Failed(code_name(Code::DeadlineExceeded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_whole() {
        assert_eq!(MIX.iter().map(|(_, share)| share).sum::<u32>(), 100);
        assert_eq!((event_type(0), event_type(79)), (EventType::Impression, EventType::Impression));
        assert_eq!((event_type(80), event_type(99)), (EventType::Click, EventType::Purchase));
    }
}
