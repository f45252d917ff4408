//! What the leader does next so that the members become what operators asked for.
//!
//! The wish is part of the replicated membership, so the next leader goes on with it. Each step is one entry; the next is
//! made when it is applied.

use super::disk::DiskId;
use super::membership::{MemberRole, Membership};
use std::collections::{BTreeMap, BTreeSet};

/// What the leader knows that decides on its next step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Its raft id.
    pub(crate) me: u64,
    /// Where its log begins: the index at which members are as the config has them.
    pub(crate) begins: u64,
    /// Disks of members that have answered as voters of the group, by raft id.
    pub(crate) answered: BTreeMap<u64, DiskId>,
    /// New disks of members that are expected, by raft id.
    pub(crate) announced: BTreeMap<u64, DiskId>,
    /// Learners that have the log.
    pub(crate) caught_up: BTreeSet<u64>,
}

/// What the leader does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It proposes these members.
    Propose(Membership),
    /// It hands leadership over, since its place is taken by another voter.
    HandOver,
}

/// The leader's next step; none: the members are as they should be, or someone is waited for.
pub(crate) fn next_step(members: &Membership, facts: &Facts) -> Option<Step> {
    let mut next = members.clone();
    if members.is_joint() {
        next.leave_joint();
        return Some(Step::Propose(next));
    }
    // What the log does not say yet: the disks of the members that the group was founded with, or that an older release
    // left.
    if members.members.len() > 1 {
        for (id, member) in &mut next.members {
            if member.role != MemberRole::Joining && member.disk.is_none() {
                member.disk = facts.answered.get(id).copied();
            }
        }
        let is_known =
            next.members.values().all(|it| it.role == MemberRole::Joining || it.disk.is_some());
        if is_known && (members.index == facts.begins || next != *members) {
            return Some(Step::Propose(next));
        }
    }
    next = members.clone();
    for (id, member) in &mut next.members {
        if member.role == MemberRole::Joining
            && let Some(disk) = facts.announced.get(id)
        {
            (member.role, member.disk) = (MemberRole::Learner, Some(*disk));
            return Some(Step::Propose(next));
        }
    }
    let ready = members
        .members
        .iter()
        .find(|(id, member)| member.role == MemberRole::Learner && facts.caught_up.contains(id));
    let (id, ready) = ready?;
    let replaced = members.members.get(&ready.replaces).filter(|it| it.role == MemberRole::Voter);
    let role = if replaced.is_some() { MemberRole::Entering } else { MemberRole::Voter };
    if replaced.is_some() && ready.replaces == facts.me {
        return Some(Step::HandOver);
    }
    if let Some(leaving) = next.members.get_mut(&ready.replaces).filter(|_| replaced.is_some()) {
        leaving.role = MemberRole::Leaving;
    }
    if let Some(member) = next.members.get_mut(id) {
        member.role = role;
        if role == MemberRole::Voter {
            member.replaces = 0;
        }
    }
    Some(Step::Propose(next))
}
