//! Whether an event is accepted, quarantined or refused, and why: pure, so that every rule is a line in a
//! test.
//!
//! *Refused* is what cannot be an event: the caller has an error to correct, and nothing is kept of it.
//! *Quarantined* is what is well formed but not plausible, or too late to be counted: it is kept in a log of
//! its own, where operators can look, and reaches no model, no filter and no gate.

use marquee_core::bounds::MAX_ID_BYTES;
use marquee_core::event::{Event, EventType};
use marquee_core::id::has_outer_space;

/// Bytes of an event id: room for a UUID with a prefix or two.
pub const MAX_EVENT_ID_BYTES: usize = 128;
/// Bytes of a recommendation id: ours have some twenty, and a caller may wrap them.
pub const MAX_RECOMMENDATION_ID_BYTES: usize = 512;
/// Seconds of one play: no user watches or plays for longer without a pause.
pub const MAX_PLAY_SECONDS: f64 = 24.0 * 3_600.0;
/// Money of one purchase, in whichever currency: a game costs some hundred thousand of the smallest.
pub const MAX_PURCHASE_VALUE: f64 = 1e9;
/// The value of impressions and clicks, where it is no more than a number of them.
pub const MAX_COUNT_VALUE: f64 = 1e6;

/// The bounds of plausible events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventLimits {
    /// Milliseconds after which an event is too late.
    pub max_age_ms: u64,
    /// Milliseconds that a caller's clock may be ahead of ours.
    pub max_skew_ms: u64,
    /// The least and the greatest rating.
    pub ratings: (f64, f64),
}

impl Default for EventLimits {
    fn default() -> Self {
        Self { max_age_ms: 7 * 24 * 3_600_000, max_skew_ms: 60_000, ratings: (0.0, 10.0) }
    }
}

/// Why an event is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// No user or no item.
    MissingField = 1,
    /// An id beyond its bound.
    OversizedField = 2,
    /// A type that this version does not know.
    UnknownType = 3,
    /// The value is no finite number.
    NotFinite = 4,
    /// It happened more than [`EventLimits::max_age_ms`] ago.
    Late = 5,
    /// From the future, by more than [`EventLimits::max_skew_ms`].
    FutureDated = 6,
    /// A value that its type cannot have.
    ImplausibleValue = 7,
    /// A recommendation id that says a router gave it, and none did.
    FalseRecommendationId = 8,
    /// The cluster forgets its user.
    ForgottenUser = 9,
    /// White space around the id of the user or the item, which training takes off.
    OuterSpace = 10,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::MissingField,
        Self::OversizedField,
        Self::UnknownType,
        Self::NotFinite,
        Self::Late,
        Self::FutureDated,
        Self::ImplausibleValue,
        Self::FalseRecommendationId,
        Self::ForgottenUser,
        Self::OuterSpace,
    ];

    /// Its name in counters and exports, such as `missing_field`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingField => "missing_field",
            Self::OversizedField => "oversized_field",
            Self::UnknownType => "unknown_type",
            Self::NotFinite => "not_finite",
            Self::Late => "late",
            Self::FutureDated => "future_dated",
            Self::ImplausibleValue => "implausible_value",
            Self::FalseRecommendationId => "false_recommendation_id",
            Self::ForgottenUser => "forgotten_user",
            Self::OuterSpace => "outer_space",
        }
    }

    /// Whether nothing is kept of the event.
    pub fn is_refusal(self) -> bool {
        match self {
            Self::MissingField
            | Self::OversizedField
            | Self::UnknownType
            | Self::NotFinite
            | Self::ForgottenUser
            | Self::OuterSpace => true,
            Self::Late
            | Self::FutureDated
            | Self::ImplausibleValue
            | Self::FalseRecommendationId => false,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == byte)
    }
}

/// Where an event is to go. Duplicates are found later, by the one thread that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classification {
    /// To the log of events.
    Accept,
    /// The event is quarantined, for this reason.
    Quarantine(Reason),
    /// Nowhere: nothing is kept of it.
    Refuse(Reason),
}

/// Classifies an event that is [complete](crate::complete).
pub fn classify(event: &Event, now_ms: u64, limits: &EventLimits) -> Classification {
    match broken_rule(event, now_ms, limits) {
        None => Classification::Accept,
        Some(reason) if reason.is_refusal() => Classification::Refuse(reason),
        Some(reason) => Classification::Quarantine(reason),
    }
}

/// The first rule that the event breaks. Malformed comes before implausible: what is refused for its form is
/// never kept.
fn broken_rule(event: &Event, now_ms: u64, limits: &EventLimits) -> Option<Reason> {
    let Event { event_id, user_id, item_id, event_type, value, time_ms, recommendation_id } = event;
    if user_id.is_empty() || item_id.is_empty() || event_id.is_empty() {
        return Some(Reason::MissingField);
    }
    let oversized = user_id.len() > MAX_ID_BYTES
        || item_id.len() > MAX_ID_BYTES
        || event_id.len() > MAX_EVENT_ID_BYTES
        || recommendation_id.len() > MAX_RECOMMENDATION_ID_BYTES;
    if oversized {
        return Some(Reason::OversizedField);
    }
    if has_outer_space(user_id) || has_outer_space(item_id) {
        return Some(Reason::OuterSpace);
    }
    let (least, greatest) = match event_type {
        EventType::Unknown => return Some(Reason::UnknownType),
        EventType::Impression | EventType::Click => (0.0, MAX_COUNT_VALUE),
        EventType::Play => (0.0, MAX_PLAY_SECONDS),
        EventType::Purchase => (0.0, MAX_PURCHASE_VALUE),
        EventType::Rating => limits.ratings,
    };
    if !value.is_finite() {
        return Some(Reason::NotFinite);
    }
    if *time_ms > now_ms.saturating_add(limits.max_skew_ms) {
        return Some(Reason::FutureDated);
    }
    if *time_ms < now_ms.saturating_sub(limits.max_age_ms) {
        return Some(Reason::Late);
    }
    if *value < least || *value > greatest {
        return Some(Reason::ImplausibleValue);
    }
    None
}

/// What is wrong with an event and what would be right, for the caller.
pub fn explain(event: &Event, reason: Reason, now_ms: u64, limits: &EventLimits) -> String {
    let Event { event_id, user_id, item_id, event_type, value, time_ms, recommendation_id } = event;
    match reason {
        Reason::MissingField if user_id.is_empty() => {
            "user_id is empty: give 1 to 256 bytes".into()
        }
        Reason::MissingField => "item_id is empty: give 1 to 256 bytes".into(),
        Reason::OversizedField => {
            let fields = [
                ("user_id", user_id, MAX_ID_BYTES),
                ("item_id", item_id, MAX_ID_BYTES),
                ("event_id", event_id, MAX_EVENT_ID_BYTES),
                ("recommendation_id", recommendation_id, MAX_RECOMMENDATION_ID_BYTES),
            ];
            let too_long = fields.into_iter().find(|(_, text, max)| text.len() > *max);
            let (name, text, max) = too_long.unwrap_or(fields[0]);
            format!("{name} has {} bytes: at most {max} are allowed", text.len())
        }
        Reason::OuterSpace => {
            let (name, id) = match has_outer_space(user_id) {
                true => ("user_id", user_id),
                false => ("item_id", item_id),
            };
            format!("{name} {id:?} begins or ends with white space: send it without")
        }
        Reason::UnknownType => {
            "type is none of IMPRESSION, CLICK, PLAY, PURCHASE and RATING".into()
        }
        Reason::NotFinite => format!("value is {value}: give a finite number"),
        Reason::Late => format!(
            "time_ms is {} s in the past: events are taken for {} s (router.events.max_age_hours)",
            now_ms.saturating_sub(*time_ms) / 1_000,
            limits.max_age_ms / 1_000
        ),
        Reason::FutureDated => format!(
            "time_ms is {} ms ahead of this router's clock: {} ms are allowed (router.events.max_skew_seconds)",
            time_ms.saturating_sub(now_ms),
            limits.max_skew_ms
        ),
        Reason::ImplausibleValue => match event_type {
            EventType::Play => {
                format!("value is {value}: a play has 0 to {MAX_PLAY_SECONDS} seconds")
            }
            EventType::Purchase => {
                format!("value is {value}: a purchase has 0 to {MAX_PURCHASE_VALUE}")
            }
            EventType::Rating => {
                let (least, greatest) = limits.ratings;
                format!(
                    "value is {value}: ratings are {least} to {greatest} (router.events.rating_min, rating_max)"
                )
            }
            _ => format!("value is {value}: 0 to {MAX_COUNT_VALUE} is allowed"),
        },
        Reason::FalseRecommendationId => {
            "recommendation_id was given by no router of this cluster: return it as it was in the answer, or leave it out".into()
        }
        Reason::ForgottenUser => {
            "the cluster was told to forget this user: stop sending the user's events".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn event(event_type: EventType, value: f64) -> Event {
        Event {
            event_id: "e".into(),
            user_id: "u".into(),
            item_id: "i".into(),
            event_type,
            value,
            time_ms: NOW,
            recommendation_id: String::new(),
        }
    }

    fn classified(event: &Event) -> Classification {
        classify(event, NOW, &EventLimits::default())
    }

    #[test]
    fn plausible_events_are_accepted_up_to_the_bounds() {
        for good in [
            event(EventType::Impression, 0.0),
            event(EventType::Click, 0.0),
            event(EventType::Play, 0.0),
            event(EventType::Play, 86_400.0),
            event(EventType::Purchase, 0.0),
            event(EventType::Purchase, 1e9),
            event(EventType::Rating, 0.0),
            event(EventType::Rating, 10.0),
            Event { time_ms: NOW + 60_000, ..event(EventType::Click, 0.0) },
            Event { time_ms: NOW - 7 * 24 * 3_600_000, ..event(EventType::Click, 0.0) },
            Event { user_id: "u".repeat(256), ..event(EventType::Click, 0.0) },
            Event { event_id: "e".repeat(128), ..event(EventType::Click, 0.0) },
            Event { recommendation_id: "r".repeat(512), ..event(EventType::Click, 0.0) },
        ] {
            assert_eq!(classified(&good), Classification::Accept, "{good:?}");
        }
    }

    #[test]
    fn every_rule_has_its_reason() {
        use Reason::*;
        let click = event(EventType::Click, 0.0);
        for (bad, reason, says) in [
            (Event { user_id: String::new(), ..click.clone() }, MissingField, "user_id is empty"),
            (Event { item_id: String::new(), ..click.clone() }, MissingField, "item_id is empty"),
            (
                Event { user_id: "u".repeat(257), ..click.clone() },
                OversizedField,
                "user_id has 257",
            ),
            (
                Event { item_id: "i".repeat(257), ..click.clone() },
                OversizedField,
                "item_id has 257",
            ),
            (
                Event { event_id: "e".repeat(129), ..click.clone() },
                OversizedField,
                "event_id has 129",
            ),
            (
                Event { recommendation_id: "r".repeat(513), ..click.clone() },
                OversizedField,
                "recommendation_id has 513 bytes: at most 512",
            ),
            (Event { user_id: " 7 ".into(), ..click.clone() }, OuterSpace, "user_id \" 7 \""),
            (Event { item_id: "\t".into(), ..click.clone() }, OuterSpace, "item_id \"\\t\""),
            (event(EventType::Unknown, 0.0), UnknownType, "IMPRESSION"),
            (event(EventType::Play, f64::NAN), NotFinite, "NaN"),
            (event(EventType::Purchase, f64::INFINITY), NotFinite, "inf"),
            (
                Event { time_ms: NOW - 7 * 24 * 3_600_000 - 1, ..click.clone() },
                Late,
                "604800 s in the past",
            ),
            (Event { time_ms: NOW + 60_001, ..click.clone() }, FutureDated, "60001 ms ahead"),
            (Event { time_ms: u64::MAX, ..click.clone() }, FutureDated, "ahead"),
            (Event { time_ms: 1, ..click.clone() }, Late, "in the past"),
            (event(EventType::Play, 86_400.5), ImplausibleValue, "0 to 86400 seconds"),
            (event(EventType::Play, -1.0), ImplausibleValue, "0 to 86400 seconds"),
            (event(EventType::Purchase, -0.01), ImplausibleValue, "a purchase has 0"),
            (event(EventType::Rating, 10.5), ImplausibleValue, "ratings are 0 to 10"),
            (event(EventType::Rating, -1.0), ImplausibleValue, "ratings are 0 to 10"),
            (event(EventType::Click, -1.0), ImplausibleValue, "0 to 1000000"),
        ] {
            let expected = match reason {
                MissingField | OversizedField | UnknownType | NotFinite | ForgottenUser
                | OuterSpace => Classification::Refuse(reason),
                Late | FutureDated | ImplausibleValue | FalseRecommendationId => {
                    Classification::Quarantine(reason)
                }
            };
            assert_eq!(classified(&bad), expected, "{bad:?}");
            let said = explain(&bad, reason, NOW, &EventLimits::default());
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_even_if_it_is_late() {
        let both = Event { user_id: String::new(), time_ms: 1, ..event(EventType::Click, 0.0) };
        assert_eq!(classified(&both), Classification::Refuse(Reason::MissingField));
    }
}
