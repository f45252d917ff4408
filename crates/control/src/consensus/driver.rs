//! The thread that owns a voter, and the handle by which all other code talks to it.
//!
//! One loop: wait for an input or the next tick, take what else has arrived meanwhile, flush. Inputs wake
//! it at once; nothing is polled. A tick means that time went by while the voter listened, so ticks
//! that a stalled machine missed are not made up for.
//!
//! When the voter ends by an error (a full disk, an unreadable entry), the loop tells all callers
//! that it is not running, and opens the voter again from its store, with growing waits, for ever:
//! the node's other roles go on meanwhile.

use super::event::{
    Effect, GroupCopy, GroupView, RaftEvent, Refused, VoterError, VoterReply, VoterStatus,
};
use super::members::Membership;
use super::members::change::{ChangeRefused, VoterChange};
use super::voter::Voter;
use crate::machine::Machine;
use marquee_core::duration_counts::DurationCounts;
use marquee_proto::raft::v1 as pb;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Time between ticks. With elections after 10 to 20 of them, a dead leader is replaced after half
/// a second to one second, and heartbeats (every second tick) cost next to nothing.
pub const TICK: Duration = Duration::from_millis(50);
/// How many inputs may wait for the thread. Messages beyond it are dropped, as a network drops them;
/// requests are refused.
const MAX_INPUTS: usize = 4_096;
/// How many inputs one flush serves, so that a flood of them does not keep replies waiting.
const MAX_INPUTS_PER_FLUSH: usize = 512;
/// For how long the same is wrong with this voter before it is said in the log: longer than a start takes.
const TROUBLE_PATIENCE: Duration = Duration::from_secs(3);
/// Waits before a failed voter is opened again: the first and the longest. A disk that has room again is used soon.
const REOPEN_WAIT: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(5);

/// Where the reply to a request goes.
pub(crate) type ReplySender = oneshot::Sender<Result<VoterReply, Refused>>;
/// Opens the voter from its store.
pub(crate) type Open<M> = Box<dyn FnMut() -> Result<Voter<M, ReplySender>, VoterError> + Send>;
/// Where messages to other voters go.
pub(crate) type Outbox = Arc<dyn Fn(pb::Message) + Send + Sync>;

enum Input {
    Event(RaftEvent<ReplySender>),
    Stop(oneshot::Sender<()>),
}

/// A handle to the voter's thread; cheap to clone.
#[derive(Clone)]
pub struct Consensus {
    inputs: SyncSender<Input>,
    status: watch::Receiver<VoterStatus>,
    failure: watch::Receiver<Option<String>>,
    view: watch::Receiver<Arc<GroupView>>,
    commits: Arc<DurationCounts>,
}

impl Consensus {
    /// Why the voter does not run, while it is opened again; none while it runs.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Proposes a command and waits until it is applied here: its index and outcome.
    pub async fn propose(&self, command: Vec<u8>) -> Result<(u64, Vec<u8>), Refused> {
        let began = Instant::now();
        match self.request(|reply| RaftEvent::Propose { command, reply }).await? {
            VoterReply::Applied { index, outcome } => {
                self.commits.add(began.elapsed());
                Ok((index, outcome))
            }
            VoterReply::UpToDate | VoterReply::Changed(_) | VoterReply::Copy(_) => {
                Err(other_reply())
            }
        }
    }

    /// Changes the members if this voter leads, and waits until that is applied here: the members after it.
    pub(crate) async fn change_voters(&self, change: VoterChange) -> Result<Membership, Refused> {
        match self.request(|reply| RaftEvent::ChangeVoters { change, reply }).await? {
            VoterReply::Changed(members) => Ok(members),
            // Raft put an empty entry in its place.
            VoterReply::Applied { .. } => Err(Refused::Change(ChangeRefused::UnderWay)),
            VoterReply::UpToDate | VoterReply::Copy(_) => Err(other_reply()),
        }
    }

    /// Everything that is applied here.
    pub(crate) async fn copy(&self) -> Result<GroupCopy, Refused> {
        match self.request(|reply| RaftEvent::Copy { reply }).await? {
            VoterReply::Copy(copy) => Ok(copy),
            VoterReply::UpToDate | VoterReply::Applied { .. } | VoterReply::Changed(_) => {
                Err(other_reply())
            }
        }
    }

    /// What the voter knows of the members of its group, and when that changes.
    pub(crate) fn view(&self) -> watch::Receiver<Arc<GroupView>> {
        self.view.clone()
    }

    /// Waits until everything that was committed before the call is applied here.
    pub async fn catch_up(&self) -> Result<(), Refused> {
        self.request(|reply| RaftEvent::Read { reply }).await.map(|_| ())
    }

    async fn request(
        &self,
        event: impl FnOnce(ReplySender) -> RaftEvent<ReplySender>,
    ) -> Result<VoterReply, Refused> {
        let (reply, replied) = oneshot::channel();
        match self.inputs.try_send(Input::Event(event(reply))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Refused::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(stopped()),
        }
        replied.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Passes an event on that needs no reply. It is dropped when the thread is overloaded.
    pub(crate) fn tell(&self, event: RaftEvent<ReplySender>) {
        // Raft copes with losses, and a stopped voter needs no events.
        let _ = self.inputs.try_send(Input::Event(event));
    }

    /// How long proposals took from here until they were applied here.
    pub fn commits(&self) -> &DurationCounts {
        &self.commits
    }

    /// The status of the voter, and when it changes.
    pub fn status(&self) -> watch::Receiver<VoterStatus> {
        self.status.clone()
    }

    /// Stops the thread after it has written what it knows.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        let mut input = Input::Stop(done);
        // The queue is full for moments only. Without a thread there is nothing to stop.
        while let Err(TrySendError::Full(back)) = self.inputs.try_send(input) {
            input = back;
            tokio::time::sleep(TICK).await;
        }
        let _ = stopped.await;
    }
}

fn other_reply() -> Refused {
    Refused::Stopped("it gave the reply to another request".into())
}

fn stopped() -> Refused {
    Refused::Stopped("it has been shut down".into())
}

/// The inputs of a voter before its thread runs, so that the network can be given the handle first.
pub(crate) struct Driver {
    inputs: Receiver<Input>,
    status: watch::Sender<VoterStatus>,
    failure: watch::Sender<Option<String>>,
    view: watch::Sender<Arc<GroupView>>,
}

/// A handle and the driver that will serve it.
pub(crate) fn channel() -> (Consensus, Driver) {
    let (sender, inputs) = sync_channel(MAX_INPUTS);
    let (status, status_of) = watch::channel(VoterStatus::default());
    let (failure, failure_of) = watch::channel(None);
    let (view, view_of) = watch::channel(Arc::default());
    let consensus = Consensus {
        inputs: sender,
        status: status_of,
        failure: failure_of,
        view: view_of,
        commits: Arc::default(),
    };
    (consensus, Driver { inputs, status, failure, view })
}

impl Driver {
    /// Runs the voter on a thread of its own until it is told to stop. `open` opens it again when
    /// it has failed.
    pub(crate) fn spawn<M: Machine + Send + 'static>(
        self,
        voter: Voter<M, ReplySender>,
        open: Open<M>,
        outbox: Outbox,
        campaign: bool,
    ) -> std::io::Result<()> {
        let name = format!("voter-{}", voter.status().id);
        self.view.send_replace(Arc::new(voter.view()));
        let next_tick = Instant::now() + TICK;
        let trouble = (None, Instant::now(), false);
        let run = Loop { driver: self, open, outbox, next_tick, trouble };
        std::thread::Builder::new().name(name).spawn(move || run.run(voter, campaign)).map(drop)
    }
}

/// Why the loop left the voter.
enum End {
    /// Told to stop.
    Stop(Option<oneshot::Sender<()>>),
    /// The voter failed, with the reason.
    Failed(String),
}

struct Loop<M> {
    driver: Driver,
    open: Open<M>,
    outbox: Outbox,
    next_tick: Instant,
    /// What is wrong with this voter, since when, and whether that was said.
    trouble: (Option<String>, Instant, bool),
}

impl<M: Machine> Loop<M> {
    fn run(mut self, voter: Voter<M, ReplySender>, campaign: bool) {
        let mut voter = voter;
        let mut first = campaign.then_some(RaftEvent::Campaign);
        loop {
            // Raft panics where it finds its own rules broken; the voter is lost then, the node not.
            let end = catch_unwind(AssertUnwindSafe(|| self.serve(&mut voter, first.take())));
            match end.unwrap_or_else(|_| End::Failed("raft met a contradiction and gave up".into()))
            {
                End::Stop(done) => {
                    if let Err(error) = voter.close(&mut |effect| perform(&self.outbox, effect)) {
                        tracing::warn!(%error, "the last commit index was not written");
                    }
                    if let Some(done) = done {
                        let _ = done.send(());
                    }
                    return;
                }
                End::Failed(why) => {
                    let id = voter.status().id;
                    self.driver.status.send_replace(VoterStatus { id, ..VoterStatus::default() });
                    tracing::error!(
                        voter = id,
                        why,
                        "the control role has failed; opening its log again"
                    );
                    self.driver.failure.send_replace(Some(why.clone()));
                    voter.abandon(&why, &mut |effect| perform(&self.outbox, effect));
                    match self.reopen(why) {
                        Some(opened) => voter = opened,
                        None => return,
                    }
                    self.driver.failure.send_replace(None);
                    // No other voter can lead a group of one.
                    first = (voter.members().voters() == [id]).then_some(RaftEvent::Campaign);
                    tracing::info!(voter = id, "the control role is back");
                }
            }
        }
    }

    /// Runs the voter until it ends.
    fn serve(
        &mut self,
        voter: &mut Voter<M, ReplySender>,
        mut first: Option<RaftEvent<ReplySender>>,
    ) -> End {
        loop {
            let outbox = &self.outbox;
            let out = &mut |effect| perform(outbox, effect);
            let result = self.driver.inputs.recv_timeout(self.wait(first.is_some()));
            let mut batch = first.take().map(Input::Event).into_iter().collect::<Vec<_>>();
            match result {
                Ok(input) => batch.push(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return End::Stop(None),
            }
            while batch.len() < MAX_INPUTS_PER_FLUSH
                && let Ok(input) = self.driver.inputs.try_recv()
            {
                batch.push(input);
            }
            let ticked = Instant::now() >= self.next_tick;
            if ticked {
                batch.push(Input::Event(RaftEvent::Tick));
                let due = self.next_tick + TICK;
                self.next_tick = due.max(Instant::now());
            }
            let mut stop = None;
            for input in batch {
                match input {
                    Input::Event(event) => {
                        if let Err(error) = voter.handle(event, out) {
                            return End::Failed(error.to_string());
                        }
                    }
                    Input::Stop(done) => stop = Some(done),
                }
            }
            if let Err(error) = voter.flush(out) {
                return End::Failed(error.to_string());
            }
            let status = voter.status();
            self.driver.status.send_if_modified(|known| std::mem::replace(known, status) != status);
            if ticked {
                self.show(status.id, voter.view());
            }
            if stop.is_some() {
                return End::Stop(stop);
            }
        }
    }

    /// Shows what the voter knows of its group, and says what is wrong with the voter itself.
    fn show(&mut self, id: u64, view: GroupView) {
        let (trouble, since, is_said) = &mut self.trouble;
        let now = view.troubles.get(&id);
        if trouble.as_ref() != now {
            (*trouble, *since, *is_said) = (now.cloned(), Instant::now(), false);
        }
        if let Some(why) =
            trouble.as_ref().filter(|_| !*is_said && since.elapsed() > TROUBLE_PATIENCE)
        {
            tracing::warn!(voter = id, why, "this control node takes no part in its group");
            *is_said = true;
        }
        self.driver.view.send_if_modified(|known| {
            let is_new = **known != view;
            if is_new {
                *known = Arc::new(view);
            }
            is_new
        });
    }

    fn wait(&self, at_once: bool) -> Duration {
        if at_once {
            Duration::ZERO
        } else {
            self.next_tick.saturating_duration_since(Instant::now())
        }
    }

    /// Opens the voter again, however long it takes; none when told to stop meanwhile.
    fn reopen(&mut self, mut why: String) -> Option<Voter<M, ReplySender>> {
        let mut wait = REOPEN_WAIT.start;
        loop {
            let until = Instant::now() + wait;
            loop {
                match self
                    .driver
                    .inputs
                    .recv_timeout(until.saturating_duration_since(Instant::now()))
                {
                    Ok(Input::Event(
                        RaftEvent::Propose { reply, .. }
                        | RaftEvent::Read { reply }
                        | RaftEvent::ChangeVoters { reply, .. }
                        | RaftEvent::Copy { reply },
                    )) => {
                        let _ = reply.send(Err(Refused::Stopped(why.clone())));
                    }
                    Ok(Input::Event(_)) => {}
                    Ok(Input::Stop(done)) => {
                        let _ = done.send(());
                        return None;
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
            match (self.open)() {
                Ok(voter) => return Some(voter),
                Err(error) => why = error.to_string(),
            }
            self.driver.failure.send_replace(Some(why.clone()));
            tracing::error!(why, "the control role cannot be opened yet");
            wait = (wait * 2).min(REOPEN_WAIT.end);
        }
    }
}

fn perform(outbox: &Outbox, effect: Effect<ReplySender>) {
    match effect {
        Effect::Send(message) => outbox(message),
        Effect::Reply { reply, result } => {
            // The caller may have gone.
            let _ = reply.send(result);
        }
    }
}

#[cfg(test)]
mod tests;
