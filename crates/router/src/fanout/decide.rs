//! What one fan-out does next: a pure state machine, told of answers, failures and time running out.
//!
//! A fan-out wants shards of versions, each from any one node that has it. It makes
//! *calls*, each for some shards at one node, and ends when every shard is answered or nothing is
//! under way any more. Shards that are left then are *unanswered*: the answer is partial.
//!
//! A shard is asked again in four cases:
//!
//! - **retry**: the call failed, and another replica has not been tried;
//! - **alone**: the node lacked *something* it was asked for (FAILED_PRECONDITION), no other replica
//!   is left, and the call had several shards: each is asked again by itself, so that one absent
//!   shard costs no other;
//! - **hedge**: the call takes longer than most of its kind, at whatever node, and the budget allows a second one;
//! - **overtake**: the call takes so long that the node seems to hang. It stays under way, since a
//!   late answer is still one.
//!
//! Each call beside or after one that may have cost its node work spends from a budget, so that a cluster with too
//! much to do is not given more: hedges, overtakes, and retries of what was refused, late or broken. A retry of what
//! never reached a node, or was not there, is free: the first attempt was no work.
//!
//! A call that is hedged or overtaken and its replacements may both answer. That does no harm: rows
//! are rows, and the merge drops copies.

use super::select::{Assignment, Replicas, Standing, assign};

/// How often a shard is asked for in one fan-out, hedges included: with more, a shard in trouble
/// would get several times its load just then.
pub(crate) const MAX_ATTEMPTS: usize = 3;

/// Why a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is the first for its shards.
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
pub(crate) enum CallFailure {
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

impl CallFailure {
    /// Whether the node may have worked on the call, or has too much to do to be asked again.
    fn may_have_cost_work(self) -> bool {
        match self {
            Self::Unreachable | Self::NotHeld => false,
            Self::Overloaded | Self::Timeout | Self::Broken => true,
        }
    }
}

/// A call that was decided on.
#[derive(Clone, Debug)]
pub(crate) struct ShardCall {
    /// The number of the node.
    pub(crate) node: usize,
    /// The shards to ask for, ascending.
    pub(crate) shards: Vec<usize>,
    /// Why it was made.
    pub(crate) cause: Cause,
    state: CallState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    Running,
    /// Still under way, but no answer is expected any more.
    Overdue,
    Ended,
}

#[derive(Clone, Debug, Default)]
struct ShardProgress {
    wanted: bool,
    answered: bool,
    tried: Vec<usize>,
    failure: Option<CallFailure>,
}

/// The state of one fan-out. Calls are named by their number, from 0 in the order they were decided on.
pub(crate) struct FanOut<'a> {
    replicas: &'a Replicas,
    shards: Vec<ShardProgress>,
    calls: Vec<ShardCall>,
}

impl<'a> FanOut<'a> {
    /// Begins with the calls of `first`, all of which are to be made.
    pub(crate) fn new(replicas: &'a Replicas, first: &Assignment) -> Self {
        let shards = vec![ShardProgress::default(); replicas.shards.len()];
        let mut fanout = Self { replicas, shards, calls: Vec::new() };
        for &shard in first.unplaced.iter().chain(first.calls.iter().flat_map(|(_, p)| p)) {
            fanout.shards[shard].wanted = true;
        }
        fanout.launch(first.calls.clone(), Cause::First);
        fanout
    }

    /// The call of this number.
    pub(crate) fn call(&self, number: usize) -> &ShardCall {
        &self.calls[number]
    }

    /// How many calls were decided on so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is nothing to wait for.
    pub(crate) fn is_over(&self) -> bool {
        self.calls.iter().all(|call| call.state == CallState::Ended)
            || self.shards.iter().all(|shard| shard.answered || !shard.wanted)
    }

    /// Whether the call is under way and something of it is still wanted.
    pub(crate) fn is_awaited(&self, number: usize) -> bool {
        let call = &self.calls[number];
        call.state != CallState::Ended && call.shards.iter().any(|&p| !self.shards[p].answered)
    }

    /// Whether the call has neither an answer nor failed.
    pub(crate) fn is_under_way(&self, number: usize) -> bool {
        self.calls[number].state != CallState::Ended
    }

    /// The shards without an answer, ascending, and how they failed last. Those that no node was
    /// asked for, or whose calls are still under way, have [`CallFailure::Unreachable`] and
    /// [`CallFailure::Timeout`].
    pub(crate) fn unanswered(&self) -> Vec<(usize, CallFailure)> {
        let mut unanswered = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            if !shard.wanted || shard.answered {
                continue;
            }
            let failure = if self.is_covered(number, CallState::Overdue) {
                CallFailure::Timeout
            } else {
                shard.failure.unwrap_or(CallFailure::Unreachable)
            };
            unanswered.push((number, failure));
        }
        unanswered
    }

    /// A call was answered.
    pub(crate) fn answered(&mut self, number: usize) {
        self.calls[number].state = CallState::Ended;
        for &shard in &self.calls[number].shards {
            self.shards[shard].answered = true;
        }
    }

    /// A call failed: the calls to make instead. Where the failed one may have cost its node work, they are made if
    /// `budget` grants that many.
    pub(crate) fn failed(
        &mut self,
        number: usize,
        failure: CallFailure,
        budget: &mut dyn FnMut(usize) -> bool,
    ) -> Vec<usize> {
        self.calls[number].state = CallState::Ended;
        let ShardCall { node, shards, .. } = self.calls[number].clone();
        for &shard in &shards {
            self.shards[shard].failure = Some(failure);
        }
        let open = self.open(&shards);
        let Assignment { calls, unplaced } = self.elsewhere(&open, Standing::Suspect);
        let is_granted = calls.is_empty() || !failure.may_have_cost_work() || budget(calls.len());
        let mut made = if is_granted { self.launch(calls, Cause::Retry) } else { Vec::new() };
        if failure == CallFailure::NotHeld && shards.len() > 1 {
            let alone = unplaced.into_iter().map(|shard| (node, vec![shard])).collect();
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
        let shards = self.calls[number].shards.clone();
        let lacking: Vec<usize> =
            shards.into_iter().filter(|&shard| !self.shards[shard].answered).collect();
        if lacking.iter().any(|&shard| self.shards[shard].tried.len() >= MAX_ATTEMPTS) {
            return Vec::new();
        }
        let Assignment { calls, unplaced } = self.elsewhere(&lacking, Standing::Sound);
        if calls.is_empty() || !unplaced.is_empty() || !budget(calls.len()) {
            return Vec::new();
        }
        self.launch(calls, Cause::Hedge)
    }

    /// A call takes so long that its node seems to hang: the calls to make beside it, if `budget` grants that many.
    pub(crate) fn overdue(
        &mut self,
        number: usize,
        budget: &mut dyn FnMut(usize) -> bool,
    ) -> Vec<usize> {
        if self.calls[number].state != CallState::Running {
            return Vec::new();
        }
        self.calls[number].state = CallState::Overdue;
        let open = self.open(&self.calls[number].shards);
        let Assignment { calls, .. } = self.elsewhere(&open, Standing::Slow);
        if calls.is_empty() || !budget(calls.len()) {
            return Vec::new();
        }
        self.launch(calls, Cause::Overtake)
    }

    /// Of these shards, those that need another call.
    fn open(&self, shards: &[usize]) -> Vec<usize> {
        shards.iter().copied().filter(|&shard| self.is_open(shard)).collect()
    }

    /// Whether a shard needs another call and may have one.
    fn is_open(&self, shard: usize) -> bool {
        !self.shards[shard].answered
            && !self.is_covered(shard, CallState::Running)
            && self.shards[shard].tried.len() < MAX_ATTEMPTS
    }

    /// Whether a call for the shard is under way, in a state no worse than `worst`.
    fn is_covered(&self, shard: usize, worst: CallState) -> bool {
        self.calls.iter().any(|call| {
            let under_way = match call.state {
                CallState::Running => true,
                CallState::Overdue => worst == CallState::Overdue,
                CallState::Ended => false,
            };
            under_way && call.shards.contains(&shard)
        })
    }

    fn elsewhere(&self, shards: &[usize], worst: Standing) -> Assignment {
        let refused = |shard: usize, node: usize| self.shards[shard].tried.contains(&node);
        assign(self.replicas, shards, worst, &refused)
    }

    fn launch(&mut self, calls: Vec<(usize, Vec<usize>)>, cause: Cause) -> Vec<usize> {
        let first = self.calls.len();
        for (node, shards) in calls {
            for &shard in &shards {
                self.shards[shard].tried.push(node);
            }
            self.calls.push(ShardCall { node, shards, cause, state: CallState::Running });
        }
        (first..self.calls.len()).collect()
    }
}

#[cfg(test)]
mod tests {
    //! Scripts in `scripts` tell a fan-out what happens and print all it decides.
    //! `nodes a b` names nodes, `shard a b?` adds a shard that they hold (`a.suspect` for a standing),
    //! `start salt=1` begins, with `hedges=` and `retries=` to spend; `answer`, `fail`, `slow`, `overdue` name a call by its number.

    use super::*;
    use std::fmt::Write as _;

    #[derive(Default)]
    struct Runner {
        nodes: Vec<String>,
        building: Replicas,
        fanout: Option<FanOut<'static>>,
        hedges: usize,
        /// None: as many as are wanted.
        retries: Option<usize>,
    }

    impl Runner {
        fn node(&self, name: &str) -> Result<usize, String> {
            self.nodes.iter().position(|node| node == name).ok_or(format!("no node {name:?}"))
        }

        fn holder(&self, word: &str) -> Result<(usize, Standing), String> {
            let (name, standing) = match word.split_once('.') {
                Some((name, "unreported")) => (name, Standing::Unreported),
                Some((name, "slow")) => (name, Standing::Slow),
                Some((name, "suspect")) => (name, Standing::Suspect),
                _ => (word, Standing::Sound),
            };
            Ok((self.node(name)?, standing))
        }

        fn happen(
            &mut self,
            what: &str,
            call: usize,
            how: Option<&str>,
        ) -> Result<Vec<usize>, String> {
            let fanout = self.fanout.as_mut().ok_or("start first")?;
            let retries = &mut self.retries;
            let mut retry = |wanted: usize| {
                let Some(left) = retries else { return true };
                let granted = wanted <= *left;
                *left -= if granted { wanted } else { 0 };
                granted
            };
            Ok(match (what, how) {
                ("answer", None) => {
                    fanout.answered(call);
                    Vec::new()
                }
                ("fail", Some("unreachable")) => {
                    fanout.failed(call, CallFailure::Unreachable, &mut retry)
                }
                ("fail", Some("not-held")) => fanout.failed(call, CallFailure::NotHeld, &mut retry),
                ("fail", Some("overloaded")) => {
                    fanout.failed(call, CallFailure::Overloaded, &mut retry)
                }
                ("fail", Some("timeout")) => fanout.failed(call, CallFailure::Timeout, &mut retry),
                ("fail", Some("broken")) => fanout.failed(call, CallFailure::Broken, &mut retry),
                ("slow", None) => {
                    let hedges = &mut self.hedges;
                    fanout.slow(call, &mut |wanted| {
                        let granted = wanted <= *hedges;
                        *hedges -= if granted { wanted } else { 0 };
                        granted
                    })
                }
                ("overdue", None) => fanout.overdue(call, &mut retry),
                _ => return Err(format!("{what} {how:?} is no command")),
            })
        }

        fn describe(&self, new: &[usize]) -> String {
            let fanout = self.fanout.as_ref().expect("begun");
            let mut text = String::new();
            for &number in new {
                let ShardCall { node, shards, cause, .. } = fanout.call(number);
                let node = &self.nodes[*node];
                writeln!(text, "call {number}: {node} {shards:?} ({cause:?})").expect("a string");
            }
            if fanout.is_over() {
                let left = fanout.unanswered();
                let named: Vec<String> =
                    left.iter().map(|(p, why)| format!("{p} {why:?}")).collect();
                let list = if named.is_empty() { "nothing".into() } else { named.join(", ") };
                writeln!(text, "over, unanswered: {list}").expect("a string");
            } else if new.is_empty() {
                text.push_str("waits\n");
            }
            text
        }
    }

    impl goldenscript::Runner for Runner {
        type Command = goldenscript::Command;

        fn run(
            &mut self,
            command: &goldenscript::Command,
            _: &goldenscript::Context,
        ) -> Result<String, Box<dyn std::error::Error>> {
            let mut args = command.consume_args();
            let words: Vec<&str> = std::iter::from_fn(|| args.next_pos()).collect();
            let mut key = |name| args.take_key(name).map_or(Ok(0), str::parse::<u64>);
            let (rotation, hedges) = (key("salt")?, key("hedges")?);
            let retries = args.take_key("retries").map(str::parse).transpose()?;
            args.reject_next()?;
            match command.name.as_str() {
                "nodes" => {
                    let nodes = words.into_iter().map(String::from).collect();
                    *self = Self { nodes, ..Self::default() };
                    Ok(String::new())
                }
                "shard" => {
                    let holders = words.into_iter().map(|word| self.holder(word));
                    let holders = holders.collect::<Result<_, _>>()?;
                    self.building.shards.push(holders);
                    Ok(String::new())
                }
                "start" => {
                    self.hedges = hedges as usize;
                    self.retries = retries;
                    let replicas = Replicas { rotation, ..std::mem::take(&mut self.building) };
                    // A script is short and a test process too.
                    let replicas: &'static Replicas = Box::leak(Box::new(replicas));
                    let all: Vec<usize> = (0..replicas.shards.len()).collect();
                    let first = assign(replicas, &all, Standing::Suspect, &|_, _| false);
                    let fanout = FanOut::new(replicas, &first);
                    let new: Vec<usize> = (0..fanout.calls()).collect();
                    self.fanout = Some(fanout);
                    Ok(self.describe(&new))
                }
                what => {
                    let number = words.first().ok_or("which call?")?.parse()?;
                    let new = self.happen(what, number, words.get(1).copied())?;
                    Ok(self.describe(&new))
                }
            }
        }
    }

    #[test]
    fn scripts() {
        for entry in std::fs::read_dir("src/fanout/scripts").expect("the folder of scripts") {
            let path = entry.expect("a readable folder").path();
            goldenscript::run(&mut Runner::default(), &path).expect("the script's own output");
        }
    }
}
