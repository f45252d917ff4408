//! What somebody did with an item.

/// The kind of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventType {
    /// Nothing that we know: refused.
    #[default]
    Unknown = 0,
    /// Was shown the item.
    Impression = 1,
    /// Opened it.
    Click = 2,
    /// Watched, listened to or played it; the value is seconds.
    Play = 3,
    /// Bought it; the value is money.
    Purchase = 4,
    /// Rated it; the value is the rating.
    Rating = 5,
}

impl EventType {
    /// All that can be recorded.
    pub const ALL: [Self; 5] =
        [Self::Impression, Self::Click, Self::Play, Self::Purchase, Self::Rating];

    /// As exports write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Impression => "impression",
            Self::Click => "click",
            Self::Play => "play",
            Self::Purchase => "purchase",
            Self::Rating => "rating",
        }
    }

    /// Whether it says that the user has had the item, and not only seen its picture.
    pub fn is_consumption(self) -> bool {
        matches!(self, Self::Click | Self::Play | Self::Purchase | Self::Rating)
    }
}

/// What somebody did with an item, and what recommended it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Names it for ever; empty: made of the rest.
    pub event_id: String,
    /// Who.
    pub user_id: String,
    /// With what.
    pub item_id: String,
    /// What was done.
    pub event_type: EventType,
    /// Seconds, money or a rating, as the type has it.
    pub value: f64,
    /// Milliseconds since 1970; 0: when it arrived.
    pub time_ms: u64,
    /// The answer that the item was in; empty: none, or none that is known.
    pub recommendation_id: String,
}
