//! What a voter knows of its group beside its log: the members, whom it has heard, and what it found while it leads.

use super::chain::ChainPoint;
use super::members::founding::Founding;
use super::members::{DiskId, MemberRole, Membership};
use super::store::Store;
use marquee_proto::raft::v1 as pb;
use std::collections::BTreeMap;

/// What a voter knows of its group.
pub(crate) struct Group {
    /// The members, as far as applied.
    pub(crate) members: Membership,
    /// Greetings to be sent with the next flush.
    pub(crate) greetings: Vec<pb::Message>,
    pub(crate) me: u64,
    pub(crate) disk: DiskId,
    pub(crate) founding: Founding,
    /// The newest members that others have named: who is greeted, and nothing else.
    pub(crate) contacts: Membership,
    /// The disks that the last requests came from, to which the answers go.
    pub(crate) asked_by: BTreeMap<u64, DiskId>,
    /// Why messages of members were not taken.
    pub(crate) refused_from: BTreeMap<u64, String>,
    /// Why this voter takes no part any more.
    pub(crate) stopped: Option<String>,
    pub(crate) leader: Leading,
}

/// What a voter knows as long as it leads.
#[derive(Default)]
pub(crate) struct Leading {
    /// The term that it leads in; 0: it does not.
    pub(crate) term: u64,
    /// The tick since which it leads.
    pub(crate) since: u64,
    /// The last entry with members that may be in the log.
    pub(crate) change_at: u64,
    pub(crate) answered: BTreeMap<u64, (DiskId, u64)>,
    pub(crate) announced: BTreeMap<u64, DiskId>,
    pub(crate) reports: BTreeMap<u64, ChainPoint>,
    /// The members that have diverged, and where.
    pub(crate) diverged: BTreeMap<u64, u64>,
}

/// What this voter's disk is to the group, as far as the disk knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The group knows it.
    Known,
    /// It has a history in a group that knows no disks yet, since an older release made it.
    Trusted,
    /// It is new, and so is the group as far as it knows.
    New,
    /// The group knows another disk for this voter.
    Replaced,
    /// The group does not have this voter.
    Outside,
}

impl Group {
    /// What a store knows of its group.
    pub(crate) fn of_store(me: u64, store: &Store) -> Self {
        Self {
            members: store.members().clone(),
            greetings: Vec::new(),
            me,
            disk: store.disk(),
            founding: Founding::default(),
            contacts: Membership::default(),
            asked_by: BTreeMap::new(),
            refused_from: BTreeMap::new(),
            stopped: store.stopped().map(str::to_owned),
            leader: Leading::default(),
        }
    }

    /// Takes over the members of an applied entry or a snapshot.
    pub(crate) fn set_members(&mut self, members: Membership) {
        for (id, member) in &members.members {
            if self.members.disk(*id) != member.disk {
                self.forget(*id);
            }
        }
        self.members = members;
    }

    fn forget(&mut self, id: u64) {
        self.refused_from.remove(&id);
        self.leader.reports.remove(&id);
        self.leader.diverged.remove(&id);
        self.leader.announced.remove(&id);
        self.leader.answered.remove(&id);
    }

    /// Whether this voter has a vote in all configurations that count now.
    pub(crate) fn is_voter(&self, id: u64) -> bool {
        self.members.members.get(&id).is_some_and(|member| member.role == MemberRole::Voter)
    }

    /// What this voter's disk is to the group, given whether the disk has a history.
    pub(crate) fn standing(&self, has_history: bool) -> Standing {
        match self.members.members.get(&self.me) {
            None => Standing::Outside,
            Some(member) => match member.disk {
                Some(disk) if disk == self.disk => Standing::Known,
                Some(_) => Standing::Replaced,
                None if member.role == MemberRole::Joining => Standing::Outside,
                None if has_history => Standing::Trusted,
                None => Standing::New,
            },
        }
    }
}
