use super::*;
use crate::plan::SECRET_BYTES;

fn secret(byte: u8) -> AnswerSecret {
    AnswerSecret([byte; SECRET_BYTES])
}

/// A root, and so many keys of as many months.
fn privacy(keys: u8) -> UserPrivacy {
    let mut privacy = UserPrivacy::default();
    privacy.add(secret(200), 0);
    for month in 0..keys {
        privacy.add(secret(month), u64::from(month) * ROTATE_USER_KEY_AFTER_MS);
    }
    privacy
}

#[test]
fn the_first_secret_is_the_root_and_stays() {
    let mut privacy = UserPrivacy::default();
    assert_eq!((privacy.pseudonym("u"), privacy.hash_now("u")), (None, UserHash::NOBODY));
    assert!(privacy.is_due(0) && privacy.list_id().is_empty());
    privacy.add(secret(200), 0);
    assert!(privacy.is_due(0), "there is no key");
    assert_eq!(privacy.hash_now("u"), UserHash::NOBODY);
    privacy.add(secret(1), 0);
    assert!(!privacy.is_due(ROTATE_USER_KEY_AFTER_MS - 1));
    assert!(privacy.is_due(ROTATE_USER_KEY_AFTER_MS));
    assert_eq!(privacy.root, Some(secret(200)));
}

#[test]
fn hashes_change_with_the_key_and_pseudonyms_do_not() {
    let (one, two, many) = (privacy(1), privacy(2), privacy(15));
    assert_eq!(one.pseudonym("u"), many.pseudonym("u"));
    assert_ne!(one.pseudonym("u"), one.pseudonym("v"));
    let (old, new) = (one.hash_now("u"), two.hash_now("u"));
    assert_eq!((old.key, new.key), (1, 2));
    assert_ne!(old.hash, new.hash);
    let of_user: Vec<UserHash> = two.hashes(&two.pseudonym("u").expect("a root")).collect();
    assert_eq!(of_user, [old, new], "the pseudonym and the keys find all records");
    let known: Vec<u64> = many.keys.iter().map(|key| key.number).collect();
    assert_eq!(known, Vec::from_iter(3..=15), "older records name nobody");
}

#[test]
fn another_cluster_names_users_otherwise() {
    let mut other = UserPrivacy::default();
    other.add(secret(201), 0);
    assert_ne!(other.pseudonym("u"), privacy(0).pseudonym("u"));
    assert_ne!(other.list_id(), privacy(0).list_id());
}

#[test]
fn hashes_are_read_back() {
    for (hash, text) in [
        (UserHash { key: 0, hash: 10 }, "000000000000000a"),
        (UserHash { key: 31, hash: 10 }, "1f-000000000000000a"),
    ] {
        assert_eq!((hash.to_string().as_str(), UserHash::parse(text)), (text, Some(hash)));
    }
    assert_eq!(UserHash::parse("u1"), None);
    assert!(UserHash { key: 0, hash: 10 }.is_unkeyed() && !UserHash::NOBODY.is_unkeyed());
}

#[test]
fn a_user_who_is_forgotten_is_known_by_the_pseudonym_alone() {
    let mut privacy = privacy(1);
    assert_eq!(privacy.forgotten("u"), None);
    let user = privacy.pseudonym("u").expect("a root");
    assert!(privacy.tombstones.add(user, 5));
    assert!(privacy.tombstones.add(user, 9), "again");
    assert_eq!((privacy.forgotten("u"), privacy.forgotten("v")), (Some(user), None));
    let tombstone = Tombstone { number: 1, made_at_ms: 5 };
    assert_eq!(privacy.tombstones.get(&user), Some(&tombstone));
    assert!(!format!("{privacy:?}").contains("200, 200"), "the root is in no message");
}

#[test]
fn tombstones_stay_until_they_are_old_and_every_version_was_trained_after_them() {
    let made = |ms: &[u64]| {
        let mut tombstones = Tombstones::default();
        for (n, ms) in (0..).zip(ms) {
            assert!(tombstones.add(Pseudonym([n; PSEUDONYM_BYTES]), *ms));
        }
        tombstones
    };
    for (trained_up_to, now_ms, kept) in [
        // Young, whatever was trained.
        (Some(2), TOMBSTONE_MS - 1, 2),
        (None, TOMBSTONE_MS - 1, 2),
        // The first is old enough.
        (Some(2), TOMBSTONE_MS, 1),
        (Some(1), TOMBSTONE_MS, 1),
        (Some(0), TOMBSTONE_MS, 2),
        (Some(0), u64::MAX, 2),
        (Some(1), u64::MAX, 1),
        (None, u64::MAX, 0),
    ] {
        let mut tombstones = made(&[0, 10]);
        tombstones.age(trained_up_to, now_ms);
        assert_eq!(tombstones.len(), kept, "{trained_up_to:?} {now_ms}");
        assert_eq!(tombstones.newest(), 2, "no number is given twice");
    }
}

#[test]
fn there_is_room_for_so_many() {
    let mut tombstones = Tombstones::default();
    let user = |n: u64| {
        let mut bytes = [0; PSEUDONYM_BYTES];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Pseudonym(bytes)
    };
    for n in 0..MAX_TOMBSTONES as u64 {
        assert!(tombstones.add(user(n), 0));
    }
    assert!(!tombstones.add(user(u64::MAX), 0), "it is full");
    assert!(tombstones.add(user(0), 0), "this one is there");
}
