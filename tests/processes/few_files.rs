//! A process that may have few files open, and callers who take all of them.

use crate::standalone::Standalone;
use crate::support::caller::{client, request};
use crate::support::data::Bundles;
use crate::support::eventually;
use std::net::TcpStream;

/// Files that the process may have open: a shell's limit of old.
const OPEN_FILES: u32 = 256;
/// Idle connections: more than there are files.
const IDLE: usize = 300;
const HONEST_CALLS: usize = 300;

/// Connections that say nothing take no place from one who calls, on a connection that was open before or on new ones.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_beyond_the_limit_of_files_keep_no_one_out() {
    let bundles = Bundles::new();
    let bundle = bundles.train(4, 2);
    let mut node = Standalone::start_with_files(bundles.path(), &bundle, OPEN_FILES).await;
    let address = node.endpoint.trim_start_matches("http://").to_owned();
    let mut open = client(&node.endpoint);
    open.recommend(request("user-1")).await.expect("answered");

    let idle: Vec<_> =
        (0..IDLE).map(|_| TcpStream::connect(&address).expect("connected")).collect();
    let mut failed = Vec::new();
    for n in 0..HONEST_CALLS {
        let user = format!("user-{}", n % 300);
        let answer = match n % 2 {
            0 => open.recommend(request(&user)).await,
            _ => client(&node.endpoint).recommend(request(&user)).await,
        };
        failed.extend(answer.err());
    }
    assert!(failed.len() * 100 <= HONEST_CALLS, "{} failed: {:?}", failed.len(), failed.first());
    drop(idle);
    // What is left of them is gone, and the node answers and writes as before.
    eventually("operators are answered", || async {
        crate::support::process::marquee(["ctl", "--endpoint", &node.endpoint, "status"])
            .status
            .success()
    })
    .await;
    assert!(node.server.stop().success());
}
