//! What honest voters send passes; what they never send does not.

use super::*;
use raft::eraftpb::Entry;

fn follower() -> Standing {
    let last = LogPosition { index: 40, term: 5 };
    Standing { term: 5, leader: 2, leads: false, last, distrusted: 0 }
}

fn leader() -> Standing {
    Standing { leader: 1, leads: true, ..follower() }
}

fn message(kind: MessageType) -> Message {
    let mut message = Message { to: 1, from: 2, term: 5, ..Message::default() };
    message.set_msg_type(kind);
    message
}

fn append() -> Message {
    Message { index: 40, log_term: 5, commit: 41, ..message(MessageType::MsgAppend) }
}

fn read_index() -> Message {
    let mut asked = Message { term: 0, ..message(MessageType::MsgReadIndex) };
    asked.mut_entries().push(Entry { data: vec![7; CONTEXT_BYTES].into(), ..Entry::default() });
    asked
}

#[test]
fn what_honest_voters_send_passes() {
    for (ours, message) in [
        (follower(), append()),
        (follower(), Message { commit: 40, ..message(MessageType::MsgHeartbeat) }),
        (follower(), message(MessageType::MsgTimeoutNow)),
        (
            follower(),
            Message { term: 6, from: 3, log_term: 5, ..message(MessageType::MsgRequestVote) },
        ),
        (
            follower(),
            Message { term: 4, from: 3, commit: 99, ..message(MessageType::MsgHeartbeat) },
        ),
        (leader(), Message { index: 40, commit: 40, ..message(MessageType::MsgAppendResponse) }),
        (leader(), message(MessageType::MsgTransferLeader)),
        (leader(), read_index()),
    ] {
        assert_eq!(check_standing(&message, &ours), Ok(()), "{message:?}");
    }
}

#[test]
fn what_no_honest_voter_sends_is_refused() {
    let hint = Message { reject: true, ..message(MessageType::MsgAppendResponse) };
    for (ours, message, why) in [
        (follower(), Message { term: u64::MAX, ..append() }, "its term is"),
        (follower(), Message { index: u64::MAX, ..append() }, "its index is"),
        (follower(), Message { index: 1 << 40, ..append() }, "index is 1099511627736 ahead"),
        (follower(), Message { commit: 1 << 40, ..append() }, "commit is"),
        (follower(), Message { index: 90, log_term: 0, ..append() }, "log_term 0 does not fit"),
        (follower(), Message { log_term: 6, ..append() }, "log_term 6 does not fit its term 5"),
        (follower(), Message { from: 3, ..append() }, "in which voter 2 does"),
        (leader(), append(), "in which voter 1 does"),
        (
            follower(),
            Message { commit: 41, ..message(MessageType::MsgHeartbeat) },
            "its disk was lost",
        ),
        (follower(), Message { from: 3, ..message(MessageType::MsgTimeoutNow) }, "from the leader"),
        (
            follower(),
            Message { from: 3, ..message(MessageType::MsgReadIndexResp) },
            "from the leader",
        ),
        (follower(), message(MessageType::MsgTransferLeader), "does not lead"),
        (follower(), read_index(), "does not lead"),
        (leader(), Message { term: 5, ..read_index() }, "its term is not one"),
        (leader(), Message { reject_hint: 41, ..hint.clone() }, "reject_hint is 41"),
        (leader(), Message { request_snapshot: 1, ..hint.clone() }, "request_snapshot"),
        (leader(), Message { priority: 1, ..hint }, "priority"),
        (
            leader(),
            Message { commit: 41, ..message(MessageType::MsgHeartbeatResponse) },
            "commit is 41",
        ),
        (follower(), Message { log_term: 5, ..message(MessageType::MsgRequestVote) }, "log_term 5"),
        (
            follower(),
            Message { context: "x".into(), ..message(MessageType::MsgHeartbeat) },
            "its context",
        ),
    ] {
        let refused = check_standing(&message, &ours).expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}, not {why}");
    }
}

#[test]
fn a_leader_that_lies_is_not_followed_in_its_term() {
    let ours = Standing { distrusted: 2, ..follower() };
    assert_eq!(check_standing(&append(), &ours), Err(Implausible::Distrusted { term: 5 }));
    let next = Message { term: 6, ..append() };
    assert_eq!(check_standing(&next, &ours), Ok(()));
    let answer = message(MessageType::MsgRequestVoteResponse);
    assert_eq!(check_standing(&answer, &ours), Ok(()));
}

#[test]
fn entries_of_one_message_are_bounded() {
    let mut large = append();
    for index in 41..44 {
        let data = vec![0; MAX_COMMAND_BYTES].into();
        large.mut_entries().push(Entry { index, term: 5, data, ..Entry::default() });
    }
    let refused = check_standing(&large, &follower()).expect_err("3 MiB");
    assert!(matches!(refused, Implausible::EntriesTooLarge { .. }), "{refused}");
}

fn at_term(from: u64, term: u64) -> Message {
    Message { from, term, ..message(MessageType::MsgAppendResponse) }
}

#[test]
fn others_move_the_term_together_as_far_as_there_can_have_been_elections() {
    let mut terms = Terms::default();
    let most = 5 + MAX_TERMS_AHEAD;
    let refused = |ahead, allowed| Err(Implausible::TermAhead { ahead, allowed });
    for from in [2, 3, 2] {
        let absurd = terms.check(&at_term(from, most + 1), 5);
        assert_eq!(absurd, refused(MAX_TERMS_AHEAD + 1, MAX_TERMS_AHEAD));
    }
    assert_eq!(terms.check(&at_term(2, 1_005), 5), Ok(()));
    let more = terms.check(&at_term(3, most + 2), 1_005);
    assert_eq!(more, refused(MAX_TERMS_AHEAD - 998, MAX_TERMS_AHEAD - 1_000));
    // With time it is possible.
    for _ in 0..2 * TICKS_PER_TERM {
        terms.tick();
    }
    assert_eq!(terms.check(&at_term(3, most + 2), 1_005), Ok(()));
}

#[test]
fn what_one_voter_was_made_to_believe_the_others_believe_of_it() {
    let (mut victim, mut other) = (Terms::default(), Terms::default());
    let mut term = 5;
    // As both of the others, as far as it goes, and then whenever it goes.
    for from in [2, 3] {
        while victim.check(&at_term(from, term + 9_999), term).is_ok() {
            term += 9_999;
        }
    }
    for _ in 0..1_000 {
        victim.tick();
        other.tick();
        if victim.check(&at_term(2, term + 1), term).is_ok() {
            term += 1;
        }
    }
    assert!(term > 5 + MAX_TERMS_AHEAD / 2, "{term}");
    assert_eq!(other.check(&at_term(1, term), 5), Ok(()));
}

#[test]
fn a_voter_raises_the_term_no_faster_than_elections_do() {
    let mut terms = Terms::default();
    let mut ours = 5;
    for _ in 0..MAX_RAISES {
        ours += 1;
        assert_eq!(terms.check(&at_term(2, ours), ours - 1), Ok(()));
    }
    assert_eq!(terms.check(&at_term(2, ours + 1), ours), Err(Implausible::TermRaised));
    // Another voter's elections go on.
    assert_eq!(terms.check(&at_term(3, ours + 1), ours), Ok(()));
    for _ in 0..TICKS_PER_RAISE {
        terms.tick();
    }
    assert_eq!(terms.check(&at_term(2, ours + 2), ours + 1), Ok(()));
    assert_eq!(terms.check(&at_term(2, ours + 3), ours + 2), Err(Implausible::TermRaised));
}

#[test]
fn asking_before_an_election_raises_nothing() {
    let mut terms = Terms::default();
    let ask = |term| Message { term, ..message(MessageType::MsgRequestPreVote) };
    for _ in 0..=MAX_RAISES {
        assert_eq!(terms.check(&ask(7), 5), Ok(()));
    }
    let refused = terms.check(&ask(5 + MAX_TERMS_AHEAD + 2), 5).expect_err("absurd");
    let (ahead, allowed) = (MAX_TERMS_AHEAD + 1, MAX_TERMS_AHEAD);
    assert_eq!(refused, Implausible::TermAhead { ahead, allowed });
}
