//! What operators may change of the members, and what is refused.

use super::membership::{MAX_MEMBER_TEXT_BYTES, MAX_MEMBERS, Member, MemberRole, Membership};
use marquee_proto::raft::v1 as pb;
use std::collections::BTreeSet;

/// A change of the members that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoterChange {
    /// A new voter is expected.
    Add {
        /// Its raft id.
        id: u64,
        /// Where the other voters reach it, `http://host:port`.
        address: String,
        /// Its node id, or empty.
        node_id: String,
    },
    /// A member is removed.
    Remove {
        /// Its raft id.
        id: u64,
    },
    /// A voter is replaced.
    Replace {
        /// Its raft id.
        id: u64,
        /// The raft id of the voter that takes its place; 0: the same id with another disk.
        with: u64,
        /// The address of the voter that comes; empty: as before.
        address: String,
        /// The node id of the voter that comes; empty: as before.
        node_id: String,
    },
}

/// What the leader knows of the members.
#[derive(Clone, Debug, Default)]
pub struct LeaderView {
    /// The leader's raft id.
    pub me: u64,
    /// The members that answered lately, the leader among them.
    pub active: BTreeSet<u64>,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// The voter is unknown.
    #[error("voter {0} is none of the group: `marquee ctl voters list` shows them")]
    Unknown(u64),
    /// The id is taken or malformed.
    #[error("voter {0} is 0 or in the group already: give the new voter an id of its own")]
    Taken(u64),
    /// There are too many.
    #[error("the group has {MAX_MEMBERS} members, which is the most: remove one first")]
    TooMany,
    /// An address or a node id is malformed.
    #[error(
        "the address {0:?} is not of the form http://host:port or https://host:port, of at most {MAX_MEMBER_TEXT_BYTES} bytes"
    )]
    Address(String),
    /// It would leave no majority.
    #[error(
        "of the voters that would be left ({left:?}) only {active:?} answer, which is no majority: start the others first"
    )]
    NoMajority {
        /// The voters after the change.
        left: Vec<u64>,
        /// Those of them that answer.
        active: Vec<u64>,
    },
    /// It is the only voter.
    #[error("voter {0} is the only one: add another first")]
    Last(u64),
    /// The voter that leads cannot go.
    #[error("voter {0} leads: leadership is moved first")]
    Leads(u64),
    /// The voter is well.
    #[error(
        "voter {0} answers on the disk that the group knows, so there is nothing to replace: to put another voter in its place \
         give --with"
    )]
    IsWell(u64),
    /// Another change is under way.
    #[error(
        "another change of the voters is under way: retry when `marquee ctl voters list` shows that it is done"
    )]
    UnderWay,
}

impl VoterChange {
    /// Reads a change that is not trusted from its wire form; none if there is none in it.
    pub(crate) fn from_wire(change: pb::change_voters_request::Change) -> Self {
        use pb::change_voters_request::Change;
        match change {
            Change::Add(pb::AddMember { id, address, node_id }) => {
                Self::Add { id, address, node_id }
            }
            Change::Remove(pb::RemoveMember { id }) => Self::Remove { id },
            Change::Replace(pb::ReplaceMember { id, with, address, node_id }) => {
                Self::Replace { id, with, address, node_id }
            }
        }
    }

    /// The change in its wire form.
    pub(crate) fn to_wire(&self) -> pb::change_voters_request::Change {
        use pb::change_voters_request::Change;
        match self.clone() {
            Self::Add { id, address, node_id } => {
                Change::Add(pb::AddMember { id, address, node_id })
            }
            Self::Remove { id } => Change::Remove(pb::RemoveMember { id }),
            Self::Replace { id, with, address, node_id } => {
                Change::Replace(pb::ReplaceMember { id, with, address, node_id })
            }
        }
    }
}

/// The members after a change that an operator asks for.
pub(crate) fn changed(
    members: &Membership,
    change: &VoterChange,
    view: &LeaderView,
) -> Result<Membership, ChangeRefused> {
    if members.is_joint() {
        return Err(ChangeRefused::UnderWay);
    }
    let mut next = members.clone();
    match change {
        // A caller that asks again, since it had no answer, gets the answer.
        VoterChange::Add { id, address, node_id }
            if next.members.get(id).is_some_and(|it| {
                (it.role, &it.address, &it.node_id) == (MemberRole::Joining, address, node_id)
            }) => {}
        VoterChange::Add { id, address, node_id } => expect(&mut next, *id, address, node_id, 0)?,
        VoterChange::Remove { id } => {
            let removed = next.members.remove(id).ok_or(ChangeRefused::Unknown(*id))?;
            if removed.role.votes() {
                may_lose(&next, *id, view)?;
            }
            for member in next.members.values_mut().filter(|member| member.replaces == *id) {
                member.replaces = 0;
            }
        }
        VoterChange::Replace { id, with, address, node_id } if *with != 0 && with != id => {
            let replaced = members.members.get(id).ok_or(ChangeRefused::Unknown(*id))?;
            if replaced.role != MemberRole::Voter {
                return Err(ChangeRefused::UnderWay);
            }
            if next.members.values().any(|member| member.replaces == *id) {
                return Err(ChangeRefused::UnderWay);
            }
            expect(&mut next, *with, address, node_id, *id)?;
        }
        VoterChange::Replace { id, address, node_id, with: _ } => {
            let mut without = next.clone();
            without.members.remove(id).ok_or(ChangeRefused::Unknown(*id))?;
            let member = next.members.get_mut(id).ok_or(ChangeRefused::Unknown(*id))?;
            if *id == view.me {
                return Err(ChangeRefused::Leads(*id));
            }
            if view.active.contains(id) {
                return Err(ChangeRefused::IsWell(*id));
            }
            if member.role.votes() {
                may_lose(&without, *id, view)?;
            }
            if !address.is_empty() {
                member.address = checked_address(address)?;
            }
            if !node_id.is_empty() {
                member.node_id.clone_from(node_id);
            }
            (member.role, member.disk) = (MemberRole::Joining, None);
        }
    }
    Ok(next)
}

fn expect(
    next: &mut Membership,
    id: u64,
    address: &str,
    node_id: &str,
    replaces: u64,
) -> Result<(), ChangeRefused> {
    if id == 0 || next.members.contains_key(&id) {
        return Err(ChangeRefused::Taken(id));
    }
    if next.members.len() >= MAX_MEMBERS {
        return Err(ChangeRefused::TooMany);
    }
    if node_id.len() > MAX_MEMBER_TEXT_BYTES {
        return Err(ChangeRefused::Address(node_id.chars().take(MAX_MEMBER_TEXT_BYTES).collect()));
    }
    let (address, node_id) = (checked_address(address)?, node_id.to_owned());
    let member = Member { address, node_id, disk: None, role: MemberRole::Joining, replaces };
    next.members.insert(id, member);
    Ok(())
}

fn checked_address(address: &str) -> Result<String, ChangeRefused> {
    let url = address.parse::<http::Uri>().ok();
    let is_url = url.is_some_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.port_u16().is_some()
    });
    if is_url && address.len() <= MAX_MEMBER_TEXT_BYTES {
        Ok(address.to_owned())
    } else {
        Err(ChangeRefused::Address(address.chars().take(MAX_MEMBER_TEXT_BYTES).collect()))
    }
}

/// Whether the group can go on without a voter.
fn may_lose(without: &Membership, id: u64, view: &LeaderView) -> Result<(), ChangeRefused> {
    let left = without.voters();
    if left.is_empty() {
        return Err(ChangeRefused::Last(id));
    }
    if id == view.me {
        return Err(ChangeRefused::Leads(id));
    }
    let active: Vec<u64> = left.iter().filter(|id| view.active.contains(id)).copied().collect();
    if active.len() < left.len() / 2 + 1 {
        return Err(ChangeRefused::NoMajority { left, active });
    }
    Ok(())
}
