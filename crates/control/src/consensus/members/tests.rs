//! Members are read without trust, changed one vote at a time, and messages are taken by disks.

use super::admission::{Envelope, NotAdmitted, Receiver, admit};
use super::disk::DiskId;
use super::founding::Founding;
use super::membership::{MAX_MEMBERS, Member, MemberRole, Membership};
use super::step::{Facts, Step, next_step};
use crate::consensus::log::LogPosition;
use marquee_proto::raft::v1 as pb;
use proptest::prelude::*;
use raft::eraftpb::{ConfChangeTransition, MessageType};

const BEGINS: LogPosition = LogPosition { index: 1, term: 1 };

fn disk(number: u64) -> DiskId {
    DiskId::of_number(number)
}

/// A group of three on disks 1, 2 and 3, as of entry 10.
fn group() -> Membership {
    let mut group = Membership::founding(&[1, 2, 3], BEGINS);
    group.index = 10;
    for (id, member) in &mut group.members {
        member.disk = Some(disk(*id));
    }
    group
}

fn any_membership() -> impl Strategy<Value = Membership> {
    let role = prop_oneof![
        Just(MemberRole::Joining),
        Just(MemberRole::Learner),
        Just(MemberRole::Voter),
        Just(MemberRole::Entering),
        Just(MemberRole::Leaving),
    ];
    let member = (role, prop::option::of(1..9_u64), "[a-z:/.]{0,20}", 0..4_u64).prop_map(
        |(role, number, address, replaces)| Member {
            address,
            node_id: String::new(),
            disk: number.map(disk),
            role,
            replaces,
        },
    );
    (any::<u64>(), prop::collection::btree_map(1..20_u64, member, 0..=MAX_MEMBERS))
        .prop_map(|(index, members)| Membership { index, members })
}

proptest! {
    #[test]
    fn members_come_back_as_they_were_if_one_votes(membership in any_membership()) {
        let read = Membership::decode(&membership.encode());
        if membership.conf_state().voters.is_empty() {
            prop_assert!(read.is_err());
        } else {
            prop_assert_eq!(read, Ok(membership));
        }
    }

    #[test]
    fn no_bytes_make_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Membership::decode(&bytes);
    }

    #[test]
    fn a_change_moves_one_vote_or_is_joint(before in any_membership(), after in any_membership()) {
        if before.is_joint() {
            return Ok(());
        }
        let moved = |id: &u64| {
            let votes = |it: &Membership| {
                it.members.get(id).is_some_and(|m| matches!(m.role, MemberRole::Voter | MemberRole::Entering))
            };
            votes(&before) != votes(&after)
        };
        let ids = before.members.keys().chain(after.members.keys());
        let count = ids.collect::<std::collections::BTreeSet<_>>().into_iter().filter(|id| moved(id)).count();
        match before.change_to(&after) {
            Ok(None) => prop_assert_eq!(count, 0),
            Ok(Some(change)) if after.is_joint() => {
                prop_assert_eq!(change.get_transition(), ConfChangeTransition::Explicit);
            }
            Ok(Some(change)) => {
                prop_assert_eq!(change.changes.len(), 1);
                prop_assert!(count <= 1);
            }
            Err(_) => {}
        }
    }
}

#[test]
fn malformed_members_are_refused() {
    let refused = |change: fn(&mut pb::Membership)| {
        let mut wire = group().to_wire();
        change(&mut wire);
        Membership::from_wire(wire).expect_err("refused").to_string()
    };
    assert!(refused(|it| it.members[0].id = 0).contains("0 or there twice"));
    assert!(refused(|it| it.members[0].id = 2).contains("0 or there twice"));
    assert!(refused(|it| it.members[0].role = 9).contains("role 9"));
    assert!(refused(|it| it.members[0].disk = vec![1; 15].into()).contains("malformed disk"));
    assert!(refused(|it| it.members[0].disk = vec![0; 16].into()).contains("malformed disk"));
    assert!(refused(|it| it.members.clear()).contains("none of them votes"));
    assert!(refused(|it| it.members = vec![pb::Member::default(); 10]).contains("at most 9"));
    assert!(refused(|it| it.members[0].address = "x".repeat(513)).contains("too long"));
}

#[test]
fn votes_count_from_the_disk_that_the_group_knows_only() {
    let members = group();
    let ours = Receiver { id: 1, disk: disk(1), has_history: true, members: &members };
    let take = |kind, from, from_disk: Option<u64>, to_disk: Option<u64>, members_at| {
        let (from_disk, to_disk) = (from_disk.map(disk), to_disk.map(disk));
        admit(kind, &Envelope { from, from_disk, to_disk, members_at }, &ours)
    };
    let from_other = Err(NotAdmitted::FromOtherDisk { from: 3, known: disk(3) });
    let not_a_member = Err(NotAdmitted::NotAMember { from: 4, members_at: 10 });
    let unknown = Err(NotAdmitted::UnknownDisk { ours: disk(1) });
    for answer in [
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVoteResponse,
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgReadIndex,
    ] {
        assert_eq!(take(answer, 3, Some(3), Some(1), 10), Ok(()));
        // However new its members are.
        for members_at in [1, 10, 99] {
            assert_eq!(take(answer, 3, Some(33), Some(1), members_at), from_other, "{answer:?}");
            assert_eq!(take(answer, 3, None, Some(1), members_at), from_other);
            assert_eq!(take(answer, 4, Some(4), Some(1), members_at), not_a_member);
        }
    }
    for request in [
        MessageType::MsgAppend,
        MessageType::MsgHeartbeat,
        MessageType::MsgSnapshot,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestPreVote,
        MessageType::MsgTimeoutNow,
    ] {
        assert_eq!(take(request, 3, Some(3), Some(1), 1), Ok(()));
        assert_eq!(take(request, 3, Some(33), Some(1), 10), from_other, "{request:?}");
        assert_eq!(take(request, 4, Some(4), Some(1), 10), not_a_member);
        // A newer configuration brings an old voter up to date.
        assert_eq!(take(request, 3, Some(33), Some(1), 11), Ok(()));
        assert_eq!(take(request, 4, Some(4), Some(1), 11), Ok(()));
        // And is for this disk, or for none.
        let other = Err(NotAdmitted::OtherDisk { id: 1, meant: disk(11), ours: disk(1) });
        assert_eq!(take(request, 3, Some(3), Some(11), 99), other);
        assert_eq!(take(request, 3, Some(3), None, 99), unknown);
    }
}

#[test]
fn a_disk_without_a_history_believes_only_who_means_it() {
    let members = Membership::founding(&[1, 2, 3], BEGINS);
    let take = |has_history, to_disk: Option<u64>| {
        let ours = Receiver { id: 1, disk: disk(1), has_history, members: &members };
        let to_disk = to_disk.map(disk);
        let envelope = Envelope { from: 2, from_disk: Some(disk(2)), to_disk, members_at: 1 };
        admit(MessageType::MsgRequestVote, &envelope, &ours).is_ok()
    };
    assert!(take(false, Some(1)));
    assert!(!take(false, None) && !take(false, Some(9)));
    // What an older release left has been a voter all the time.
    assert!(take(true, None) && take(true, Some(1)) && !take(true, Some(9)));
}

#[test]
fn a_group_is_founded_by_all_or_by_nobody() {
    let members = Membership::founding(&[1, 2, 3], BEGINS);
    let mut founding = Founding::default();
    let (me, all) = ((1, disk(1)), Membership { index: 1, ..group() });
    let mut other = all.clone();
    other.members.get_mut(&3).expect("a founder").disk = Some(disk(33));
    founding.hear((2, disk(2)), members.clone(), true, me);
    assert_eq!(founding.waits_for(&members, 1), [3]);
    founding.hear((3, disk(3)), all.clone(), true, me);
    assert_eq!(founding.heard(&members, 1, disk(1)), all);
    // Voter 2 has not heard of all disks, or has heard of another one.
    assert_eq!(founding.complete(&members, 1, disk(1)), None);
    founding.hear((2, disk(2)), other, true, me);
    assert_eq!(founding.complete(&members, 1, disk(1)), None);
    founding.hear((2, disk(2)), all.clone(), true, me);
    assert_eq!(founding.complete(&members, 1, disk(1)), Some(all.clone()));
    assert_eq!(founding.complete(&members, 9, disk(9)), None, "it is none of them");
    // One that has begun with these disks says the same.
    founding.hear((2, disk(2)), all, false, me);
    assert!(founding.complete(&members, 1, disk(1)).is_some());
    founding.hear((2, disk(2)), members.clone(), false, me);
    assert!(founding.is_there());
    assert_eq!(founding.complete(&members, 1, disk(1)), None);
}

/// The steps from members to where they stay, with what the leader finds.
fn steps(members: &Membership, facts: &Facts) -> Vec<String> {
    let (mut members, mut steps) = (members.clone(), Vec::new());
    while let Some(step) = next_step(&members, facts) {
        let Step::Propose(mut next) = step else {
            steps.push("hand over".into());
            return steps;
        };
        assert!(members.change_to(&next).is_ok(), "{members:?} {next:?}");
        next.index = members.index + 1;
        let one = |(id, it): (&u64, &Member)| format!("{id} {:?}", it.role);
        steps.push(next.members.iter().map(one).collect::<Vec<_>>().join(", "));
        members = next;
        assert!(steps.len() < 10, "{steps:?}");
    }
    steps
}

fn expected(replaces: u64) -> Member {
    let (address, node_id) = ("http://127.0.0.1:1".into(), String::new());
    Member { address, node_id, disk: None, role: MemberRole::Joining, replaces }
}

#[test]
fn members_come_step_by_step() {
    let mut wanted = group();
    wanted.members.insert(4, expected(0));
    let mut facts = Facts { me: 1, begins: 1, ..Facts::default() };
    assert!(steps(&wanted, &facts).is_empty(), "it has not said which disk it has");
    facts.announced.insert(4, disk(4));
    assert_eq!(steps(&wanted, &facts), ["1 Voter, 2 Voter, 3 Voter, 4 Learner"]);
    facts.caught_up.insert(4);
    let both = ["1 Voter, 2 Voter, 3 Voter, 4 Learner", "1 Voter, 2 Voter, 3 Voter, 4 Voter"];
    assert_eq!(steps(&wanted, &facts), both);

    wanted.members.insert(4, expected(2));
    let joint = [
        "1 Voter, 2 Voter, 3 Voter, 4 Learner",
        "1 Voter, 2 Leaving, 3 Voter, 4 Entering",
        "1 Voter, 3 Voter, 4 Voter",
    ];
    assert_eq!(steps(&wanted, &facts), joint);
    facts.me = 2;
    assert_eq!(steps(&wanted, &facts)[1], "hand over");
}

#[test]
fn the_disks_of_founders_are_written_down_once_all_have_answered() {
    let mut facts = Facts { me: 1, begins: 1, ..Facts::default() };
    let founded = Membership { index: 1, ..group() };
    assert_eq!(steps(&founded, &facts), ["1 Voter, 2 Voter, 3 Voter"]);
    assert!(steps(&group(), &facts).is_empty());
    let upgraded = Membership::founding(&[1, 2, 3], BEGINS);
    facts.answered.extend([(1, disk(1)), (2, disk(2))]);
    assert!(steps(&upgraded, &facts).is_empty(), "an older release may run on 3");
    facts.answered.insert(3, disk(3));
    let Some(Step::Propose(next)) = next_step(&upgraded, &facts) else { panic!("all answered") };
    assert_eq!(next, founded);
    assert_eq!(next_step(&Membership::founding(&[1], BEGINS), &facts), None, "alone");
}
