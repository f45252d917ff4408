//! Disks of control that are lost: one of three, a minority for good, all of them.

use crate::harness::{Group, PATIENCE, publish};
use crate::versions;
use marquee_control::backup::{self, Backup, BackupError, RestoreError};
use marquee_control::{Control, ControlConfig};
use marquee_proto::control::v1 as pb;
use std::time::Duration;
use tonic::Code;

/// Waits until a voter is in a state, as voter `at` sees it, and returns it.
async fn until_voter(
    group: &Group,
    at: u64,
    id: u64,
    is_wanted: impl Fn(&pb::Voter) -> bool,
) -> pb::Voter {
    let mut seen = None;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            let listed = group.client(at).await.list_voters(pb::ListVotersRequest {}).await;
            let voters = listed.expect("it answers without a leader").into_inner().voters;
            let voter = voters.into_iter().find(|voter| voter.id == id);
            if let Some(voter) = voter.clone().filter(|voter| is_wanted(voter)) {
                return voter;
            }
            seen = voter;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("voter {id} at {at} is {seen:?}"))
}

fn is_well(voter: &pb::Voter) -> bool {
    voter.state() == pb::VoterState::Voter && voter.trouble.is_empty() && !voter.disk.is_empty()
}

fn replace(id: u64) -> pb::ReplaceVoterRequest {
    pb::ReplaceVoterRequest { id, ..Default::default() }
}

#[tokio::test]
async fn an_emptied_voter_costs_no_acknowledged_write() {
    let mut group = Group::start(3).await;
    group.leader().await;
    group.kill(1).await;
    group.leader().await;
    for n in 1..=26 {
        group.client(2).await.publish_model(publish("", &format!("d{n}"))).await.expect("done");
    }
    group.kill(2).await;
    group.kill(3).await;
    group.empty(3);
    group.restart(1).await;
    group.restart(3).await;
    let says = until_voter(&group, 3, 3, |voter| voter.trouble.contains("voters replace 3")).await;
    assert!(says.trouble.contains("not the one that the group knows"), "{}", says.trouble);
    for id in [1, 3] {
        // It waits for longer than any election takes.
        let refused = group.client(id).await.publish_model(publish("", "lost")).await;
        assert_eq!(refused.expect_err("no majority").code(), Code::Unavailable);
        assert_eq!(group.node(id).control.status().borrow().leader, 0);
    }
    group.restart(2).await;
    let all: Vec<_> = (1..=26).map(|n| (n, format!("d{n}"))).collect();
    assert_eq!(versions(&group, 1).await, all);
    assert_eq!(versions(&group, 2).await, all);
    assert!(versions_known(&group, 3).await.is_empty());
    // The one that leads says it too.
    let leader = group.node(1).control.status().borrow().leader;
    until_voter(&group, leader, 3, |voter| voter.trouble.contains("voters replace 3")).await;

    // Any node takes the change, and the new disk counts.
    let replaced = group.client(1).await.replace_voter(replace(3)).await.expect("allowed");
    assert_eq!(replaced.into_inner().voters.len(), 3);
    until_voter(&group, leader, 3, is_well).await;
    assert_eq!(versions(&group, 3).await, all);
    group.kill(1).await;
    group.leader().await;
    let published = group.client(3).await.publish_model(publish("", "d27")).await;
    assert_eq!(published.expect("2 and 3 are a majority").into_inner().version, 27);
}

/// The versions that a node knows, without asking a leader.
async fn versions_known(group: &Group, id: u64) -> Vec<u64> {
    let plan = group.node(id).control.plan().borrow().clone();
    plan.versions.keys().map(|version| version.version).collect()
}

#[tokio::test]
async fn a_voter_on_its_disk_is_not_replaced_by_mistake() {
    let group = Group::start(3).await;
    let (leader, follower) = (group.leader().await, group.follower().await);
    until_voter(&group, leader, follower, is_well).await;
    let mut client = group.client(follower).await;
    let refused = client.replace_voter(replace(follower)).await.expect_err("it is well");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("nothing to replace"), "{}", refused.message());
    let unknown = client.remove_voter(pb::RemoveVoterRequest { id: 9 }).await.expect_err("unknown");
    assert!(unknown.message().contains("voters list"), "{}", unknown.message());
}

async fn back_up(group: &Group, id: u64) -> Vec<u8> {
    let stream = group.client(id).await.back_up(pb::BackUpRequest {}).await;
    let mut parts = stream.expect("a leader is there").into_inner();
    let mut file = Vec::new();
    while let Some(part) = parts.message().await.expect("it arrives") {
        file.extend(part.part);
    }
    file
}

#[tokio::test]
async fn all_disks_are_lost_and_a_backup_brings_everything_back() {
    let mut group = Group::start(3).await;
    let follower = group.follower().await;
    for n in 1..=3 {
        group.client(2).await.publish_model(publish("", &format!("d{n}"))).await.expect("done");
    }
    let file = back_up(&group, follower).await;
    assert_eq!(Backup::decode(&file).expect("ours").copy.members.voters(), [1, 2, 3]);
    // Routers see this plan, and it is lost.
    group.client(2).await.publish_model(publish("", "after the backup")).await.expect("done");
    let epoch = group.node(2).control.plan().borrow().epoch;
    for id in 1..=3 {
        group.kill(id).await;
    }
    let exists = backup::restore(&group.config(1), &file).expect_err("the disk is there");
    assert!(exists.to_string().contains("is there already"), "{exists}");
    for id in 1..=3 {
        group.empty(id);
    }
    let other = ControlConfig { cluster_name: "other".into(), ..group.config(1) };
    assert!(matches!(backup::restore(&other, &file), Err(RestoreError::OtherCluster)));
    let cut = backup::restore(&group.config(1), &file[..file.len() - 1]);
    assert!(matches!(cut, Err(RestoreError::Backup(BackupError::Checksum))), "{cut:?}");

    let restored = backup::restore(&group.config(1), &file).expect("an empty disk");
    assert!(restored > epoch, "routers would not take it");
    for id in [2, 3, 1] {
        group.restart(id).await;
    }
    let leader = group.leader().await;
    assert_eq!(leader, 1);
    for id in 1..=3 {
        until_voter(&group, 1, id, is_well).await;
    }
    let all: Vec<_> = (1..=3).map(|n| (n, format!("d{n}"))).collect();
    for id in 1..=3 {
        assert_eq!(versions(&group, id).await, all);
        assert!(group.node(id).control.plan().borrow().epoch >= restored);
    }
    group.kill(1).await;
    group.leader().await;
    let published = group.client(2).await.publish_model(publish("", "d4")).await;
    assert_eq!(published.expect("2 and 3 are a majority").into_inner().version, 4);
}

#[tokio::test]
async fn a_node_with_an_id_of_its_own_says_that_it_must_join() {
    let group = Group::start(1).await;
    let config = ControlConfig { id: 4, ..group.config(1) };
    let refused = Control::start(config).await.err().expect("refused").to_string();
    assert!(refused.contains("control.join"), "{refused}");
}
