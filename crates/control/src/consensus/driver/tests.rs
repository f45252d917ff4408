//! The thread outlives what its voter does not.

use super::*;
use crate::consensus::event::VoterConfig;
use crate::consensus::members::DiskId;
use crate::consensus::store::torn_disk::TornDisk;
use crate::consensus::store::{Genesis, Identity, Store};
use crate::test_machine::{PANICS, Sum, UNAPPLIABLE, UNREADABLE};
use std::path::Path;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(disk: &TornDisk) -> Result<Voter<Sum, ReplySender>, VoterError> {
    let identity = Identity { id: 1, cluster: 7, voters: vec![1] };
    let genesis = Genesis { state: b"0".to_vec(), disk: DiskId::of_number(1) };
    let store = Store::open_backend(disk.clone(), Path::new("disk"), &identity, &genesis)?;
    Voter::open(1, store, Sum::default(), VoterConfig::default())
}

fn start(disk: &TornDisk) -> Consensus {
    let (consensus, driver) = channel();
    let voter = open(disk).expect("a healthy disk");
    let disk = disk.clone();
    let open = Box::new(move || open(&disk));
    driver.spawn(voter, open, Arc::new(|_| {}), true).expect("a thread");
    consensus
}

async fn leads(consensus: &Consensus) {
    let mut status = consensus.status();
    let leads = tokio::time::timeout(PATIENCE, status.wait_for(VoterStatus::leads));
    leads.await.expect("it is alone").expect("it runs");
}

async fn sum(consensus: &Consensus, command: &[u8]) -> Result<String, Refused> {
    let (_, outcome) = consensus.propose(command.to_vec()).await?;
    Ok(String::from_utf8(outcome).expect("a number"))
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_work_goes_on_when_it_has_room_again() {
    let disk = TornDisk::default();
    let consensus = start(&disk);
    leads(&consensus).await;
    assert_eq!(sum(&consensus, b"\x01").await.as_deref(), Ok("1"));
    disk.image().left = Some(0);
    let refused = sum(&consensus, b"\x02").await.expect_err("no room");
    assert!(matches!(&refused, Refused::Stopped(why) if why.contains("disk full")), "{refused}");
    assert_eq!(consensus.status().borrow().leader, 0);
    let refused = sum(&consensus, b"\x02").await.expect_err("not open");
    assert!(refused.to_string().contains("disk full"), "{refused}");
    assert!(consensus.catch_up().await.is_err());
    disk.image().left = None;
    leads(&consensus).await;
    assert_eq!(sum(&consensus, b"\x04").await.as_deref(), Ok("5"));
    consensus.catch_up().await.expect("it leads");
    consensus.stop().await;
    assert!(matches!(sum(&consensus, b"\x08").await, Err(Refused::Stopped(_))));
    assert_eq!(open(&disk).expect("stopped in order").machine(), &Sum(0));
}

#[tokio::test]
async fn a_command_that_cannot_be_applied_ends_the_voter_and_not_the_thread() {
    for (poison, says) in
        [(UNAPPLIABLE, "entry 3 of the control log cannot be applied"), (PANICS, "contradiction")]
    {
        let disk = TornDisk::default();
        let consensus = start(&disk);
        leads(&consensus).await;
        let refused = sum(&consensus, poison).await.expect_err("poison");
        assert!(matches!(refused, Refused::Stopped(_)), "{refused}");
        let refused = sum(&consensus, b"\x01").await.expect_err("it cannot go on");
        assert!(refused.to_string().contains(says), "{refused}");
        tokio::time::timeout(PATIENCE, consensus.stop()).await.expect("it can be stopped");
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_read_gets_no_place_in_the_log() {
    let disk = TornDisk::default();
    let consensus = start(&disk);
    leads(&consensus).await;
    let refused = sum(&consensus, UNREADABLE).await.expect_err("unreadable");
    assert!(matches!(refused, Refused::Unreadable(_)), "{refused}");
    assert_eq!(sum(&consensus, b"\x03").await.as_deref(), Ok("3"));
    consensus.stop().await;
}
