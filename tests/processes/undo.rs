//! What follows a promotion: users who are held out, the watch, and the way back.

use crate::support::caller::Caller;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::process::{marquee, marquee_ok, text};
use marquee_proto::control::v1::{RolloutState, UndoRolloutRequest};
use tonic::Code;

/// A promoted version has all users but those who are held out. The leader of control dies, the holdout is ended, and
/// one command gives the old version all users again: no call fails, and the old version was loaded all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_undone_by_one_command() {
    let mut cluster = Cluster::start().await;
    cluster.publish(&cluster.bundles.train(12, 4)).await;
    let caller = Caller::start(cluster.routers_at());
    let endpoint = cluster.control_at(1);
    let rollout = |args: &[&str]| {
        marquee_ok([&["ctl", "--endpoint", &endpoint, "rollout"][..], args].concat())
    };
    let terms = ["--watch-for", "1h", "--holdout", "20%", "--steps", "50%:1s"];
    rollout(&[&["start", "--candidate", "films@2"][..], &terms].concat());
    let is_in = |cluster: &Cluster, n: usize, state: RolloutState| {
        let mut client = cluster.control_client(n);
        async move {
            let request =
                marquee_proto::control::v1::GetRolloutRequest { rollout_id: "default-2".into() };
            let found = client.get_rollout(request).await;
            found.is_ok_and(|found| found.into_inner().rollout.unwrap_or_default().state() == state)
        }
    };
    eventually("the candidate is promoted, with a holdout", || {
        is_in(&cluster, 1, RolloutState::Holdout)
    })
    .await;
    eventually("users who are held out are compared", || async {
        let status = rollout(&["status"]);
        ["since the promotion", "20 % of the users stay with films@1"]
            .iter()
            .all(|part| status.contains(part))
    })
    .await;

    // The leader dies, unless it is the one that the commands go to.
    let leader = cluster.any_leader(&[0, 1, 2]).await;
    if leader != 1 {
        cluster.control[leader].kill();
    }
    rollout(&["end-holdout", "--reason", "enough"]);
    for endpoint in cluster.routers_at() {
        cluster.answers(&endpoint, "films", 2).await;
    }
    assert!(is_in(&cluster, 1, RolloutState::Watching).await);
    let undone = rollout(&["undo", "--reason", "complaints"]);
    assert!(undone.contains("ROLLED_BACK at 0 %"), "{undone}");
    assert!(undone.contains("operator: undo: complaints"), "{undone}");
    for endpoint in cluster.routers_at() {
        cluster.answers(&endpoint, "films", 1).await;
    }
    caller.stop().await.assert_perfect();

    // It is over. What names no rollout is not guessed, and with another surface neither is what the command means.
    let request = UndoRolloutRequest::default();
    let refused = cluster.control_client(1).undo_rollout(request).await.expect_err("no id");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    rollout(&["start", "--candidate", "films@2", "--steps", "50%:1h"]);
    rollout(&["start", "--candidate", "films@2", "--surface", "home", "--watch"]);
    let ambiguous = marquee(["ctl", "--endpoint", &endpoint, "rollout", "rollback"]);
    assert!(!ambiguous.status.success());
    let says = text(&ambiguous.stderr);
    assert!(says.contains("marquee ctl rollout rollback default-3"), "{says}");
    rollout(&["rollback", "default-3"]);
}
