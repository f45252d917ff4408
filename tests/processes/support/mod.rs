//! What the scenarios share: processes, data, clusters and callers.

pub(crate) mod caller;
pub(crate) mod cluster;
pub(crate) mod data;
pub(crate) mod outside;
pub(crate) mod process;
pub(crate) mod scrape;

use std::time::{Duration, Instant};

/// How long anything may take before a scenario gives up: far above what it takes, since the
/// machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Checks until `ask` returns true, and panics with `what` after [`PATIENCE`].
pub(crate) async fn eventually<F, Fut>(what: &str, ask: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    eventually_within(PATIENCE, what, ask).await;
}

/// Checks until `ask` returns true, and panics with `what` after `patience`.
pub(crate) async fn eventually_within<F, Fut>(patience: Duration, what: &str, mut ask: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let end = Instant::now() + patience;
    while !ask().await {
        assert!(Instant::now() < end, "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
