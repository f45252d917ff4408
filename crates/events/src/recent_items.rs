//! The items that users had lately: at most [`MAX_RECENT_OF_USER`] of each, for the answers to them.
//!
//! Two generations of a map, by its memory: a user with a new event is in the younger one. When that is
//! full, the older one is forgotten, with all users who had no event since. So the bound holds whatever
//! events come.

use crate::forgetting::ForgottenUsers;
use marquee_core::event::Event;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Items kept of a user: as many as shape an answer.
pub const MAX_RECENT_OF_USER: usize = 200;
/// Memory of one generation, by our own count; there are two.
const GENERATION_BYTES: usize = 48 << 20;
/// What an entry takes beside its text: a time, a pointer and a length, and the allocator's part.
const ENTRY_BYTES: usize = 40;
/// What a user takes beside the name: the table's entry and an empty list.
const USER_BYTES: usize = 80;

/// The newest items of users. It is shared by reference; its lock is held for microseconds.
#[derive(Debug)]
pub struct RecentItems {
    users: Mutex<Generations>,
}

/// The users of both generations.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Items>,
    old: HashMap<Box<str>, Items>,
    /// Memory of the young generation.
    bytes: usize,
    limit: usize,
    /// Of these users nothing is remembered, whichever router tells of it.
    forgotten: Arc<ForgottenUsers>,
}

/// Times and item ids of a user, oldest first.
type Items = Vec<(u64, Box<str>)>;

impl Default for RecentItems {
    fn default() -> Self {
        Self::with_generation_bytes(GENERATION_BYTES)
    }
}

impl RecentItems {
    /// An empty map with generations of so many bytes.
    pub fn with_generation_bytes(limit: usize) -> Self {
        let users = Generations { limit, ..Generations::default() };
        Self { users: Mutex::new(users) }
    }

    fn users(&self) -> MutexGuard<'_, Generations> {
        // Each change leaves lists that are lists, even if a later one died.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the items of all events but impressions.
    pub fn remember<'a>(&self, events: impl IntoIterator<Item = &'a Event>) {
        let mut users = self.users();
        for event in events {
            if event.event_type.is_consumption() {
                users.insert(&event.user_id, &event.item_id, event.time_ms);
            }
        }
    }

    /// Remembers one item of one user.
    pub fn insert(&self, user_id: &str, item_id: &str, time_ms: u64) {
        self.users().insert(user_id, item_id, time_ms);
    }

    /// Remembers nothing of these users, from now on and of before. Its lock is held for as long as it takes to look
    /// at all users: some ten milliseconds where there are many.
    pub fn forget(&self, forgotten: Arc<ForgottenUsers>) {
        let mut users = self.users();
        users.forgotten = forgotten;
        users.drop_forgotten();
    }

    /// The items of a user, newest last, each once.
    pub fn items_of(&self, user_id: &str) -> Vec<String> {
        let users = self.users();
        let Some(items) = users.young.get(user_id).or_else(|| users.old.get(user_id)) else {
            return Vec::new();
        };
        items.iter().map(|(_, id)| String::from(&**id)).collect()
    }
}

impl Generations {
    fn drop_forgotten(&mut self) {
        let Self { young, old, bytes, limit: _, forgotten } = self;
        if forgotten.is_empty() {
            return;
        }
        old.retain(|user, _| !forgotten.has_user(user));
        young.retain(|user, items| {
            let is_forgotten = forgotten.has_user(user);
            if is_forgotten {
                let of_items: usize = items.iter().map(|(_, id)| ENTRY_BYTES + id.len()).sum();
                *bytes -= USER_BYTES + user.len() + of_items;
            }
            !is_forgotten
        });
    }

    fn insert(&mut self, user_id: &str, item_id: &str, time_ms: u64) {
        if self.forgotten.has_user(user_id) {
            return;
        }
        if self.bytes >= self.limit {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        if !self.young.contains_key(user_id) {
            let items = self.old.remove(user_id).unwrap_or_default();
            self.bytes += USER_BYTES + user_id.len();
            self.bytes += items.iter().map(|(_, id)| ENTRY_BYTES + id.len()).sum::<usize>();
            self.young.insert(user_id.into(), items);
        }
        let items = self.young.get_mut(user_id).expect("it was just put there");
        if let Some(at) = items.iter().position(|(_, id)| **id == *item_id) {
            if items[at].0 >= time_ms {
                return;
            }
            let (_, id) = items.remove(at);
            self.bytes -= ENTRY_BYTES + id.len();
        }
        // Events may come late: after those that are as old, before those that are newer.
        let at = items.partition_point(|(time, _)| *time <= time_ms);
        items.insert(at, (time_ms, item_id.into()));
        self.bytes += ENTRY_BYTES + item_id.len();
        if items.len() > MAX_RECENT_OF_USER {
            let (_, id) = items.remove(0);
            self.bytes -= ENTRY_BYTES + id.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::event::EventType;

    #[test]
    fn newest_last_each_once_whatever_the_order_of_arrival() {
        let recent = RecentItems::default();
        for (item, time) in [("a", 10), ("b", 30), ("c", 20), ("a", 40), ("b", 5)] {
            recent.insert("u", item, time);
        }
        assert_eq!(recent.items_of("u"), ["c", "b", "a"]);
        assert!(recent.items_of("v").is_empty());
    }

    #[test]
    fn impressions_are_not_remembered() {
        let recent = RecentItems::default();
        let event = |event_type, item: &str| Event {
            user_id: "u".into(),
            item_id: item.into(),
            event_type,
            time_ms: 1,
            ..Event::default()
        };
        recent.remember(&EventType::ALL.map(|t| event(t, t.word())));
        assert_eq!(recent.items_of("u"), ["click", "play", "purchase", "rating"]);
    }

    #[test]
    fn a_user_has_the_newest_only() {
        let recent = RecentItems::default();
        for n in 0..MAX_RECENT_OF_USER as u64 + 7 {
            recent.insert("u", &n.to_string(), n);
        }
        let items = recent.items_of("u");
        assert_eq!(items.len(), MAX_RECENT_OF_USER);
        assert_eq!((items[0].as_str(), items[199].as_str()), ("7", "206"));
        recent.insert("u", "late", 0);
        assert!(!recent.items_of("u").contains(&"late".into()), "older than all that are kept");
    }

    #[test]
    fn memory_is_bounded_and_active_users_stay() {
        let recent = RecentItems::with_generation_bytes(10_000);
        for n in 0..10_000 {
            recent.insert(&format!("user-{n}"), "item", n);
            recent.insert("regular", &format!("{}", n % 50), n);
        }
        let users = recent.users();
        assert!(users.bytes <= 10_000 + 1_000, "{}", users.bytes);
        assert!(users.young.len() + users.old.len() < 250, "{}", users.young.len());
        let counted: usize = users
            .young
            .iter()
            .map(|(user, items)| {
                let items: usize = items.iter().map(|(_, id)| ENTRY_BYTES + id.len()).sum();
                USER_BYTES + user.len() + items
            })
            .sum();
        assert_eq!(users.bytes, counted, "the count is what is there");
        drop(users);
        assert_eq!(recent.items_of("regular").len(), 50);
        assert!(recent.items_of("user-0").is_empty());
    }
}
