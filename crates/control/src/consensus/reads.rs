//! Linearizable reads: callers who wait until this voter is up to date.
//!
//! A read costs no log entry: the leader confirms by a round of heartbeats that it still leads and
//! says which index was committed then (Ongaro's thesis, 6.4); the reader waits until that is applied
//! here. Raft drops such a request silently when there is no leader or the leader is new, so it
//! is sent again with another context until the caller's time is up.

/// Ticks until a read that was not answered is asked for again: longer than a round trip.
const RESEND_TICKS: u64 = 4;
/// Ticks until a caller is told that there is no leader. Beyond an election, so that a read in the middle
/// of one succeeds.
const GIVE_UP_TICKS: u64 = 60;
/// How many callers may wait at once. Each is a request of an operator or a node that just started.
const MAX_WAITING: usize = 1_024;

/// Bytes of a read's context: the voter, its incarnation, and a count.
pub(crate) const CONTEXT_BYTES: usize = 24;

/// One caller who waits.
struct Waiting<T> {
    reply: T,
    give_up_at: u64,
}

/// Callers who wait for raft's answer to one context.
struct Asked<T> {
    context: Vec<u8>,
    resend_at: u64,
    waiting: Vec<Waiting<T>>,
}

/// All reads of one voter. Time is counted in its ticks.
pub(crate) struct Reads<T> {
    /// Makes contexts unique among voters and restarts.
    prefix: [u8; 16],
    asked_count: u64,
    now: u64,
    fresh: Vec<Waiting<T>>,
    asked: Vec<Asked<T>>,
    /// Callers whom raft has answered. They wait until the index is applied.
    confirmed: Vec<(u64, Vec<Waiting<T>>)>,
}

impl<T> Reads<T> {
    /// `incarnation` differs from start to start of the same voter.
    pub(crate) fn new(voter: u64, incarnation: u64) -> Self {
        let mut prefix = [0; 16];
        prefix[..8].copy_from_slice(&voter.to_le_bytes());
        prefix[8..].copy_from_slice(&incarnation.to_le_bytes());
        Self {
            prefix,
            asked_count: 0,
            now: 0,
            fresh: Vec::new(),
            asked: Vec::new(),
            confirmed: Vec::new(),
        }
    }

    /// Adds a caller, or returns it when there are too many.
    pub(crate) fn add(&mut self, reply: T) -> Result<(), T> {
        let waiting = self.fresh.len()
            + self.asked.iter().map(|asked| asked.waiting.len()).sum::<usize>()
            + self.confirmed.iter().map(|(_, waiting)| waiting.len()).sum::<usize>();
        if waiting >= MAX_WAITING {
            return Err(reply);
        }
        self.fresh.push(Waiting { reply, give_up_at: self.now + GIVE_UP_TICKS });
        Ok(())
    }

    /// The context to ask raft with for all callers who have not been asked for, if there are any.
    pub(crate) fn request_read_index(&mut self) -> Option<Vec<u8>> {
        if self.fresh.is_empty() {
            return None;
        }
        self.asked_count += 1;
        let mut context = self.prefix.to_vec();
        context.extend(self.asked_count.to_le_bytes());
        self.asked.push(Asked {
            context: context.clone(),
            resend_at: self.now + RESEND_TICKS,
            waiting: std::mem::take(&mut self.fresh),
        });
        Some(context)
    }

    /// Notes raft's answer to a context: its callers may read once `index` is applied.
    pub(crate) fn confirm(&mut self, context: &[u8], index: u64) {
        if let Some(at) = self.asked.iter().position(|asked| asked.context == context) {
            self.confirmed.push((index, self.asked.swap_remove(at).waiting));
        }
    }

    /// Takes the callers who may read now.
    pub(crate) fn take_ready(&mut self, applied: u64) -> Vec<T> {
        let ready = self.confirmed.extract_if(.., |(index, _)| *index <= applied);
        ready.flat_map(|(_, waiting)| waiting).map(|waiting| waiting.reply).collect()
    }

    /// Counts a tick: takes the callers whose time is up, and lets raft be asked again for those without an
    /// answer. Time is up as well for those with an answer whose index does not come.
    pub(crate) fn tick(&mut self) -> Vec<T> {
        self.now += 1;
        let now = self.now;
        for asked in self.asked.extract_if(.., |asked| asked.resend_at <= now) {
            self.fresh.extend(asked.waiting);
        }
        let is_over = |waiting: &mut Waiting<T>| waiting.give_up_at <= now;
        let mut over: Vec<_> = self.fresh.extract_if(.., is_over).collect();
        for (_, waiting) in &mut self.confirmed {
            over.extend(waiting.extract_if(.., is_over));
        }
        self.confirmed.retain(|(_, waiting)| !waiting.is_empty());
        over.into_iter().map(|waiting| waiting.reply).collect()
    }

    /// Takes all callers, because the voter ends.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        let asked = self.asked.drain(..).flat_map(|asked| asked.waiting);
        let confirmed = self.confirmed.drain(..).flat_map(|(_, waiting)| waiting);
        self.fresh.drain(..).chain(asked).chain(confirmed).map(|waiting| waiting.reply).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_of_one_moment_share_a_question_and_wait_for_the_index() {
        let mut reads = Reads::new(1, 7);
        reads.add("a").expect("room");
        reads.add("b").expect("room");
        let first = reads.request_read_index().expect("a caller waits");
        assert_eq!(reads.request_read_index(), None);
        reads.add("c").expect("room");
        let second = reads.request_read_index().expect("a caller waits");
        assert_ne!(first, second);
        reads.confirm(&first, 5);
        assert!(reads.take_ready(4).is_empty());
        assert_eq!(reads.take_ready(5), ["a", "b"]);
        reads.confirm(b"another voter's", 1);
        assert_eq!(reads.take_all(), ["c"]);
    }

    #[test]
    fn a_lost_question_is_asked_again_until_time_is_up() {
        let mut reads = Reads::new(1, 7);
        reads.add("a").expect("room");
        let mut questions = vec![reads.request_read_index().expect("a caller waits")];
        for _ in 1..GIVE_UP_TICKS {
            assert!(reads.tick().is_empty());
            questions.extend(reads.request_read_index());
        }
        assert_eq!(questions.len() as u64, GIVE_UP_TICKS / RESEND_TICKS);
        assert_eq!(reads.tick(), ["a"]);
        assert_eq!(reads.request_read_index(), None);
    }

    #[test]
    fn an_index_that_never_comes_is_not_waited_for() {
        let mut reads = Reads::new(1, 7);
        reads.add("a").expect("room");
        let question = reads.request_read_index().expect("a caller waits");
        assert_eq!(question.len(), CONTEXT_BYTES);
        reads.confirm(&question, u64::MAX);
        for _ in 1..GIVE_UP_TICKS {
            assert!(reads.tick().is_empty());
        }
        assert_eq!(reads.tick(), ["a"]);
    }

    #[test]
    fn waiting_is_bounded() {
        let mut reads = Reads::new(1, 7);
        for n in 0..MAX_WAITING {
            reads.add(n).expect("room");
            reads.request_read_index();
        }
        assert_eq!(reads.add(MAX_WAITING), Err(MAX_WAITING));
    }
}
