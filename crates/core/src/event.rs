//! Events: what users do with items.

/// What a user did with an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventType {
    /// No type that this release knows. The event is refused.
    #[default]
    Unknown = 0,
    /// The user was shown the item.
    Impression = 1,
    /// The user opened the item.
    Click = 2,
    /// The user watched, listened to or played the item. The event's value is seconds.
    Play = 3,
    /// The user bought the item. The event's value is money.
    Purchase = 4,
    /// The user rated the item. The event's value is the rating.
    Rating = 5,
}

impl EventType {
    /// Every type that can be recorded.
    pub const ALL: [Self; 5] =
        [Self::Impression, Self::Click, Self::Play, Self::Purchase, Self::Rating];

    /// Its name in exports.
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

    /// Whether the user has had the item, and was not only shown it.
    pub fn is_consumption(self) -> bool {
        matches!(self, Self::Click | Self::Play | Self::Purchase | Self::Rating)
    }
}

/// What a user did with an item, and the answer that recommended it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// The event's id; empty: an id is made of all other fields.
    pub event_id: String,
    /// The user's id.
    pub user_id: String,
    /// The item's id.
    pub item_id: String,
    /// What the user did.
    pub event_type: EventType,
    /// Seconds, money or a rating, depending on the type.
    pub value: f64,
    /// When, in ms since the Unix epoch; 0: when it arrived.
    pub time_ms: u64,
    /// The id of the answer that the item was in; empty: none that is known.
    pub recommendation_id: String,
}
