//! Events that a load run makes up, and how it counts them.

use super::engine::LoadConfig;
use super::tally::{Answer, Ended, Served};
use marquee_client::code_name;
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{Event, EventType, RecordEventsRequest};
use std::time::Duration;
use tonic::Code;
use tonic::transport::Channel;

/// Items that the events are of.
const ITEMS: u64 = 100_000;
/// How events divide, in hundredths, as where a tenth of what is shown is clicked.
const MIX: [(EventType, u32); 5] = [
    (EventType::Impression, 80),
    (EventType::Click, 10),
    (EventType::Play, 6),
    (EventType::Rating, 3),
    (EventType::Purchase, 1),
];

/// One run, whose events no other run has.
pub(super) struct Run(u64);

impl Run {
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
        let event = |k: usize| {
            let event_type = event_type(random.u32(..100));
            Event {
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
            }
        };
        RecordEventsRequest { events: (0..config.batch).map(event).collect() }
    }
}

fn event_type(mut hundredth: u32) -> EventType {
    for (event_type, share) in MIX {
        if hundredth < share {
            return event_type;
        }
        hundredth -= share;
    }
    EventType::Impression
}

/// Sends a call; it is answered if every event was accepted.
pub(super) async fn record(
    client: &mut RecommenderServiceClient<Channel>,
    request: RecordEventsRequest,
    deadline: Duration,
) -> Ended {
    let sent = request.events.len();
    let mut request = tonic::Request::new(request);
    request.set_timeout(deadline);
    match tokio::time::timeout(deadline, client.record_events(request)).await {
        Ok(Ok(answer)) if answer.get_ref().accepted as usize == sent => {
            let served = Served { models: "events".into(), variant: "-" };
            Ended::Answered(vec![Answer { served, fallback: false, partial: false }; sent])
        }
        Ok(Ok(_)) => Ended::Failed("NOT_ACCEPTED"),
        Ok(Err(status)) => Ended::Failed(code_name(status.code())),
        Err(_) => Ended::Failed(code_name(Code::DeadlineExceeded)),
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
