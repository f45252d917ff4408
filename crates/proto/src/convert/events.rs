//! Events that callers send, and recent items that routers tell each other.
//!
//! A request is checked for what fails it as a whole, its number of events. What is wrong with one event
//! is found by rules that know the clock, elsewhere: it must not fail the others.

use super::caller_error::{CallerError, check_length};
use crate::generated::node::v1 as node;
use crate::generated::v1;
use marquee_core::bounds::{MAX_EVENTS, MAX_ID_BYTES, MAX_SHARED_ITEMS};
use marquee_core::event::{Event, EventType};

/// The events of a RecordEvents call.
///
/// # Errors
/// None, or too many.
pub fn recorded(request: v1::RecordEventsRequest) -> Result<Vec<Event>, CallerError> {
    let v1::RecordEventsRequest { events } = request;
    checked(events)
}

/// The events of one message of a StreamEvents call.
///
/// # Errors
/// None, or too many.
pub fn streamed(request: v1::StreamEventsRequest) -> Result<Vec<Event>, CallerError> {
    let v1::StreamEventsRequest { events } = request;
    checked(events)
}

/// Checks how many events there are, and converts them.
fn checked(events: Vec<v1::Event>) -> Result<Vec<Event>, CallerError> {
    check_length("events", events.len(), MAX_EVENTS)?;
    if events.is_empty() {
        return Err(CallerError::Nothing { field: "events".into(), max: MAX_EVENTS });
    }
    Ok(events.into_iter().map(event).collect())
}

fn event(event: v1::Event) -> Event {
    let event_type = match event.r#type() {
        v1::EventType::Unspecified => EventType::Unknown,
        v1::EventType::Impression => EventType::Impression,
        v1::EventType::Click => EventType::Click,
        v1::EventType::Play => EventType::Play,
        v1::EventType::Purchase => EventType::Purchase,
        v1::EventType::Rating => EventType::Rating,
    };
    // A number that is no type of this version reads as unspecified.
    let v1::Event { event_id, user_id, item_id, r#type: _, value, time_ms, recommendation_id } =
        event;
    Event { event_id, user_id, item_id, event_type, value, time_ms, recommendation_id }
}

/// What other routers are told of an event. `event_key`: the key by which they recognise it if it comes again.
pub fn to_recent_item(event: &Event, event_key: u128) -> node::RecentItem {
    let Event {
        event_id: _,
        user_id,
        item_id,
        event_type: _,
        value: _,
        time_ms,
        recommendation_id: _,
    } = event;
    node::RecentItem {
        user_id: user_id.clone(),
        item_id: item_id.clone(),
        time_ms: *time_ms,
        event_key: event_key.to_le_bytes().into(),
    }
}

/// An item that a user has just seen, as another router recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedItem {
    /// The user's id.
    pub user_id: String,
    /// The item's id.
    pub item_id: String,
    /// When, in ms since the Unix epoch.
    pub time_ms: u64,
    /// The key of the event, by which it is recognised if it comes again; none from a router that does not say.
    pub event_key: Option<u128>,
}

/// The recent items that another router tells of, without those that are out of bounds.
pub fn recent_items(request: node::ShareRecentItemsRequest) -> impl Iterator<Item = SharedItem> {
    let node::ShareRecentItemsRequest { items } = request;
    let is_id = |id: &str| (1..=MAX_ID_BYTES).contains(&id.len());
    items.into_iter().take(MAX_SHARED_ITEMS).filter_map(move |item| {
        let node::RecentItem { user_id, item_id, time_ms, event_key } = item;
        let event_key = event_key.try_into().ok().map(u128::from_le_bytes);
        let shared = SharedItem { user_id, item_id, time_ms, event_key };
        if is_id(&shared.user_id) && is_id(&shared.item_id) { Some(shared) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_arrives() {
        let sent = v1::Event {
            event_id: "e".into(),
            user_id: "u".into(),
            item_id: "i".into(),
            r#type: v1::EventType::Play.into(),
            value: 1.5,
            time_ms: 7,
            recommendation_id: "r".into(),
        };
        let request = v1::RecordEventsRequest {
            events: vec![sent.clone(), v1::Event { r#type: 99, ..sent }],
        };
        let read = recorded(request).expect("valid");
        let expected = Event {
            event_id: "e".into(),
            user_id: "u".into(),
            item_id: "i".into(),
            event_type: EventType::Play,
            value: 1.5,
            time_ms: 7,
            recommendation_id: "r".into(),
        };
        assert_eq!(read[0], expected);
        assert_eq!(read[1], Event { event_type: EventType::Unknown, ..expected.clone() });
        let item = to_recent_item(&expected, 1 << 100);
        let without = node::RecentItem { event_key: vec![1; 15], ..item.clone() };
        let items = vec![node::RecentItem::default(), item, without];
        let shared = node::ShareRecentItemsRequest { items };
        let shared: Vec<_> = recent_items(shared).collect();
        let expected_item = |event_key| SharedItem {
            user_id: "u".into(),
            item_id: "i".into(),
            time_ms: 7,
            event_key,
        };
        assert_eq!(shared, [expected_item(Some(1 << 100)), expected_item(None)]);
    }

    #[test]
    fn a_call_has_some_events_and_not_too_many() {
        let call = |count| {
            let events = vec![v1::Event::default(); count];
            let unary = recorded(v1::RecordEventsRequest { events: events.clone() });
            let stream = streamed(v1::StreamEventsRequest { events });
            assert_eq!(unary, stream);
            unary.map(|events| events.len()).map_err(|error| error.to_string())
        };
        assert_eq!(call(1_000), Ok(1_000));
        assert_eq!(call(0), Err("events is empty: give 1 to 1000 entries".into()));
        assert_eq!(call(1_001), Err("events has 1001 entries: at most 1000 are allowed".into()));
    }
}
