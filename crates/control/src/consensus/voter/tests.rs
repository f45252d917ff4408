//! Which messages a voter ignores, and what it cannot go on from.

use super::*;
use crate::consensus::members::DiskId;
use crate::consensus::store::torn_disk::TornDisk;
use crate::consensus::store::{Genesis, Identity};
use crate::test_machine::{Sum, UNREADABLE};
use std::path::Path;

fn genesis() -> Genesis {
    Genesis { state: b"0".to_vec(), disk: DiskId::of_number(1) }
}

/// A voter of a new group whose disks are known.
fn voter() -> Voter<Sum, ()> {
    let identity = Identity { id: 1, cluster: 7, voters: vec![1, 2, 3] };
    let disk = TornDisk::default();
    let store = Store::open_backend(disk, Path::new("disk"), &identity, &genesis()).expect("new");
    let mut voter = Voter::open(1, store, Sum::default(), VoterConfig::default()).expect("new");
    for id in [2, 3] {
        hear(&mut voter, greeting(id, id)).expect("healthy");
    }
    voter
}

/// What voter `from` on disk `disk` says when it is new.
fn greeting(from: u64, disk: u64) -> pb::Message {
    let begins = LogPosition { index: FIRST_INDEX, term: 1 };
    let mut members = Membership::founding(&[1, 2, 3], begins);
    for (id, member) in &mut members.members {
        member.disk = Some(DiskId::of_number(*id));
    }
    let members = Some(members.to_wire());
    let greeting = Some(pb::Greeting { members, founded: false, asks: false });
    let from_disk = DiskId::to_wire(Some(DiskId::of_number(disk)));
    pb::Message { to: 1, from, from_disk, greeting, ..Default::default() }
}

fn hear(voter: &mut Voter<Sum, ()>, message: pb::Message) -> Result<usize, VoterError> {
    // Who is told which disk this is, counts for nothing.
    let counts = |effect: &Effect<()>| !matches!(effect, Effect::Send(it) if it.greeting.is_some());
    let mut effects = 0;
    voter.handle(RaftEvent::Message(Box::new(message)), &mut |it| {
        effects += usize::from(counts(&it))
    })?;
    voter.flush(&mut |it| effects += usize::from(counts(&it)))?;
    Ok(effects)
}

fn message(kind: MessageType) -> pb::Message {
    pb::Message {
        r#type: kind as u32,
        to: 1,
        from: 2,
        term: 5,
        from_disk: DiskId::to_wire(Some(DiskId::of_number(2))),
        to_disk: DiskId::to_wire(Some(DiskId::of_number(1))),
        members_at: FIRST_INDEX,
        ..Default::default()
    }
}

#[test]
fn a_voter_that_lost_its_disk_says_so() {
    let mut voter = voter();
    let heartbeat = |commit| pb::Message { commit, ..message(MessageType::MsgHeartbeat) };
    assert_eq!(hear(&mut voter, heartbeat(1)).expect("nothing new"), 1);
    let error = hear(&mut voter, heartbeat(50)).expect_err("it never had 50 entries");
    assert!(matches!(error, VoterError::Forgotten { acknowledged: 50, last: 1 }), "{error}");
    assert!(error.to_string().contains("voters replace"), "{error}");
}

fn append(entries: Vec<pb::Entry>) -> pb::Message {
    pb::Message { index: 1, log_term: 1, commit: 1, entries, ..message(MessageType::MsgAppend) }
}

fn entry(index: u64, data: &'static [u8]) -> pb::Entry {
    pb::Entry { index, term: 5, data: data.into(), ..Default::default() }
}

#[test]
fn a_voter_with_a_history_is_not_stopped_by_one_that_says_there_was_more() {
    let mut voter = voter();
    assert_eq!(hear(&mut voter, append(vec![entry(2, b"x")])).expect("sound"), 1);
    let heartbeat = pb::Message { commit: 50, ..message(MessageType::MsgHeartbeat) };
    assert_eq!(hear(&mut voter, heartbeat).expect("survived"), 0);
    assert_eq!(voter.refused(), 1);
    // Who says so is not followed any more in its term, however sound the rest is.
    assert_eq!(hear(&mut voter, append(vec![])).expect("survived"), 0);
    let next = pb::Message { term: 6, ..append(vec![]) };
    assert_eq!(hear(&mut voter, next).expect("sound"), 1);
}

#[test]
fn an_entry_that_cannot_be_read_is_not_appended() {
    let mut voter = voter();
    let entries = vec![entry(2, b"x"), entry(3, UNREADABLE)];
    assert_eq!(hear(&mut voter, append(entries)).expect("survived"), 0);
    assert_eq!((voter.store().last().index, voter.refused()), (1, 1));
}

#[test]
fn an_unreadable_entry_in_the_own_log_is_told_of_at_the_start() {
    let identity = Identity { id: 1, cluster: 7, voters: vec![1] };
    let disk = TornDisk::default();
    let mut store =
        Store::open_backend(disk.clone(), Path::new("disk"), &identity, &genesis()).expect("new");
    let forged = Entry { index: 2, term: 1, data: UNREADABLE.into(), ..Entry::default() };
    store.write(&Batch { entries: &[forged], ..Batch::default() }).expect("a healthy disk");
    drop(store);
    let store = Store::open_backend(disk, Path::new("disk"), &identity, &genesis()).expect("sound");
    let opened = Voter::<Sum, ()>::open(1, store, Sum::default(), VoterConfig::default());
    let error = opened.err().expect("refused").to_string();
    assert!(error.contains("entry 2 of the control log, which is not known to be"), "{error}");
    assert!(error.contains("put this node's data directory back"), "{error}");
}

#[test]
fn an_absurd_term_changes_nothing() {
    for term in [u64::MAX, u64::MAX / 2, 1 << 40] {
        for kind in [
            MessageType::MsgAppend,
            MessageType::MsgHeartbeat,
            MessageType::MsgRequestVote,
            MessageType::MsgRequestPreVote,
            MessageType::MsgAppendResponse,
            MessageType::MsgRequestVoteResponse,
        ] {
            let mut voter = voter();
            let absurd = pb::Message { term, index: 1, log_term: 1, ..message(kind) };
            assert_eq!(hear(&mut voter, absurd).expect("survived"), 0, "{kind:?} {term}");
            assert_eq!((voter.status().term, voter.refused()), (1, 1), "{kind:?} {term}");
        }
    }
}

#[test]
fn messages_of_outsiders_and_nonsense_have_no_effect() {
    let snapshot = |data: &'static str, voters: &[u64]| {
        let (index, term, voters, data) = (90, 4, voters.to_vec(), data.into());
        Some(pb::Snapshot { index, term, voters, data, ..Default::default() })
    };
    let heartbeat = message(MessageType::MsgHeartbeat);
    let install = message(MessageType::MsgSnapshot);
    for nonsense in [
        pb::Message { from: 9, ..heartbeat.clone() },
        pb::Message { from: 1, ..heartbeat.clone() },
        pb::Message { to: 2, ..heartbeat.clone() },
        pb::Message { r#type: 99, ..heartbeat.clone() },
        pb::Message { snapshot: snapshot("7", &[1, 2]), ..install.clone() },
        pb::Message { snapshot: snapshot("no sum", &[1, 2, 3]), ..install.clone() },
        pb::Message { snapshot: None, ..install.clone() },
    ] {
        let mut voter = voter();
        assert_eq!(hear(&mut voter, nonsense.clone()).expect("survived"), 0, "{nonsense:?}");
        assert_eq!(voter.machine(), &Sum(0));
    }
    let mut voter = voter();
    let sound = pb::Message { snapshot: snapshot("7", &[1, 2, 3]), ..install };
    assert_eq!(hear(&mut voter, sound).expect("sound"), 1);
    assert_eq!(voter.machine(), &Sum(7));
    assert_eq!(voter.status().applied, 90);
    assert_eq!(voter.store().snapshot_position(), LogPosition { index: 90, term: 4 });
}

#[test]
fn a_voter_that_does_not_lead_names_the_leader() {
    let mut voter = voter();
    let propose = |voter: &mut Voter<Sum, ()>, command: &[u8]| {
        let mut answer = None;
        let command = command.to_vec();
        let out = &mut |effect| {
            if let Effect::Reply { result, .. } = effect {
                answer = Some(result);
            }
        };
        voter.handle(RaftEvent::Propose { command, reply: () }, out).expect("no disk is touched");
        answer
    };
    assert_eq!(propose(&mut voter, b"x"), Some(Err(Refused::NotLeader { leader: None })));
    hear(&mut voter, message(MessageType::MsgHeartbeat)).expect("a leader");
    assert_eq!(propose(&mut voter, b"x"), Some(Err(Refused::NotLeader { leader: Some(2) })));
}

#[test]
fn a_leader_takes_no_more_than_it_can_hold() {
    let identity = Identity { id: 1, cluster: 7, voters: vec![1] };
    let store = Store::open_backend(TornDisk::default(), Path::new("disk"), &identity, &genesis());
    let mut voter =
        Voter::open(1, store.expect("new"), Sum::default(), VoterConfig::default()).expect("new");
    voter.handle(RaftEvent::Campaign, &mut |_| {}).expect("alone");
    voter.flush(&mut |_| {}).expect("alone");
    assert!(voter.status().leads());
    let mut answers = Vec::new();
    let out = &mut |effect| {
        if let Effect::Reply { reply, result } = effect {
            answers.push((reply, result));
        }
    };
    for reply in 0..=MAX_PENDING {
        voter
            .handle(RaftEvent::Propose { command: vec![1], reply }, out)
            .expect("no disk is touched");
    }
    let command = vec![1; MAX_COMMAND_BYTES + 1];
    voter.handle(RaftEvent::Propose { command, reply: 9_999 }, out).expect("no disk is touched");
    voter.flush(out).expect("a healthy disk");
    let bytes = MAX_COMMAND_BYTES + 1;
    assert_eq!(answers[0], (MAX_PENDING, Err(Refused::Busy)));
    assert_eq!(answers[1], (9_999, Err(Refused::TooLarge { bytes })));
    assert_eq!(answers.len(), MAX_PENDING + 2);
    assert_eq!(voter.machine(), &Sum(MAX_PENDING as u64));
}
