//! How many connections the descriptors of this process allow.

/// Descriptors that are not for connections of peers: logs, bundles while they are loaded, sockets to other nodes. A
/// quarter of all, and at least this many.
const RESERVED: u64 = 64;

/// How many connections there may be at once, by the limit of open files of this process. It is raised as far as the
/// system allows, as descriptors cost nothing before they are used.
pub(super) fn max_connections() -> usize {
    let Some(limit) = raised_limit() else { return usize::MAX };
    usize::try_from(for_connections(limit)).unwrap_or(usize::MAX)
}

/// How many of so many descriptors connections may have.
fn for_connections(limit: u64) -> u64 {
    let reserved = (limit / 4).max(RESERVED);
    // Below twice the reserve there is no good division.
    limit.saturating_sub(reserved).max(limit / 2).max(1)
}

/// The limit of open files; none if there is none.
#[cfg(unix)]
fn raised_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, ?current, ?maximum, "the limit of open files stays");
            current
        }
    }
}

#[cfg(not(unix))]
fn raised_limit() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        for (limit, connections) in
            [(1, 1), (64, 32), (100, 50), (256, 192), (1_024, 768), (1 << 20, 786_432)]
        {
            assert_eq!(for_connections(limit), connections, "{limit}");
        }
        assert!(max_connections() >= 1);
    }
}
