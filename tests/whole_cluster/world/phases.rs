//! What a run is made of: storms, lost disks, contested elections, rollouts in calm, the loss of one node; and what must hold at the
//! end.

use super::World;
use super::{SHARD_NODES, VOTERS};
use crate::links::Party;
use crate::operator::SURFACES;
use crate::shards::is_harmful;
use crate::voters::{ControlNode, Ticket, replacement_of};
use marquee_control::consensus::event::RaftEvent;
use marquee_core::command::Action;
use marquee_core::rollout::{RolloutMove, RolloutState};

impl World {
    /// Lives through `ms` in which nothing new goes wrong.
    pub(crate) async fn live(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.step().await;
        }
    }

    /// Begins: all start, a version is published and served.
    pub(crate) async fn begin(&mut self) {
        self.operator.publish(0, 1);
        self.until("the first version", 10_000, |world| world.operator.open() == 0).await;
        for surface in SURFACES {
            self.operator.start_rollout(surface, 1, self.now_ms, 1);
        }
        self.until("something is served", 20_000, |world| {
            world.newest_plan().surfaces.values().filter(|it| it.ensemble.is_some()).count()
                == SURFACES.len()
        })
        .await;
    }

    /// Lives through `ms` of trouble.
    pub(crate) async fn storm(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        self.storms = true;
        while self.now_ms < end {
            self.trouble();
            let plan = self.newest_plan();
            let World { operator, chance, now_ms, .. } = self;
            operator.decide(&plan, *now_ms, VOTERS, chance);
            self.step().await;
        }
        self.storms = false;
    }

    /// A voter loses its disk, and only it and one that has missed the last changes are left.
    pub(crate) async fn lose_a_disk(&mut self) {
        self.heal(20_000).await;
        let behind = 1 + self.chance.below(VOTERS);
        let (lost, kept) = (behind % VOTERS + 1, (behind + 1) % VOTERS + 1);
        self.links.state().set_side(Party::Control(behind), 9);
        self.live(2_000).await;
        for _ in 0..2 {
            self.operator.publish(self.now_ms, kept);
        }
        self.until("the other two go on", 10_000, |world| world.operator.open() == 0).await;
        for id in [lost, kept] {
            self.crash_control(id, None);
        }
        self.control(lost).lose_disk();
        self.links.state().heal();
        self.control(lost).restart_at_ms = Some(self.now_ms);
        self.live(4_000).await;
        self.control(kept).restart_at_ms = Some(self.now_ms);
        self.until("a majority with disks leads", 15_000, |world| {
            world.controls.iter().any(ControlNode::leads)
        })
        .await;
        let end = self.now_ms + 20_000;
        self.changed = false;
        while !self.changed {
            assert!(self.now_ms < end, "voter {lost} is not replaced: {}", self.voters());
            if !self.change_under_way {
                let leader = self.controls.iter().position(ControlNode::leads);
                if let Some(at) = leader.filter(|at| *at as u64 + 1 != lost) {
                    let change = replacement_of(lost);
                    self.change_under_way = true;
                    self.give(at, vec![RaftEvent::ChangeVoters { change, reply: Ticket::Change }]);
                }
            }
            self.live(100).await;
        }
    }

    /// The leader ends, the others stand for election in its place, and it comes back for moments in between.
    pub(crate) async fn contest_an_election(&mut self) {
        self.heal(20_000).await;
        let leader = self.controls.iter().find(|node| node.leads()).map_or(1, |node| node.id);
        self.links.state().weather.slowest_ms = 60;
        self.crash_control(leader, None);
        let ms = 400 + self.chance.below(500);
        self.live(ms).await;
        for _ in 0..12 {
            self.control(leader).restart_at_ms = Some(self.now_ms);
            let ms = 10 + self.chance.below(90);
            self.live(ms).await;
            self.crash_control(leader, None);
        }
        self.heal(20_000).await;
    }

    /// Repairs everything, and waits until all that was asked is done and all agree.
    pub(crate) async fn heal(&mut self, ms: u64) {
        self.links.state().heal();
        let now_ms = self.now_ms;
        for node in &mut self.controls {
            if node.running.is_none() {
                node.restart_at_ms = Some(now_ms);
            }
        }
        for node in &mut self.shards {
            node.set_slow(0);
            if node.running.is_none() {
                node.restart_at_ms = Some(now_ms);
            }
        }
        for node in &mut self.routers {
            if node.running.is_none() {
                node.restart_at_ms = Some(now_ms);
            }
        }
        self.until("all agree after healing", ms, |world| {
            world.operator.open() == 0 && world.agree()
        })
        .await;
    }

    /// A candidate that is as good as the baseline is promoted, and one that answers nothing is rolled back, by the judge alone.
    pub(crate) async fn roll_out(&mut self) {
        self.end_rollouts().await;
        for is_harmful_wanted in [false, true] {
            let at = 1 + self.chance.below(VOTERS);
            loop {
                self.operator.publish(self.now_ms, at);
                self.until("a version", 10_000, |world| world.operator.open() == 0).await;
                if is_harmful(self.operator.published) == is_harmful_wanted {
                    break;
                }
            }
            let version = self.operator.published;
            self.operator.start_rollout(SURFACES[0], version, self.now_ms, at);
            self.until("a rollout", 10_000, |world| world.operator.open() == 0).await;
            let id = self.newest_plan().rollouts.last().expect("it was started").id.clone();
            self.until("the rollout ends", 120_000, |world| {
                world.newest_plan().rollout(&id).is_some_and(|rollout| rollout.state.is_over())
            })
            .await;
            let plan = self.newest_plan();
            let rollout = plan.rollout(&id).expect("it has just ended");
            let wanted =
                if is_harmful_wanted { RolloutState::RolledBack } else { RolloutState::Promoted };
            assert_eq!(rollout.state, wanted, "{id} of version {version}: {:#?}", rollout.history);
        }
    }

    /// Rolls back what runs, and waits until all follow.
    async fn end_rollouts(&mut self) {
        self.until("no rollout runs and all replicas are there", 90_000, |world| {
            let plan = world.newest_plan();
            let Some(leader) = world.controls.iter().position(ControlNode::leads) else {
                return false;
            };
            for rollout in plan.rollouts.iter().filter(|rollout| !rollout.state.is_over()) {
                if world.operator.open() == 0 {
                    let (rollout_id, reason) = (rollout.id.clone(), String::new());
                    let requested = RolloutMove::RollBack;
                    let action = Action::MoveRollout { rollout_id, requested, reason };
                    world.operator.order(action, world.now_ms, leader as u64 + 1);
                }
            }
            let all_alive = plan.nodes.values().all(|node| node.alive);
            let served = plan.surfaces.values().filter_map(|surface| surface.ensemble.as_ref());
            let all_there = served.clone().all(|ensemble| plan.missing(ensemble).is_none());
            let none_runs = plan.rollouts.iter().all(|rollout| rollout.state.is_over());
            none_runs && all_alive && all_there && world.follow(plan.epoch)
        })
        .await;
    }

    /// One node dies where all else is well: no call fails, and control notices.
    pub(crate) async fn lose_one_node(&mut self) {
        self.end_rollouts().await;
        // Another leads for a while, who has heard of no node for as long.
        for _ in 0..2 {
            if let Some(at) = self.controls.iter().position(ControlNode::leads) {
                let to = (at as u64 + 1) % VOTERS + 1;
                self.is_calm = true;
                self.give(at, vec![RaftEvent::Transfer { to }]);
            }
            self.live(4_500).await;
        }
        let lost = self.chance.below(SHARD_NODES as u64) as usize;
        self.calm_but_for = Some(self.shards[lost].name.clone());
        self.crash_shard(lost, None);
        self.live(1_500).await;
        let failed = self.checks.failed;
        self.live(6_000).await;
        assert_eq!(
            self.checks.failed, failed,
            "calls failed with one of {SHARD_NODES} shard nodes dead"
        );
        let plan = self.newest_plan();
        assert!(!plan.nodes[&self.shards[lost].name].alive, "a dead node is taken for alive");
        self.shards[lost].restart_at_ms = Some(self.now_ms);
        let (full, partial) = (self.checks.full, self.checks.partial);
        self.live(3_000).await;
        assert_eq!(self.checks.partial, partial, "answers were partial with all shards held");
        assert!(self.checks.full > full, "nobody was answered");
        self.is_calm = false;
        self.calm_but_for = None;
    }

    /// What must hold at the end.
    pub(crate) fn check_end(&mut self) {
        let plan = self.newest_plan();
        let published = self
            .operator
            .operations
            .iter()
            .filter(|it| matches!(it.command.action, Action::PublishVersion { .. }));
        let next = plan.next_versions.get("films").copied().unwrap_or(1);
        assert_eq!(next - 1, published.count() as u64, "each publish makes one version");
        let mut numbers = std::collections::BTreeSet::new();
        for operation in &self.operator.operations {
            let (outcome, ..) = operation.done.as_ref().expect("all are done");
            if let Ok(marquee_core::command::Reply::Version(version)) = outcome {
                assert!(numbers.insert(version.version), "{version} was given twice");
            }
        }
        // A change that was asked for after another had been acknowledged comes after it.
        let done = |number: &u64| {
            self.operator.operations[*number as usize - 1].done.as_ref().expect("done")
        };
        for earlier in &self.acknowledged {
            let (_, index, acked_ms) = done(earlier);
            for later in &self.operator.operations {
                let (_, later_index, _) = later.done.as_ref().expect("done");
                assert!(
                    later.invoked_ms <= *acked_ms || later_index > index,
                    "operation {} was invoked after {earlier} was acknowledged, and comes before it",
                    later.number
                );
            }
        }
        for disk in &mut self.events {
            disk.check();
        }
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{} operations, {} plans, {} promoted, {} rolled back, answers: {} full, {} partial, {} failed; {} reads, {} terms",
            self.operator.operations.len(),
            self.checks.plans.len(),
            self.checks.promoted.len(),
            self.checks.rolled_back.len(),
            self.checks.full,
            self.checks.partial,
            self.checks.failed,
            self.reads,
            self.leaders.len()
        )
    }
}
