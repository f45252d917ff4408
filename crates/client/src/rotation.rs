//! Which of several equal servers to call next.

/// The order of servers of which each can do what is asked. Those that never failed come first, then those whose
/// failure is longest ago: one that is frozen is not tried again before all others have failed, too.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// By server: the number of its last failure, 0 before any.
    last_failure: Vec<u64>,
    taken: Vec<bool>,
    failures: u64,
    start: usize,
}

impl Rotation {
    /// So many servers, at least one. Clients begin at different ones (`start`, any number), so that one server does
    /// not serve all.
    pub fn new(servers: usize, start: usize) -> Self {
        let servers = servers.max(1);
        Self {
            last_failure: vec![0; servers],
            taken: vec![false; servers],
            failures: 0,
            start: start % servers,
        }
    }

    /// The server to call, whether or not another call is under way there.
    pub fn best(&self) -> usize {
        self.best_of(|_| true).unwrap_or_default()
    }

    /// Takes the best server that nobody has taken; none if all are.
    pub fn take(&mut self) -> Option<usize> {
        let server = self.best_of(|server| !self.taken[server])?;
        self.taken[server] = true;
        Some(server)
    }

    /// The server failed, or was too slow. It is no longer taken.
    pub fn failed(&mut self, server: usize) {
        self.failures += 1;
        self.last_failure[server] = self.failures;
        self.taken[server] = false;
    }

    fn best_of(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let servers = self.last_failure.len();
        (0..servers).filter(|&server| may(server)).min_by_key(|&server| {
            (self.last_failure[server], (server + servers - self.start) % servers)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_is_kept_and_one_that_failed_is_the_last() {
        let mut rotation = Rotation::new(3, 1);
        assert_eq!([rotation.best(), rotation.best()], [1, 1]);
        rotation.failed(1);
        assert_eq!(rotation.best(), 2);
        rotation.failed(2);
        assert_eq!(rotation.best(), 0);
        rotation.failed(0);
        assert_eq!(rotation.best(), 1, "the longest ago");
    }

    #[test]
    fn two_streams_are_of_two_servers() {
        let mut rotation = Rotation::new(3, 2);
        assert_eq!([rotation.take(), rotation.take()], [Some(2), Some(0)]);
        rotation.failed(2);
        assert_eq!(rotation.take(), Some(1), "not the one that has just failed");
        assert_eq!(rotation.take(), Some(2), "the others are taken");
        assert_eq!(rotation.take(), None);
    }

    #[test]
    fn one_server_is_always_the_best() {
        let mut rotation = Rotation::new(1, 7);
        rotation.failed(0);
        assert_eq!(rotation.best(), 0);
    }
}
