//! How the voters of a new group come to know each other's disks.
//!
//! A disk without a history cannot tell whether its group is new or its voter lost another disk. So a new group begins
//! only when each of its voters has heard from every other one that its disk is new, too. From then on each has the
//! disks of all, and a disk that comes later is none of them: it would need the word of a voter that has them, and that
//! voter says that the group is there already.

use super::disk::DiskId;
use super::membership::Membership;
use std::collections::BTreeMap;

/// What a voter on a new disk has heard of the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Founding {
    new_disks: BTreeMap<u64, DiskId>,
    /// Whether someone has said that the group is there.
    is_there: bool,
}

impl Founding {
    /// A voter of the group says that its disk is this new one.
    pub(crate) fn hear_new(&mut self, id: u64, disk: DiskId) {
        self.new_disks.insert(id, disk);
    }

    /// A voter says that the group is there.
    pub(crate) fn hear_there(&mut self, id: u64) {
        self.new_disks.remove(&id);
        self.is_there = true;
    }

    /// Whether someone has said that the group is there.
    pub(crate) fn is_there(&self) -> bool {
        self.is_there
    }

    /// The voters that have not been heard from, ascending.
    pub(crate) fn waits_for(&self, members: &Membership, me: u64) -> Vec<u64> {
        let missing = |id: &&u64| **id != me && !self.new_disks.contains_key(id);
        members.members.keys().filter(missing).copied().collect()
    }

    /// The members with all their disks, once all have been heard from.
    pub(crate) fn complete(
        &self,
        members: &Membership,
        me: u64,
        disk: DiskId,
    ) -> Option<Membership> {
        if !members.members.contains_key(&me) || !self.waits_for(members, me).is_empty() {
            return None;
        }
        let mut complete = members.clone();
        for (id, member) in &mut complete.members {
            member.disk = if *id == me { Some(disk) } else { self.new_disks.get(id).copied() };
        }
        Some(complete)
    }
}
