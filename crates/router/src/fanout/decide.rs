//! What one fan-out does next: a pure state machine, told of answers, failures and time running out.
//!
//! A fan-out wants *pieces* (shards of versions), each from any one node that has it. It makes
//! *calls*, each for some pieces at one node, and ends when every piece is answered or nothing is
//! under way any more. Pieces that are left then are *lost*: the answer is partial.
//!
//! A piece is asked again in four cases:
//!
//! - **retry**: the call failed, and another replica has not been tried;
//! - **alone**: the node lacked *something* it was asked for (FAILED_PRECONDITION), no other replica
//!   is left, and the call had several pieces: each is asked again by itself, so that one absent
//!   shard costs no other;
//! - **hedge**: the call takes longer than most of that node's, and the budget allows a second one;
//! - **overtake**: the call takes so long that the node seems to hang. It stays under way, since a
//!   late answer is still one.
//!
//! A call that is hedged or overtaken and its replacements may both answer. That does no harm: rows
//! are rows, and the merge drops copies.

use super::select::{Assignment, Replicas, Standing, assign};

/// How often a piece is asked for in one fan-out, hedges included: with more, a shard in trouble
/// would get several times its load just then.
pub(crate) const MAX_ATTEMPTS: usize = 3;

/// Why a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is the first for its pieces.
    First,
    /// Another replica failed.
    Retry,
    /// The node lacked something of what it was asked together.
    Alone,
    /// Another replica is slow.
    Hedge,
    /// Another replica seems to hang.
    Overtake,
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or one that broke, or a node that is going down.
    Unreachable,
    /// The node does not hold a version or shard that it was asked for.
    NotHeld,
    /// The node has too much to do.
    Overloaded,
    /// No answer in time.
    Timeout,
    /// An answer that makes no sense, or an error inside the node.
    Broken,
}

/// A call that was decided on.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Whom to ask.
    pub(crate) node: usize,
    /// What for, ascending.
    pub(crate) pieces: Vec<usize>,
    /// Why.
    pub(crate) cause: Cause,
    state: CallState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    Running,
    /// Still under way, but nothing is hoped for any more.
    Overdue,
    Over,
}

#[derive(Clone, Debug, Default)]
struct Piece {
    wanted: bool,
    answered: bool,
    tried: Vec<usize>,
    failure: Option<Failure>,
}

/// See the module. Calls are named by their number, from 0 in the order they were decided on.
pub(crate) struct FanOut<'a> {
    replicas: &'a Replicas,
    pieces: Vec<Piece>,
    calls: Vec<Call>,
}

impl<'a> FanOut<'a> {
    /// Begins with the calls of `first`, all of which are to be made.
    pub(crate) fn new(replicas: &'a Replicas, first: &Assignment) -> Self {
        let pieces = vec![Piece::default(); replicas.pieces.len()];
        let mut fanout = Self { replicas, pieces, calls: Vec::new() };
        for &piece in first.unplaced.iter().chain(first.calls.iter().flat_map(|(_, p)| p)) {
            fanout.pieces[piece].wanted = true;
        }
        fanout.launch(first.calls.clone(), Cause::First);
        fanout
    }

    /// The call of this number.
    pub(crate) fn call(&self, number: usize) -> &Call {
        &self.calls[number]
    }

    /// How many calls were decided on so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is nothing to wait for.
    pub(crate) fn is_over(&self) -> bool {
        self.calls.iter().all(|call| call.state == CallState::Over)
            || self.pieces.iter().all(|piece| piece.answered || !piece.wanted)
    }

    /// Whether the call is under way and something of it is still wanted.
    pub(crate) fn is_awaited(&self, number: usize) -> bool {
        let call = &self.calls[number];
        call.state != CallState::Over && call.pieces.iter().any(|&p| !self.pieces[p].answered)
    }

    /// The pieces without an answer, ascending, and how they failed last. Those that no node was
    /// asked for, or whose calls are still under way, have [`Failure::Unreachable`] and
    /// [`Failure::Timeout`].
    pub(crate) fn lost(&self) -> Vec<(usize, Failure)> {
        let missing = |(_, piece): &(usize, &Piece)| piece.wanted && !piece.answered;
        let why = |(number, piece): (usize, &Piece)| {
            let silent = match self.is_covered(number, CallState::Overdue) {
                true => Failure::Timeout,
                false => piece.failure.unwrap_or(Failure::Unreachable),
            };
            (number, silent)
        };
        self.pieces.iter().enumerate().filter(missing).map(why).collect()
    }

    /// A call was answered.
    pub(crate) fn answered(&mut self, number: usize) {
        self.calls[number].state = CallState::Over;
        for &piece in &self.calls[number].pieces {
            self.pieces[piece].answered = true;
        }
    }

    /// A call failed: the calls to make instead.
    pub(crate) fn failed(&mut self, number: usize, failure: Failure) -> Vec<usize> {
        self.calls[number].state = CallState::Over;
        let Call { node, pieces, .. } = self.calls[number].clone();
        for &piece in &pieces {
            self.pieces[piece].failure = Some(failure);
        }
        let open = self.open(&pieces);
        let Assignment { calls, unplaced } = self.elsewhere(&open, Standing::Suspect);
        let mut made = self.launch(calls, Cause::Retry);
        if failure == Failure::NotHeld && pieces.len() > 1 {
            let alone = unplaced.into_iter().map(|piece| (node, vec![piece])).collect();
            made.extend(self.launch(alone, Cause::Alone));
        }
        made
    }

    /// A call takes longer than most: the calls to make beside it, if all it lacks can be had from
    /// sound replicas and `budget` grants that many calls.
    pub(crate) fn slow(
        &mut self,
        number: usize,
        budget: &mut dyn FnMut(usize) -> bool,
    ) -> Vec<usize> {
        if self.calls[number].state != CallState::Running {
            return Vec::new();
        }
        let pieces = self.calls[number].pieces.clone();
        let lacking: Vec<usize> =
            pieces.into_iter().filter(|&piece| !self.pieces[piece].answered).collect();
        if lacking.iter().any(|&piece| self.pieces[piece].tried.len() >= MAX_ATTEMPTS) {
            return Vec::new();
        }
        let Assignment { calls, unplaced } = self.elsewhere(&lacking, Standing::Sound);
        if calls.is_empty() || !unplaced.is_empty() || !budget(calls.len()) {
            return Vec::new();
        }
        self.launch(calls, Cause::Hedge)
    }

    /// A call takes so long that its node seems to hang: the calls to make beside it.
    pub(crate) fn overdue(&mut self, number: usize) -> Vec<usize> {
        if self.calls[number].state != CallState::Running {
            return Vec::new();
        }
        self.calls[number].state = CallState::Overdue;
        let open = self.open(&self.calls[number].pieces);
        let Assignment { calls, .. } = self.elsewhere(&open, Standing::Silent);
        self.launch(calls, Cause::Overtake)
    }

    /// Of these pieces, those that need another call.
    fn open(&self, pieces: &[usize]) -> Vec<usize> {
        let open = |&piece: &usize| {
            !self.pieces[piece].answered
                && !self.is_covered(piece, CallState::Running)
                && self.pieces[piece].tried.len() < MAX_ATTEMPTS
        };
        pieces.iter().copied().filter(open).collect()
    }

    /// Whether a call for the piece is under way, in a state no worse than `worst`.
    fn is_covered(&self, piece: usize, worst: CallState) -> bool {
        self.calls.iter().any(|call| {
            let under_way = match call.state {
                CallState::Running => true,
                CallState::Overdue => worst == CallState::Overdue,
                CallState::Over => false,
            };
            under_way && call.pieces.contains(&piece)
        })
    }

    fn elsewhere(&self, pieces: &[usize], worst: Standing) -> Assignment {
        let refused = |piece: usize, node: usize| self.pieces[piece].tried.contains(&node);
        assign(self.replicas, pieces, worst, &refused)
    }

    fn launch(&mut self, calls: Vec<(usize, Vec<usize>)>, cause: Cause) -> Vec<usize> {
        let first = self.calls.len();
        for (node, pieces) in calls {
            for &piece in &pieces {
                self.pieces[piece].tried.push(node);
            }
            self.calls.push(Call { node, pieces, cause, state: CallState::Running });
        }
        (first..self.calls.len()).collect()
    }
}

#[cfg(test)]
mod tests {
    //! Scripts in `tests/scripts/fanout` tell a fan-out what happens and print all it decides.
    //! `nodes a b` names nodes, `piece a b?` adds a piece that they hold (`?` silent, `!` suspect),
    //! `start salt=1` begins; `answer`, `fail`, `slow`, `overdue` name a call by its number.

    use super::*;
    use std::fmt::Write as _;

    #[derive(Default)]
    struct Runner {
        nodes: Vec<String>,
        replicas: Option<&'static Replicas>,
        building: Replicas,
        fanout: Option<FanOut<'static>>,
        hedges: usize,
    }

    impl Runner {
        fn node(&self, name: &str) -> Result<usize, String> {
            self.nodes.iter().position(|node| node == name).ok_or(format!("no node {name:?}"))
        }

        fn holder(&self, word: &str) -> Result<(usize, Standing), String> {
            let (name, standing) = match word.split_at(word.len() - 1) {
                (name, "?") => (name, Standing::Silent),
                (name, "!") => (name, Standing::Suspect),
                _ => (word, Standing::Sound),
            };
            Ok((self.node(name)?, standing))
        }

        fn describe(&self, new: &[usize]) -> String {
            let fanout = self.fanout.as_ref().expect("begun");
            let mut text = String::new();
            for &number in new {
                let Call { node, pieces, cause, .. } = fanout.call(number);
                let node = &self.nodes[*node];
                writeln!(text, "call {number}: {node} {pieces:?} ({cause:?})").expect("a string");
            }
            if fanout.is_over() {
                let lost = fanout.lost();
                let lost: Vec<String> =
                    lost.iter().map(|(p, why)| format!("{p} {why:?}")).collect();
                let lost = if lost.is_empty() { "nothing".into() } else { lost.join(", ") };
                writeln!(text, "over, lost: {lost}").expect("a string");
            } else if new.is_empty() {
                text.push_str("waits\n");
            }
            text
        }
    }

    impl goldenscript::Runner for Runner {
        fn run(
            &mut self,
            command: &goldenscript::Command,
        ) -> Result<String, Box<dyn std::error::Error>> {
            let mut args = command.consume_args();
            match command.name.as_str() {
                "nodes" => {
                    *self = Self::default();
                    self.nodes = args.rest_pos().iter().map(|arg| arg.value.clone()).collect();
                    args.reject_rest()?;
                    return Ok(String::new());
                }
                "piece" => {
                    let words: Vec<String> =
                        args.rest_pos().iter().map(|arg| arg.value.clone()).collect();
                    args.reject_rest()?;
                    let holders = words.iter().map(|w| self.holder(w)).collect::<Result<_, _>>()?;
                    self.building.pieces.push(holders);
                    return Ok(String::new());
                }
                "start" => {
                    let mut replicas = std::mem::take(&mut self.building);
                    replicas.salt = args.lookup_parse("salt")?.unwrap_or(0);
                    self.hedges = args.lookup_parse("hedges")?.unwrap_or(0);
                    args.reject_rest()?;
                    // A script is short and a test process too.
                    let replicas: &'static Replicas = Box::leak(Box::new(replicas));
                    let all: Vec<usize> = (0..replicas.pieces.len()).collect();
                    let first = assign(replicas, &all, Standing::Suspect, &|_, _| false);
                    self.replicas = Some(replicas);
                    let fanout = FanOut::new(replicas, &first);
                    let new: Vec<usize> = (0..fanout.calls()).collect();
                    self.fanout = Some(fanout);
                    return Ok(self.describe(&new));
                }
                _ => {}
            }
            let number: usize = args.next_pos().ok_or("which call?")?.parse()?;
            let fanout = self.fanout.as_mut().ok_or("start first")?;
            let new = match command.name.as_str() {
                "answer" => {
                    fanout.answered(number);
                    Vec::new()
                }
                "fail" => {
                    let failure = match args.next_pos().ok_or("how?")?.value.as_str() {
                        "unreachable" => Failure::Unreachable,
                        "not-held" => Failure::NotHeld,
                        "overloaded" => Failure::Overloaded,
                        "timeout" => Failure::Timeout,
                        "broken" => Failure::Broken,
                        other => return Err(format!("no failure {other:?}").into()),
                    };
                    fanout.failed(number, failure)
                }
                "slow" => {
                    let hedges = &mut self.hedges;
                    fanout.slow(number, &mut |wanted| {
                        let granted = wanted <= *hedges;
                        *hedges -= if granted { wanted } else { 0 };
                        granted
                    })
                }
                "overdue" => fanout.overdue(number),
                other => return Err(format!("no command {other:?}").into()),
            };
            args.reject_rest()?;
            Ok(self.describe(&new))
        }
    }

    #[test]
    fn scripts() {
        for entry in std::fs::read_dir("tests/scripts/fanout").expect("the folder of scripts") {
            let path = entry.expect("a readable folder").path();
            goldenscript::run(&mut Runner::default(), &path).expect("the script's own output");
        }
    }
}
