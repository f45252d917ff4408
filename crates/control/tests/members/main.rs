//! Who may vote in a group, and how voters come and go: the real voters and stores, in one thread, over a made-up network.

#[path = "../simulation/journal.rs"]
mod journal;
mod world;

use marquee_control::consensus::event::{Refused, VoterReply};
use marquee_control::consensus::members::MemberRole;
use marquee_control::consensus::members::change::{ChangeRefused, VoterChange};
use world::{LONG, World};

fn replace(id: u64) -> VoterChange {
    VoterChange::Replace { id, with: 0, address: String::new(), node_id: String::new() }
}

fn replace_with(id: u64, with: u64) -> VoterChange {
    let address = format!("http://127.0.0.1:700{with}");
    VoterChange::Replace { id, with, address, node_id: String::new() }
}

fn add(id: u64) -> VoterChange {
    let address = format!("http://127.0.0.1:700{id}");
    VoterChange::Add { id, address, node_id: String::new() }
}

/// A group of three that has written something.
fn group() -> World {
    let mut world = World::new(&[1, 2, 3]);
    world.start_all();
    world.until_recorded();
    world.write("before");
    world
}

#[test]
fn an_emptied_voter_gives_no_second_vote() {
    let mut world = group();
    world.stop(1);
    world.until_leader();
    for n in 1..=26 {
        world.write(&format!("acknowledged-{n}"));
    }
    world.stop(2);
    world.stop(3);
    world.empty(3);
    world.start(1);
    world.start(3);
    for _ in 0..LONG {
        world.tick();
        assert!(world.leaders().is_empty(), "1 and the empty 3 are no majority");
    }
    let trouble = world.trouble_of(3, 3);
    assert!(trouble.contains("marquee ctl voters replace 3"), "{trouble}");
    assert!(!world.has(3, "before"), "it was given entries for the disk that it is not");
    world.start(2);
    world.until_leader();
    world.write("after");
    for n in 1..=26 {
        assert!(world.has(1, &format!("acknowledged-{n}")), "{n} is lost");
    }
    assert!(!world.has(3, "after"));
    let leader = world.until_leader();
    let says = world.trouble_of(leader, 3);
    assert!(says.contains("another disk") && says.contains("voters replace 3"), "{says}");

    world.change(replace(3)).expect("the others are a majority");
    world.until_voters(&[1, 2, 3]);
    world.write("with three");
    world.until_all_have("with three");
    assert!(world.has(3, "acknowledged-26"));
    // Its new disk counts: it and one other go on.
    world.stop(1);
    world.until_leader();
    world.write("with the new disk");
}

#[test]
fn a_new_group_begins_when_all_of_its_disks_have_spoken() {
    let mut world = World::new(&[1, 2, 3]);
    world.start(1);
    world.start(2);
    for _ in 0..LONG {
        world.tick();
        assert!(world.leaders().is_empty(), "voter 3 may have been part of a group");
    }
    let trouble = world.trouble_of(1, 1);
    assert!(trouble.contains("voters [3] are missing"), "{trouble}");
    world.start(3);
    world.until_leader();
    world.write("begun");
    world.until_all_have("begun");
    // From now on two are enough.
    world.stop(3);
    world.until_leader();
    world.write("without 3");
}

#[test]
fn disks_that_are_emptied_before_the_group_begins_lose_nothing() {
    let mut world = World::new(&[1, 2, 3]);
    for emptied in [3, 2, 1] {
        world.start(1);
        world.start(2);
        world.tick();
        world.stop_running();
        world.empty(emptied);
    }
    world.start_all();
    world.until_leader();
    world.write("begun");
    world.until_all_have("begun");
}

#[test]
fn a_voter_that_never_started_and_an_emptied_one_make_no_second_group() {
    let mut world = World::new(&[1, 2, 3]);
    world.start_all();
    // All have greeted each other, but 3 goes before anything is written.
    world.until_leader();
    world.stop(3);
    world.until_leader();
    world.write("acknowledged");
    world.stop_running();
    for emptied in [2, 3] {
        world.empty(emptied);
    }
    world.start(2);
    world.start(3);
    for _ in 0..LONG {
        world.tick();
        assert!(world.leaders().is_empty());
    }
    // With voter 1 they learn that there was a group.
    world.start(1);
    for _ in 0..LONG {
        world.tick();
        assert!(world.leaders().is_empty());
    }
    assert!(world.trouble_of(2, 2).contains("voters replace 2"));
}

#[test]
fn a_new_voter_is_sent_the_log_before_it_votes() {
    let mut world = group();
    for n in 0..200 {
        world.write(&format!("load-{n}"));
    }
    world.cut_appends_to(4);
    world.change(add(4)).expect("allowed");
    world.start(4);
    for _ in 0..LONG {
        world.tick();
        world.write_if_led("more");
        let role = world.role_of(4);
        assert_ne!(role, Some(MemberRole::Voter), "it has nothing of the log yet");
    }
    assert_eq!(world.role_of(4), Some(MemberRole::Learner));
    world.mend();
    world.until_voters(&[1, 2, 3, 4]);
    world.write("with four");
    world.until_all_have("with four");
    assert!(world.has(4, "load-199"));
}

#[test]
fn a_dead_voter_is_replaced_by_another_in_one_joint_step() {
    let mut world = group();
    world.stop(2);
    let leader = world.until_leader();
    world.change(replace_with(2, 4)).expect("the others are a majority");
    world.start(4);
    let mut sizes = Vec::new();
    for _ in 0..LONG {
        world.tick();
        world.write_if_led("load");
        let voters = world.voters_of(leader);
        if sizes.last() != Some(&voters) {
            sizes.push(voters);
        }
    }
    // The joint configuration has all four, and no configuration has two.
    assert_eq!(sizes, [vec![1, 2, 3], vec![1, 2, 3, 4], vec![1, 3, 4]]);
    world.until_all_have("before");
    // The removed one comes back, and disturbs nobody.
    let (leader, term) = (world.until_leader(), world.term());
    world.start(2);
    for _ in 0..LONG {
        world.tick();
        assert_eq!((world.leaders(), world.term()), (vec![leader], term));
    }
    assert!(world.trouble_of(2, 2).contains("none of the group"), "{}", world.trouble_of(2, 2));
    world.write("undisturbed");
    assert!(!world.has(2, "undisturbed"));
}

#[test]
fn the_leader_is_replaced_too_and_hands_over_first() {
    let mut world = group();
    let leader = world.until_leader();
    world.change(replace_with(leader, 4)).expect("allowed");
    world.start(4);
    let others: Vec<u64> = [1, 2, 3, 4].into_iter().filter(|id| *id != leader).collect();
    world.until_voters(&others);
    world.write("without it");
    let removed = world.until_leader();
    let refused = world.change(VoterChange::Remove { id: removed });
    assert!(matches!(refused, Err(Refused::Change(ChangeRefused::Leads(_)))), "{refused:?}");
}

#[test]
fn changes_that_would_stop_the_group_are_refused() {
    let mut world = group();
    let refused = |world: &mut World, change: VoterChange| match world.change(change) {
        Err(Refused::Change(refused)) => refused,
        other => panic!("it was {other:?}"),
    };
    let leader = world.until_leader();
    let others: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != leader).collect();
    let (dead, alive) = (others[0], others[1]);
    assert_eq!(refused(&mut world, replace(alive)), ChangeRefused::IsWell(alive));
    assert_eq!(refused(&mut world, add(alive)), ChangeRefused::Taken(alive));
    assert_eq!(refused(&mut world, replace(9)), ChangeRefused::Unknown(9));
    let nowhere = VoterChange::Add { id: 9, address: "nowhere".into(), node_id: String::new() };
    assert_eq!(refused(&mut world, nowhere), ChangeRefused::Address("nowhere".into()));
    world.stop(dead);
    for _ in 0..30 {
        world.tick();
    }
    // Two would be left, of which one answers.
    let no_majority = ChangeRefused::NoMajority {
        left: vec![leader.min(dead), leader.max(dead)],
        active: vec![leader],
    };
    assert_eq!(refused(&mut world, VoterChange::Remove { id: alive }), no_majority);
    world.change(VoterChange::Remove { id: dead }).expect("the two that run are left");
    world.until_voters(&[leader.min(alive), leader.max(alive)]);
    world.write("with two");
}

#[test]
fn a_minority_changes_nothing() {
    let mut world = group();
    let leader = world.until_leader();
    for id in [1, 2, 3] {
        if id != leader {
            world.stop(id);
        }
    }
    for id in [1, 2, 3] {
        let change = world.change(replace(id));
        assert!(change.is_err(), "{change:?}");
    }
    world.start_all();
    world.until_leader();
    world.until_voters(&[1, 2, 3]);
}

#[test]
fn a_voter_that_applied_something_else_stops_and_says_so() {
    let mut world = group();
    let leader = world.until_leader();
    let victim = if leader == 3 { 2 } else { 3 };
    world.forge_next_entry_to(victim);
    world.write("genuine");
    for n in 0..40 {
        world.tick();
        world.write_if_led(&format!("later-{n}"));
    }
    let says = world.trouble_of(victim, victim);
    assert!(says.contains("not those of the group") && says.contains("voters replace"), "{says}");
    assert!(world.trouble_of(leader, victim).contains("not those of the group"));
    assert!(!world.has(victim, "later-39"), "it went on with another state");
    // It stays so after a restart, and its new disk is sound.
    world.stop(victim);
    world.start(victim);
    for _ in 0..LONG {
        world.tick();
    }
    assert!(world.trouble_of(victim, victim).contains("not those of the group"));
    world.write("without it");
    world.stop(victim);
    world.empty(victim);
    world.start(victim);
    for _ in 0..30 {
        world.tick();
    }
    world.change(replace(victim)).expect("the others are a majority");
    world.until_voters(&[1, 2, 3]);
    world.write("sound");
    world.until_all_have("sound");
}

#[test]
fn what_is_applied_is_the_same_on_all_disks_after_restarts() {
    let mut world = group();
    world.change(add(4)).expect("allowed");
    world.start(4);
    world.until_voters(&[1, 2, 3, 4]);
    world.change(add(5)).expect("allowed");
    world.start(5);
    world.until_voters(&[1, 2, 3, 4, 5]);
    for round in 0..3 {
        world.stop_running();
        for id in 1..=5 {
            world.start(id);
        }
        world.until_leader();
        world.write(&format!("round-{round}"));
        world.until_all_have(&format!("round-{round}"));
        let leader = world.until_leader();
        assert_eq!(world.voters_of(leader), [1, 2, 3, 4, 5]);
        for id in 1..=5 {
            assert_eq!(world.trouble_of(id, id), "");
        }
    }
}

#[test]
fn leadership_moves_by_the_word_of_a_third_voter() {
    let mut world = group();
    for to in [1, 2, 3, 2, 1] {
        let leader = world.until_leader();
        let third = [1, 2, 3].into_iter().find(|id| *id != to && *id != leader);
        world.transfer(third.unwrap_or(to), to);
        world.until_leads(to);
    }
}

#[test]
fn a_new_voter_comes_after_the_log_was_compacted() {
    let mut world = group();
    for n in 0..100 {
        world.write(&format!("load-{n}"));
    }
    // Nothing more is written, so no snapshot is due.
    world.change(add(4)).expect("allowed");
    world.start(4);
    world.until_voters(&[1, 2, 3, 4]);
    world.until_all_have("load-99");
}

#[test]
fn a_reply_to_a_change_has_the_members_after_it() {
    let mut world = group();
    let reply = world.change(add(4)).expect("allowed");
    let VoterReply::Changed(members) = reply else { panic!("{reply:?}") };
    assert_eq!(members.members[&4].role, MemberRole::Joining);
    assert_eq!(members.voters(), [1, 2, 3]);
    world.change(VoterChange::Remove { id: 4 }).expect("it is not there yet");
    assert_eq!(world.role_of(4), None);
}
