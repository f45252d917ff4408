//! How users are named, and who is forgotten ↔ `marquee.control.v1.UserPrivacy`.

use super::error::{ConvertError, Result};
use super::secret::secret_from_pb;
use crate::generated::control::v1 as pb;
use marquee_core::plan::privacy::{
    PSEUDONYM_BYTES, Pseudonym, Tombstone, Tombstones, UserKey, UserKeys, UserPrivacy,
};

/// The wire form of the keys and tombstones, with all secrets.
pub fn privacy_to_pb(privacy: &UserPrivacy) -> pb::UserPrivacy {
    let UserPrivacy { root, keys, tombstones } = privacy;
    pb::UserPrivacy {
        root: root.as_ref().map(|root| root.0.to_vec()).unwrap_or_default(),
        keys: keys.iter().map(key_to_pb).collect(),
        forgotten: tombstones.iter().map(|(user, it)| tombstone_to_pb(user, it)).collect(),
        newest: tombstones.newest(),
    }
}

/// Reads the keys and tombstones from their wire form.
pub fn privacy_from_pb(privacy: pb::UserPrivacy) -> Result<UserPrivacy> {
    let pb::UserPrivacy { root, keys, forgotten, newest } = privacy;
    let root = (!root.is_empty()).then(|| secret_from_pb(root, "privacy.root")).transpose()?;
    let keys = keys.into_iter().map(key_from_pb).collect::<Result<Vec<_>>>()?;
    let forgotten = forgotten.into_iter().map(tombstone_from_pb).collect::<Result<Vec<_>>>()?;
    Ok(UserPrivacy {
        root,
        keys: UserKeys::of(keys),
        tombstones: Tombstones::of(forgotten, newest),
    })
}

/// The wire form of a tombstone.
pub fn tombstone_to_pb(user: &Pseudonym, tombstone: &Tombstone) -> pb::ForgottenUser {
    let Tombstone { number, made_at_ms } = *tombstone;
    pb::ForgottenUser { pseudonym: user.0.to_vec(), number, made_at_ms }
}

fn tombstone_from_pb(forgotten: pb::ForgottenUser) -> Result<(Pseudonym, Tombstone)> {
    let pb::ForgottenUser { pseudonym, number, made_at_ms } = forgotten;
    let user = pseudonym_from_pb(&pseudonym, "privacy.forgotten.pseudonym")?;
    Ok((user, Tombstone { number, made_at_ms }))
}

fn key_to_pb(key: &UserKey) -> pb::UserKey {
    let UserKey { number, secret, made_at_ms } = key;
    pb::UserKey { number: *number, secret: secret.0.to_vec(), made_at_ms: *made_at_ms }
}

fn key_from_pb(key: pb::UserKey) -> Result<UserKey> {
    let pb::UserKey { number, secret, made_at_ms } = key;
    Ok(UserKey { number, secret: secret_from_pb(secret, "privacy.keys.secret")?, made_at_ms })
}

/// Reads a pseudonym.
pub(super) fn pseudonym_from_pb(bytes: &[u8], field: &str) -> Result<Pseudonym> {
    let found = <[u8; PSEUDONYM_BYTES]>::try_from(bytes);
    found.map(Pseudonym).map_err(|_| ConvertError::InvalidValue {
        field: field.into(),
        what: format!("it has {} bytes: a pseudonym has {PSEUDONYM_BYTES}", bytes.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::{AnswerSecret, SECRET_BYTES};

    #[test]
    fn keys_and_tombstones_come_back() {
        let mut privacy = UserPrivacy::default();
        assert_eq!(privacy_from_pb(privacy_to_pb(&privacy)), Ok(privacy.clone()));
        for byte in 1..4 {
            privacy.add(AnswerSecret([byte; SECRET_BYTES]), u64::from(byte) << 40);
        }
        let tombstone = Tombstone { number: 3, made_at_ms: 7 };
        privacy.tombstones = Tombstones::of([(Pseudonym([9; PSEUDONYM_BYTES]), tombstone)], 5);
        assert_eq!(privacy_from_pb(privacy_to_pb(&privacy)), Ok(privacy.clone()));
        let mut cut = privacy_to_pb(&privacy);
        cut.forgotten[0].pseudonym.pop();
        assert!(privacy_from_pb(cut).is_err());
        let mut cut = privacy_to_pb(&privacy);
        cut.root.pop();
        assert!(privacy_from_pb(cut).is_err(), "no other root than the whole one");
    }
}
