//! How the voters of a new group come to know each other's disks.
//!
//! A disk without a history cannot tell whether its group is new or its voter lost another disk. So a new group begins
//! only when each of its voters has heard every other one name the same disks for all of them. A disk that comes later is
//! none of those: it would need the word of all the others, and a voter that has begun with another disk never names it.
//! One that only knows that the others were new once is not enough: they may have begun without it, and lost a disk since.

use super::disk::DiskId;
use super::membership::Membership;
use std::collections::BTreeMap;

/// What a voter on a new disk has heard of the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Founding {
    disks: BTreeMap<u64, DiskId>,
    /// The members with disks that each of the others has named last.
    named: BTreeMap<u64, Membership>,
    /// Whether someone has said that the group is there without this disk.
    is_there: bool,
}

impl Founding {
    /// A voter of the group on this disk says which disks it has heard of. `is_new`: its own is new, too.
    pub(crate) fn hear(
        &mut self,
        (id, disk): (u64, DiskId),
        named: Membership,
        is_new: bool,
        me: (u64, DiskId),
    ) {
        if !is_new && named.disk(me.0) != Some(me.1) {
            self.disks.remove(&id);
            self.named.remove(&id);
            self.is_there = true;
            return;
        }
        self.disks.insert(id, disk);
        self.named.insert(id, named);
    }

    /// Whether someone has said that the group is there.
    pub(crate) fn is_there(&self) -> bool {
        self.is_there
    }

    /// The voters that have not been heard from, ascending.
    pub(crate) fn waits_for(&self, members: &Membership, me: u64) -> Vec<u64> {
        let missing = |id: &&u64| **id != me && !self.disks.contains_key(id);
        members.members.keys().filter(missing).copied().collect()
    }

    /// The members with the disks that have been heard of so far.
    pub(crate) fn heard(&self, members: &Membership, me: u64, disk: DiskId) -> Membership {
        let mut heard = members.clone();
        for (id, member) in &mut heard.members {
            member.disk = if *id == me { Some(disk) } else { self.disks.get(id).copied() };
        }
        heard
    }

    /// The members with all their disks, once all others have named the same ones.
    pub(crate) fn complete(
        &self,
        members: &Membership,
        me: u64,
        disk: DiskId,
    ) -> Option<Membership> {
        let heard = self.heard(members, me, disk);
        let agrees = |id: &u64| *id == me || self.named.get(id) == Some(&heard);
        let all_agree = heard.members.keys().all(agrees);
        (members.members.contains_key(&me) && heard.is_complete() && all_agree).then_some(heard)
    }
}
