//! Who is next: two lanes of waiting tickets, as a pure decision.
//!
//! Small work for callers waits in one lane, and goes first. In the other are batches, what is answered for comparison
//! only, and what has begun and gave its thread up after its turn: it gets each [`TURNS_PER_REST`]th turn while others
//! wait, so that it ends too. Where a lane stands still ([`ControlledDelay`]) what waited in it for too long is refused
//! instead of begun; the second lane waits longer, and so is refused first.

use marquee_core::overload::{ControlledDelay, Priority, STANDING_DELAY};
use std::collections::VecDeque;
use std::time::Duration;

/// Of so many turns, one is for the second lane. A turn of its is some times longer than that of a small query.
const TURNS_PER_REST: u32 = 4;
/// How much longer the second lane may wait: jobs that wait have seconds.
const REST_PATIENCE: u32 = 20;

/// The tickets that wait. Times are since whatever moment the caller counts from.
pub(super) struct Line<T> {
    small: Lane<T>,
    rest: Lane<T>,
    turns: u32,
}

struct Lane<T> {
    tickets: VecDeque<Waiting<T>>,
    judge: ControlledDelay,
}

struct Waiting<T> {
    ticket: T,
    /// When it came; none for what has begun before.
    since: Option<Duration>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// Work on it.
    Work(T),
    /// It waited for too long.
    Refuse(T),
}

impl<T> Line<T> {
    pub(super) fn new() -> Self {
        Self {
            small: Lane::new(STANDING_DELAY),
            rest: Lane::new(STANDING_DELAY * REST_PATIENCE),
            turns: 0,
        }
    }

    /// Adds a ticket for work of this priority, small or not.
    pub(super) fn push(&mut self, ticket: T, priority: Priority, is_small: bool, now: Duration) {
        let lane = match priority {
            Priority::Interactive if is_small => &mut self.small,
            Priority::Interactive | Priority::Batch | Priority::Mirrored => &mut self.rest,
        };
        lane.tickets.push_back(Waiting { ticket, since: Some(now) });
    }

    /// Adds a ticket whose work has begun and had its turn.
    pub(super) fn push_begun(&mut self, ticket: T) {
        self.rest.tickets.push_back(Waiting { ticket, since: None });
    }

    /// Takes the next ticket.
    pub(super) fn next(&mut self, now: Duration) -> Option<Next<T>> {
        self.turns = (self.turns + 1) % TURNS_PER_REST;
        let is_rests_turn = self.turns == 0 || self.small.tickets.is_empty();
        if is_rests_turn && let Some(next) = self.rest.next(now) {
            return Some(next);
        }
        self.small.next(now)
    }

    /// Whether small work waits for too long.
    pub(super) fn stands(&self) -> bool {
        self.small.judge.stands()
    }
}

impl<T> Lane<T> {
    fn new(standing_delay: Duration) -> Self {
        Self { tickets: VecDeque::new(), judge: ControlledDelay::new(standing_delay) }
    }

    fn next(&mut self, now: Duration) -> Option<Next<T>> {
        let Waiting { ticket, since } = self.tickets.pop_front()?;
        let refuses = since.is_some_and(|since| self.judge.refuses(now.saturating_sub(since), now));
        Some(if refuses { Next::Refuse(ticket) } else { Next::Work(ticket) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn small_work_goes_before_batches_and_those_end_too() {
        let mut line = Line::new();
        line.push("batch", Priority::Interactive, false, ms(0));
        line.push("mirrored", Priority::Mirrored, true, ms(0));
        line.push_begun("begun");
        for _ in 0..5 {
            line.push("small", Priority::Interactive, true, ms(0));
        }
        let order: Vec<_> = std::iter::from_fn(|| match line.next(ms(1))? {
            Next::Work(ticket) | Next::Refuse(ticket) => Some(ticket),
        })
        .collect();
        let expected = ["small", "small", "small", "batch", "small", "small", "mirrored", "begun"];
        assert_eq!(order, expected);
    }

    /// Tickets that come each millisecond while one in two is taken: what is refused of each lane.
    fn refused(seconds: u64) -> [usize; 2] {
        let (mut line, mut refused) = (Line::new(), [0, 0]);
        for now in 0..seconds * 1_000 {
            line.push(0, Priority::Interactive, true, ms(now));
            if now % 10 == 0 {
                line.push(1, Priority::Batch, false, ms(now));
            }
            // Refusing takes no time.
            while now % 2 == 0
                && let Some(Next::Refuse(lane)) = line.next(ms(now))
            {
                refused[lane] += 1;
            }
        }
        refused
    }

    #[test]
    fn what_stands_is_refused_so_that_the_rest_is_in_time() {
        let [small, _] = refused(10);
        // 5,000 turns for 10,000 small tickets.
        assert!((4_500..7_000).contains(&small), "{small}");
    }

    #[test]
    fn what_has_begun_is_never_refused() {
        let mut line = Line::new();
        for now in 0..10_000 {
            line.push_begun(());
            line.push_begun(());
            assert_eq!(line.next(ms(now)), Some(Next::Work(())));
        }
    }
}
