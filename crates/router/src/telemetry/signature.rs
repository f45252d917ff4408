//! Signed recommendation ids: a caller can make none up, and can claim no answer for another user.
//!
//! What an answer is called ([`super::answer_id`]) goes on with `~<key>-<epoch>-<items>-<user>-<tag>`, all hexadecimal: the number
//! of the key, the epoch of the plan that was answered by, a hash of the items, a hash of the user that nobody without
//! the key can compute, and a keyed BLAKE3 hash of all that stands before. Keys are in the plan, so every router can check every id.

use super::answer_id::second_of;
use super::limits::MAX_SIGNATURE_BYTES;
use marquee_core::plan::{AnswerKey, AnswerKeys};

/// What the signature begins with; names have no such character.
const MARK: char = '~';
/// Bytes of the tag: nobody finds one of 2⁹⁶ by trying.
const TAG_BYTES: usize = 12;
/// Bytes of the hash of the user, and of that of the items. Both are within what the tag signs.
const HASH_BYTES: usize = 4;

/// Whom an id speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authenticity<'a> {
    /// A router of the cluster gave the answer of this name to this user, or to nobody in particular.
    Genuine(&'a str),
    /// A router may have given it, to another user or by a key that is forgotten; or it is no id of a router. It speaks
    /// for nobody.
    Unknown,
    /// No router gave it, although it says so.
    False,
}

/// Signs the name of an answer with the newest key; unsigned where there is none yet. `user_id` is empty for an answer to nobody in
/// particular.
pub(crate) fn sign<'a>(
    name: String,
    keys: &AnswerKeys,
    plan_epoch: u64,
    user_id: &str,
    item_ids: impl Iterator<Item = &'a str>,
) -> String {
    let Some(key) = keys.newest() else { return name };
    let mut items = blake3::Hasher::new();
    for id in item_ids {
        items.update(&(id.len() as u64).to_le_bytes()).update(id.as_bytes());
    }
    let items = hex::encode(&items.finalize().as_bytes()[..HASH_BYTES]);
    let user = hash_of_user(key, user_id);
    let signed = format!("{name}{MARK}{:x}-{plan_epoch:x}-{items}-{user}", key.number);
    let tag = tag_of(key, &signed);
    format!("{signed}-{tag}")
}

/// Whether a router gave an answer of this id to this user. Everything counts where there is no key yet.
pub(crate) fn check<'a>(id: &'a str, user_id: &str, keys: &AnswerKeys) -> Authenticity<'a> {
    let (name, signature) = match id.split_once(MARK) {
        Some((name, signature)) => (name, Some(signature)),
        None => (id, None),
    };
    let Some(newest) = keys.newest() else { return Authenticity::Genuine(name) };
    if second_of(name).is_none() {
        return Authenticity::Unknown;
    }
    let Some(parts) = signature.and_then(Parts::read) else { return Authenticity::False };
    let Some(key) = keys.find(parts.key) else {
        // It is forgotten, or the next one: a plan may arrive later than an id that was signed by it.
        let may_exist = parts.key <= newest.number.saturating_add(1);
        return if may_exist { Authenticity::Unknown } else { Authenticity::False };
    };
    let signed = &id[..id.len() - parts.tag.len() - 1];
    if !are_equal(parts.tag, &tag_of(key, signed)) {
        return Authenticity::False;
    }
    let is_users = |user_id| are_equal(parts.user, &hash_of_user(key, user_id));
    if is_users(user_id) || is_users("") {
        Authenticity::Genuine(name)
    } else {
        Authenticity::Unknown
    }
}

/// A signature without its mark.
struct Parts<'a> {
    key: u64,
    user: &'a str,
    tag: &'a str,
}

impl<'a> Parts<'a> {
    fn read(signature: &'a str) -> Option<Self> {
        if signature.len() > MAX_SIGNATURE_BYTES {
            return None;
        }
        let mut parts = signature.split('-');
        let (key, _epoch, _items) = (parts.next()?, parts.next()?, parts.next()?);
        let (user, tag) = (parts.next()?, parts.next()?);
        let key = u64::from_str_radix(key, 16).ok()?;
        parts.next().is_none().then_some(Self { key, user, tag })
    }
}

fn hash_of_user(key: &AnswerKey, user_id: &str) -> String {
    let mut hasher = blake3::Hasher::new_keyed(&key.secret.0);
    hasher.update(b"user").update(user_id.as_bytes());
    hex::encode(&hasher.finalize().as_bytes()[..HASH_BYTES])
}

fn tag_of(key: &AnswerKey, signed: &str) -> String {
    let mut hasher = blake3::Hasher::new_keyed(&key.secret.0);
    hasher.update(b"answer").update(signed.as_bytes());
    hex::encode(&hasher.finalize().as_bytes()[..TAG_BYTES])
}

/// Compares in a time that does not depend on where they differ.
fn are_equal(one: &str, other: &str) -> bool {
    constant_time_eq::constant_time_eq(one.as_bytes(), other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::{AnswerSecret, ROTATE_AFTER_MS, SECRET_BYTES};
    use proptest::prelude::*;

    const NAME: &str = "3f-1a-692d8f00.100.1.home-3";

    fn keys(days: u8) -> AnswerKeys {
        let mut keys = AnswerKeys::default();
        for day in 0..days {
            keys.add(AnswerSecret([day + 1; SECRET_BYTES]), u64::from(day) * ROTATE_AFTER_MS);
        }
        keys
    }

    fn signed(user_id: &str, keys: &AnswerKeys) -> String {
        sign(NAME.into(), keys, 7, user_id, ["a", "b"].into_iter())
    }

    #[test]
    fn an_id_speaks_for_the_user_who_was_answered() {
        let keys = keys(2);
        let id = signed("u", &keys);
        assert_eq!(check(&id, "u", &keys), Authenticity::Genuine(NAME), "{id}");
        assert_eq!(check(&id, "v", &keys), Authenticity::Unknown, "another one's");
        let of_nobody = signed("", &keys);
        assert_eq!(check(&of_nobody, "v", &keys), Authenticity::Genuine(NAME));
        assert_eq!(check("of-another-system", "u", &keys), Authenticity::Unknown);
        assert!(id.len() - NAME.len() <= MAX_SIGNATURE_BYTES);
    }

    #[test]
    fn keys_before_the_newest_count_until_they_are_forgotten() {
        let id = signed("u", &keys(1));
        assert_eq!(check(&id, "u", &keys(8)), Authenticity::Genuine(NAME));
        assert_eq!(check(&id, "u", &keys(9)), Authenticity::Unknown, "too old");
        let newer = signed("u", &keys(3));
        assert_eq!(check(&newer, "u", &keys(2)), Authenticity::Unknown, "this plan is a day old");
        assert_eq!(check(&newer, "u", &keys(1)), Authenticity::False, "no such key");
    }

    #[test]
    fn what_no_router_signed_is_false() {
        let keys = keys(1);
        let id = signed("u", &keys);
        assert_eq!(check(NAME, "u", &keys), Authenticity::False, "as if it were ours");
        // Another arm, share, time, answer, epoch, list, user, tag: each byte counts.
        for at in 0..id.len() {
            let mut forged = id.clone().into_bytes();
            forged[at] = if forged[at] == b'1' { b'2' } else { b'1' };
            let forged = String::from_utf8(forged).expect("ASCII");
            let found = check(&forged, "u", &keys);
            assert!(!matches!(found, Authenticity::Genuine(_)), "{forged}: {found:?}");
        }
        let of_other_cluster = sign(
            NAME.into(),
            &AnswerKeys::of([AnswerKey {
                number: 1,
                secret: AnswerSecret([200; SECRET_BYTES]),
                made_at_ms: 0,
            }]),
            7,
            "u",
            ["a", "b"].into_iter(),
        );
        assert_eq!(check(&of_other_cluster, "u", &keys), Authenticity::False);
    }

    #[test]
    fn the_order_and_the_borders_of_items_are_signed() {
        let keys = keys(1);
        let id_of =
            |items: &[&'static str]| sign(NAME.into(), &keys, 7, "u", items.iter().copied());
        let ids = [id_of(&["a", "b"]), id_of(&["b", "a"]), id_of(&["ab"]), id_of(&[])];
        for (n, id) in ids.iter().enumerate() {
            assert!(!ids[..n].contains(id), "{id}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_is_genuine(id in ".{0,120}", user in ".{0,8}") {
            let found = check(&id, &user, &keys(2));
            prop_assert!(!matches!(found, Authenticity::Genuine(_)));
            let id = format!("{NAME}~{id}");
            let found = check(&id, &user, &keys(2));
            prop_assert!(!matches!(found, Authenticity::Genuine(_)));
        }
    }
}
