//! One event, and the bytes that the log has of it.
//!
//! ```text
//!  0  1  layout of the record, 1
//!  1  1  type
//!  2  8  time, milliseconds since 1970
//! 10  8  when it arrived, milliseconds since 1970
//! 18  8  value, f64
//! 26     event id, user id, item id, recommendation id: each u16 length and UTF-8
//! ```
//!
//! A quarantined event has one byte before this, the reason. Numbers are little-endian.

use crate::fields::{Fields, put_text};
use crate::forgetting::ForgottenUsers;
use crate::log::RecordFate;
use crate::rules::Reason;
use marquee_core::event::{Event, EventType};

/// The first byte of a record, changed with the layout.
const LAYOUT: u8 = 1;
/// The prefix of ids that are derived from the event.
const DERIVED_PREFIX: &str = "auto-";
/// Bytes of the hash in such an id: two different events never share one.
const DERIVED_BYTES: usize = 16;

/// An event as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// The event, with its id and time.
    pub event: Event,
    /// When it arrived, milliseconds since 1970.
    pub received_ms: u64,
}

/// An event as the quarantine has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// Why it is in quarantine.
    pub reason: Reason,
    /// The event as it would be in the log.
    pub stored: StoredEvent,
}

/// Gives an event what was left out: an id made of what it says, so that saying it again changes nothing,
/// and then the time of its arrival.
pub fn complete(event: &mut Event, now_ms: u64) {
    if event.event_id.is_empty() {
        event.event_id = derived_id(event);
    }
    if event.time_ms == 0 {
        event.time_ms = now_ms;
    }
}

fn derived_id(event: &Event) -> String {
    let Event { event_id: _, user_id, item_id, event_type, value, time_ms, recommendation_id } =
        event;
    let mut hasher = blake3::Hasher::new();
    for text in [user_id, item_id, recommendation_id] {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.update(&[*event_type as u8]);
    hasher.update(&value.to_le_bytes()).update(&time_ms.to_le_bytes());
    let hex = hasher.finalize().to_hex();
    format!("{DERIVED_PREFIX}{}", &hex[..2 * DERIVED_BYTES])
}

/// The memory of an event, and about the bytes that the log will have of it.
pub(crate) fn bytes_of(event: &Event) -> usize {
    const NUMBERS: usize = 34;
    let Event { event_id, user_id, item_id, recommendation_id, .. } = event;
    NUMBERS + event_id.len() + user_id.len() + item_id.len() + recommendation_id.len()
}

/// Appends the record of an event.
pub(crate) fn encode(event: &Event, received_ms: u64, out: &mut Vec<u8>) {
    let Event { event_id, user_id, item_id, event_type, value, time_ms, recommendation_id } = event;
    out.extend_from_slice(&[LAYOUT, *event_type as u8]);
    out.extend_from_slice(&time_ms.to_le_bytes());
    out.extend_from_slice(&received_ms.to_le_bytes());
    out.extend_from_slice(&value.to_le_bytes());
    for text in [event_id, user_id, item_id, recommendation_id] {
        put_text(out, text);
    }
}

fn type_of(byte: u8) -> Option<EventType> {
    EventType::ALL.into_iter().find(|known| *known as u8 == byte)
}

impl StoredEvent {
    /// Reads a record; `None` if it is none.
    pub fn decode(record: &[u8]) -> Option<Self> {
        let mut fields = Fields(record);
        if fields.byte()? != LAYOUT {
            return None;
        }
        let event_type = type_of(fields.byte()?)?;
        let (time_ms, received_ms, value) = (fields.u64()?, fields.u64()?, fields.f64()?);
        let mut text = || fields.text().map(str::to_owned);
        let (event_id, user_id, item_id, recommendation_id) = (text()?, text()?, text()?, text()?);
        fields.end()?;
        let event =
            Event { event_id, user_id, item_id, event_type, value, time_ms, recommendation_id };
        Some(Self { event, received_ms })
    }
}

impl Quarantined {
    /// Reads a record; `None` if it is none.
    pub fn decode(record: &[u8]) -> Option<Self> {
        let (reason, stored) = record.split_first()?;
        Some(Self { reason: Reason::from_byte(*reason)?, stored: StoredEvent::decode(stored)? })
    }
}

/// What becomes of a record of the log of events once these users are forgotten. A record of a later version, which
/// cannot be read, stays.
pub(crate) fn fate_of_event(record: &[u8], forgotten: &ForgottenUsers) -> RecordFate {
    match StoredEvent::decode(record) {
        Some(stored) if forgotten.has_user(&stored.event.user_id) => RecordFate::Erase,
        Some(_) | None => RecordFate::Keep,
    }
}

/// The same of a record of the quarantine.
pub(crate) fn fate_of_quarantined(record: &[u8], forgotten: &ForgottenUsers) -> RecordFate {
    match Quarantined::decode(record) {
        Some(found) if forgotten.has_user(&found.stored.event.user_id) => RecordFate::Erase,
        Some(_) | None => RecordFate::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forgetting::tests::forgetting_ann;
    use proptest::prelude::*;

    fn play() -> Event {
        Event {
            user_id: "u".into(),
            item_id: "i".into(),
            event_type: EventType::Play,
            value: 60.0,
            time_ms: 7,
            ..Event::default()
        }
    }

    #[test]
    fn a_derived_id_is_of_what_the_event_says() {
        let id = |event: Event| {
            let mut event = event;
            complete(&mut event, 1_000);
            event.event_id
        };
        let of_play = id(play());
        assert_eq!(of_play.len(), DERIVED_PREFIX.len() + 32);
        assert_eq!(of_play, id(play()), "the same again is the same event");
        for other in [
            Event { user_id: "v".into(), ..play() },
            Event { item_id: "j".into(), ..play() },
            Event { event_type: EventType::Click, ..play() },
            Event { value: 61.0, ..play() },
            Event { time_ms: 8, ..play() },
            Event { recommendation_id: "r".into(), ..play() },
            Event { user_id: "ui".into(), item_id: String::new(), ..play() },
        ] {
            assert_ne!(of_play, id(other.clone()), "{other:?}");
        }
        // Without a time, a retry a second later is still the same.
        let timeless = Event { time_ms: 0, ..play() };
        let mut later = timeless.clone();
        complete(&mut later, 2_000);
        assert_eq!((id(timeless), 2_000), (later.event_id, later.time_ms));
        assert_eq!(id(Event { event_id: "mine".into(), ..play() }), "mine");
    }

    #[test]
    fn records_of_a_forgotten_user_go_and_those_of_others_stay() {
        let forgotten = ForgottenUsers::of(&forgetting_ann());
        for (user, fate) in
            [("ann", RecordFate::Erase), ("anna", RecordFate::Keep), ("bob", RecordFate::Keep)]
        {
            let mut record = Vec::new();
            encode(
                &Event { user_id: user.into(), item_id: "ann".into(), ..play() },
                7,
                &mut record,
            );
            assert_eq!(fate_of_event(&record, &forgotten), fate, "{user}");
            record.insert(0, Reason::Late as u8);
            assert_eq!(fate_of_quarantined(&record, &forgotten), fate, "{user}");
        }
        assert_eq!(fate_of_event(b"\xffof a later version", &forgotten), RecordFate::Keep);
    }

    proptest! {
        #[test]
        fn records_read_back(
            texts in prop::array::uniform4(".{0,40}"),
            event_type in prop::sample::select(&EventType::ALL[..]),
            numbers in any::<(u64, u64, f64)>(),
        ) {
            let [event_id, user_id, item_id, recommendation_id] = texts;
            let (time_ms, received_ms, value) = numbers;
            prop_assume!(!value.is_nan());
            let event =
                Event { event_id, user_id, item_id, event_type, value, time_ms, recommendation_id };
            let mut bytes = Vec::new();
            encode(&event, received_ms, &mut bytes);
            prop_assert_eq!(StoredEvent::decode(&bytes), Some(StoredEvent { event, received_ms }));
            for end in 0..bytes.len() {
                prop_assert_eq!(StoredEvent::decode(&bytes[..end]), None);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = StoredEvent::decode(&bytes);
            let _ = Quarantined::decode(&bytes);
        }
    }
}
