//! The members of the group at one place of its log, and what changes from one such place to the next.

use super::disk::DiskId;
use crate::consensus::log::LogPosition;
use marquee_proto::raft::v1 as pb;
use prost::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};
use std::collections::BTreeMap;

/// Members that a group may have: five voters, and those that are to take their places.
pub const MAX_MEMBERS: usize = 9;
/// Bytes of a member's address or node id.
pub(crate) const MAX_MEMBER_TEXT_BYTES: usize = 512;
/// Bytes of an encoded membership: each member has two texts and some numbers.
pub(crate) const MAX_MEMBERSHIP_BYTES: usize = MAX_MEMBERS * (2 * MAX_MEMBER_TEXT_BYTES + 64);

/// What a member is in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRole {
    /// Expected: raft does not know it until it has said which disk it has.
    Joining,
    /// It is sent the log, and has no vote.
    Learner,
    /// It has a vote.
    Voter,
    /// In a joint configuration, a voter of the new one only.
    Entering,
    /// In a joint configuration, a voter of the old one only.
    Leaving,
}

impl MemberRole {
    /// Whether it has a vote, in one configuration at least.
    pub fn votes(self) -> bool {
        matches!(self, Self::Voter | Self::Entering | Self::Leaving)
    }
}

/// One member of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `http://host:port`, or empty: where the config says.
    pub address: String,
    /// Its node id, as its certificate has it, or empty: as the config says.
    pub node_id: String,
    /// Its disk; none: not known yet.
    pub disk: Option<DiskId>,
    /// What it is in the group.
    pub role: MemberRole,
    /// The voter that is removed when this one becomes a voter; 0: none.
    pub replaces: u64,
}

/// The members of the group at one place of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The index of the entry that made them.
    pub index: u64,
    /// The members by raft id.
    pub members: BTreeMap<u64, Member>,
}

/// Why bytes are no membership.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the members cannot be read: {0}")]
pub struct MembershipError(String);

impl Membership {
    /// The members that a new group begins with, whose disks nobody knows yet.
    pub fn founding(voters: &[u64], begins: LogPosition) -> Self {
        let member = Member {
            address: String::new(),
            node_id: String::new(),
            disk: None,
            role: MemberRole::Voter,
            replaces: 0,
        };
        let members = voters.iter().map(|id| (*id, member.clone())).collect();
        Self { index: begins.index, members }
    }

    /// The disk of a member, as far as it is known.
    pub fn disk(&self, id: u64) -> Option<DiskId> {
        self.members.get(&id)?.disk
    }

    /// The ids of all who have a vote, ascending.
    pub fn voters(&self) -> Vec<u64> {
        let votes = self.members.iter().filter(|(_, member)| member.role.votes());
        votes.map(|(id, _)| *id).collect()
    }

    /// Whether the disks of all members are known.
    pub fn is_complete(&self) -> bool {
        self.members.values().all(|member| member.disk.is_some())
    }

    /// Whether two configurations have to agree to everything.
    pub fn is_joint(&self) -> bool {
        let joint =
            |member: &Member| matches!(member.role, MemberRole::Entering | MemberRole::Leaving);
        self.members.values().any(joint)
    }

    /// What raft calls these members.
    pub(crate) fn conf_state(&self) -> ConfState {
        let with = |wanted: &[MemberRole]| -> Vec<u64> {
            let having = self.members.iter().filter(|(_, member)| wanted.contains(&member.role));
            having.map(|(id, _)| *id).collect()
        };
        let voters = with(&[MemberRole::Voter, MemberRole::Entering]);
        let mut state = ConfState::from((voters, with(&[MemberRole::Learner])));
        if self.is_joint() {
            state.voters_outgoing = with(&[MemberRole::Voter, MemberRole::Leaving]);
        }
        state
    }

    /// The change of raft's configuration from these members to others; none: there is no change to it. An error names
    /// what cannot be done in one change.
    pub(crate) fn change_to(&self, next: &Self) -> Result<Option<ConfChangeV2>, MembershipError> {
        let mut change = ConfChangeV2::default();
        if self.is_joint() {
            let mut left = self.clone();
            left.leave_joint();
            left.index = next.index;
            if left != *next {
                return Err(MembershipError("a joint configuration is left first".into()));
            }
            return Ok(Some(change));
        }
        let class = |membership: &Self, id: &u64| match membership.members.get(id).map(|it| it.role)
        {
            None | Some(MemberRole::Joining | MemberRole::Leaving) => ConfChangeType::RemoveNode,
            Some(MemberRole::Learner) => ConfChangeType::AddLearnerNode,
            Some(MemberRole::Voter | MemberRole::Entering) => ConfChangeType::AddNode,
        };
        let mut ids: Vec<u64> = self.members.keys().chain(next.members.keys()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let (before, after) = (class(self, &id), class(next, &id));
            if before != after {
                let mut single = ConfChangeSingle { node_id: id, ..ConfChangeSingle::default() };
                single.set_change_type(after);
                change.mut_changes().push(single);
            }
        }
        match (change.changes.len(), next.is_joint()) {
            (0, false) => Ok(None),
            (1, false) => Ok(Some(change)),
            (1.., true) => {
                // The leader leaves it by a change of its own.
                change.set_transition(ConfChangeTransition::Explicit);
                Ok(Some(change))
            }
            _ => Err(MembershipError("more than one vote changes at once".into())),
        }
    }

    /// Ends a joint configuration: who entered is a voter, who left is gone.
    pub(crate) fn leave_joint(&mut self) {
        self.members.retain(|_, member| member.role != MemberRole::Leaving);
        for member in self.members.values_mut() {
            if member.role == MemberRole::Entering {
                member.role = MemberRole::Voter;
                member.replaces = 0;
            }
        }
    }

    /// The membership in its wire form.
    pub(crate) fn to_wire(&self) -> pb::Membership {
        let member = |(id, member): (&u64, &Member)| {
            let Member { address, node_id, disk, role, replaces } = member;
            let role = match role {
                MemberRole::Joining => pb::MemberRole::Joining,
                MemberRole::Learner => pb::MemberRole::Learner,
                MemberRole::Voter => pb::MemberRole::Voter,
                MemberRole::Entering => pb::MemberRole::Entering,
                MemberRole::Leaving => pb::MemberRole::Leaving,
            };
            pb::Member {
                id: *id,
                address: address.clone(),
                node_id: node_id.clone(),
                disk: DiskId::to_wire(*disk),
                role: role as i32,
                replaces: *replaces,
            }
        };
        pb::Membership { index: self.index, members: self.members.iter().map(member).collect() }
    }

    /// The membership in bytes, as entries and stores have it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// Reads a membership that is not trusted.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, MembershipError> {
        if bytes.len() > MAX_MEMBERSHIP_BYTES {
            return Err(MembershipError(format!(
                "they have {} bytes: at most {MAX_MEMBERSHIP_BYTES} are allowed",
                bytes.len()
            )));
        }
        let decoded =
            pb::Membership::decode(bytes).map_err(|error| MembershipError(error.to_string()))?;
        Self::from_wire(decoded)
    }

    /// Reads a membership that is not trusted from its wire form.
    pub(crate) fn from_wire(membership: pb::Membership) -> Result<Self, MembershipError> {
        let pb::Membership { index, members: listed } = membership;
        if listed.len() > MAX_MEMBERS {
            let says = format!("there are {}: at most {MAX_MEMBERS} are allowed", listed.len());
            return Err(MembershipError(says));
        }
        let mut members = BTreeMap::new();
        for pb::Member { id, address, node_id, disk, role, replaces } in listed {
            let role = match pb::MemberRole::try_from(role) {
                Ok(pb::MemberRole::Joining) => MemberRole::Joining,
                Ok(pb::MemberRole::Learner) => MemberRole::Learner,
                Ok(pb::MemberRole::Voter) => MemberRole::Voter,
                Ok(pb::MemberRole::Entering) => MemberRole::Entering,
                Ok(pb::MemberRole::Leaving) => MemberRole::Leaving,
                Ok(pb::MemberRole::Unspecified) | Err(_) => {
                    return Err(MembershipError(format!("member {id} has role {role}")));
                }
            };
            let disk = DiskId::from_wire(&disk)
                .ok_or_else(|| MembershipError(format!("member {id} has a malformed disk id")))?;
            if address.len().max(node_id.len()) > MAX_MEMBER_TEXT_BYTES {
                return Err(MembershipError(format!(
                    "member {id} has an address or node id that is too long"
                )));
            }
            let member = Member { address, node_id, disk, role, replaces };
            if id == 0 || members.insert(id, member).is_some() {
                return Err(MembershipError(format!("member {id} is 0 or there twice")));
            }
        }
        let membership = Self { index, members };
        if membership.conf_state().voters.is_empty() {
            return Err(MembershipError("none of them votes".into()));
        }
        Ok(membership)
    }
}
