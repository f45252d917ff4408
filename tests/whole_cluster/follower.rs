//! A node that follows control's plans, over two streams at a time, and keeps the newest plan on its disk.

use crate::chance::Chance;
use marquee_client::Rotation;
use marquee_core::plan::Plan;
use marquee_node::follow::plan_floor::{Arrival, PlanFloor};
use std::sync::Arc;
use tokio::sync::watch;

/// As in production: a connection that answers no probe is given up after the interval and the wait.
const KEEP_ALIVE_MS: u64 = 4_000;
/// As in production.
const MAX_LAG_MS: u64 = 2_000;
/// The longest wait before another control node is tried.
const BACKOFF_MS: u64 = 500;
const STREAMS: usize = 2;

/// One stream of plans.
#[derive(Debug)]
struct Stream {
    /// The raft id of the control node.
    control: u64,
    /// Tells plans of this stream from those of an earlier one in its place.
    number: u64,
    /// The epoch that was sent last.
    sent: Option<u64>,
    its_epoch: u64,
    /// Kept until it is accepted.
    latest: Option<Arc<Plan>>,
    silent_since: Option<u64>,
    behind_since: Option<u64>,
}

/// What a follower reaches of a control node.
pub(crate) enum Reach {
    /// It shows this plan.
    Plan(Arc<Plan>),
    /// Nothing comes, and the connection does not break.
    Silence,
    /// The connection is refused, or broken.
    Broken,
}

pub(crate) struct Follower {
    floor: PlanFloor,
    started_ms: u64,
    rotation: Rotation,
    streams: [Option<Stream>; STREAMS],
    retry_at_ms: [u64; STREAMS],
    opened: u64,
    /// The newest epoch that a report brought back.
    pub(crate) newest: u64,
    pub(crate) current: watch::Sender<Arc<Plan>>,
    /// The plan on the disk at the start, and when that was.
    pub(crate) began_with: u64,
}

impl Follower {
    /// Starts with the plan on the disk.
    pub(crate) fn start(
        on_disk: &Option<Arc<Plan>>,
        controls: usize,
        now_ms: u64,
        chance: &mut Chance,
    ) -> Self {
        let epoch = on_disk.as_ref().map_or(0, |plan| plan.epoch);
        Self {
            floor: PlanFloor::new(epoch),
            started_ms: now_ms,
            rotation: Rotation::new(controls, chance.below(controls as u64) as usize),
            streams: [None, None],
            retry_at_ms: [now_ms; STREAMS],
            opened: 0,
            newest: 0,
            current: watch::Sender::new(on_disk.clone().unwrap_or_default()),
            began_with: epoch,
        }
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.current.borrow())
    }

    /// Whether older plans than the one on the disk at the start must still be refused.
    pub(crate) fn keeps_to_disk(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.started_ms) < marquee_node::follow::plan_floor::DISK_FLOOR_FOR_MS
    }

    /// Looks at both streams; returns the plans that are on their way now: by stream, number and plan.
    pub(crate) fn look(
        &mut self,
        now_ms: u64,
        chance: &mut Chance,
        reach: impl Fn(u64) -> Reach,
    ) -> Vec<(usize, u64, Arc<Plan>)> {
        let mut sent = Vec::new();
        for slot in 0..STREAMS {
            if self.streams[slot].is_none() && self.retry_at_ms[slot] <= now_ms {
                self.opened += 1;
                let number = self.opened;
                self.streams[slot] = self.rotation.take().map(|server| Stream {
                    control: server as u64 + 1,
                    number,
                    sent: None,
                    its_epoch: 0,
                    latest: None,
                    silent_since: None,
                    behind_since: None,
                });
            }
            let known = self.floor.at(now_ms - self.started_ms).max(self.newest);
            let Some(stream) = &mut self.streams[slot] else { continue };
            let mut fails = false;
            match reach(stream.control) {
                Reach::Plan(plan) => {
                    stream.silent_since = None;
                    if stream.sent != Some(plan.epoch) {
                        stream.sent = Some(plan.epoch);
                        sent.push((slot, stream.number, plan));
                    }
                }
                Reach::Silence => {
                    // What was under way is sent again once the network lets it.
                    stream.sent = None;
                    fails = now_ms - *stream.silent_since.get_or_insert(now_ms) > KEEP_ALIVE_MS;
                }
                Reach::Broken => fails = true,
            }
            if stream.its_epoch >= known {
                stream.behind_since = None;
            } else {
                fails |= now_ms - *stream.behind_since.get_or_insert(now_ms) > MAX_LAG_MS;
            }
            if fails {
                self.rotation.failed(stream.control as usize - 1);
                self.streams[slot] = None;
                self.retry_at_ms[slot] = now_ms + 50 + chance.below(BACKOFF_MS);
            }
        }
        sent
    }

    /// A plan has come over a stream.
    pub(crate) fn arrive(&mut self, slot: usize, number: u64, plan: &Arc<Plan>) {
        if let Some(stream) = &mut self.streams[slot]
            && stream.number == number
        {
            stream.its_epoch = plan.epoch;
            stream.latest = Some(Arc::clone(plan));
        }
    }

    /// Accepts what has come; returns the plan that is followed from now on, if it is another one.
    pub(crate) fn accept(&mut self, now_ms: u64) -> Option<Arc<Plan>> {
        let mut newer = None;
        for stream in self.streams.iter_mut().flatten() {
            let Some(plan) = &stream.latest else { continue };
            match self.floor.arrive(plan.epoch, now_ms - self.started_ms) {
                Arrival::Older => continue,
                Arrival::Known => {}
                Arrival::Newer => newer = Some(Arc::clone(plan)),
            }
            stream.latest = None;
        }
        if let Some(plan) = &newer {
            self.current.send_replace(Arc::clone(plan));
        }
        newer
    }
}
