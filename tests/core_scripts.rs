//! Golden scripts for the replicated state machine: each file of `tests/scripts` is a story of commands with
//! the outcomes and states that they led to. After an intended change of behaviour run the test with
//! `UPDATE_GOLDENFILES=1` and review the scripts' diff like code.
//!
//! | command | what it does |
//! |---|---|
//! | `nodes a b …` | shard nodes join, holding nothing |
//! | `publish MODEL shards=S digest=D` | a bundle becomes the model's next version |
//! | `ensemble NAME MEMBER …` | a parallel of these is put |
//! | `start SURFACE CANDIDATE steps="100:60,…"` | a rollout begins; steps are weight:hold, `:N` for samples, `!` for approval |
//! | … `gates=default`, `shadow=MIRROR:HOLD`, `interleave=SHARE:HOLD:N`, `pace=evidence` | its terms; none if left out |
//! | … `prepare=S`, `watch=S`, `holdout=SHARE:HOLD`, `no_traffic=yes` | what keeps it safe besides |
//! | … `always=A,B`, `never=C` | users who always or never get the candidate |
//! | … `ask=NAME:SECONDS:FAILURES,…` | external gates; `!` behind the name pauses, `+` asks only with users of the candidate |
//! | `targets NAME …` | who is told of rollouts changes; without names, prints how far they have been told |
//! | `next TARGET surfaces=A,B` | prints what it is told next |
//! | `told TARGET ID N dropped=D` | it confirms, or D transitions are given up |
//! | `questions` | prints which external gates the leader asks now |
//! | `answer ID GATE passes says=W` | a question came to that, or `fails`, or `missing`; `number=N`, `asked=S` |
//! | `window ID weight=W baseline=N/E candidate=N/E` | the leader judges a window of N requests, E of them errors |
//! | … `interleaved=N/C/P` | N interleaved answers with C credited clicks, P % of them the candidate's |
//! | `evidence ID` | prints what is known of its gates |
//! | `load NODE… [state=S reason=R]` | nodes report all that they should hold, as AVAILABLE |
//! | `unreported NODE`, `remove NODE` | a node ceases to report, or is taken out |
//! | `tick` | the leader does what is due, until nothing is |
//! | `pause`, `resume`, `promote`, `rollback`, `undo`, `end-holdout`, `end-watch` `ID reason=R` | what an operator asks for |
//! | `experiment SURFACE ARM/ENSEMBLE/WEIGHT … share=N layer=L` | an A/B test begins |
//! | `stop ID reason=R` | it ends |
//! | `automatic SURFACE MODEL steps=…` | rollouts begin by themselves; without steps, no more |
//! | `deny SURFACE add=A,B remove=C clear=yes` | what is never shown there changes |
//! | `denied SURFACE` | prints it |
//! | `segments SURFACE NAME/VALUE,VALUE …` | sets the segments that trials there are reported by |
//! | `segmented SURFACE` | prints them |
//! | `retain MODEL keep=N seconds=S` | what is kept of a model; without `keep`, everything |
//! | `publish … trained=N` | its training left out whom the cluster had forgotten up to tombstone N |
//! | `publish … counter=N older=yes` | its signature counts N; it may be older than one that was published |
//! | `user-key N` | the leader drew a secret that users are named with, N times the same byte |
//! | `forget USER` | an operator has a user forgotten |
//! | `forgotten USER …` | prints the keys, the tombstones, and whether these users have one |
//! | `audit` | prints what the log of changes says |
//! | `delete-ensemble NAME`, `delete-model MODEL version=N` | what nothing needs is forgotten; without `version`, all versions |
//! | `versions`, `doomed` | prints what is published, and which bundles would be deleted |
//! | `status`, `placement`, `wanted NODE`, `route SURFACE USER [variant=V]` | prints that part of the plan |
//!
//! `at=SECONDS` on any command moves the clock first; `id=X` gives it a request id.

use goldenscript::{Argument, ArgumentConsumer, Command as Line, Context, Runner};
use marquee_core::audit::Actor;
use marquee_core::command::{
    Action, Command, CommandOutcome, ReplicaReport, Reply, State, waiting_for,
};
use marquee_core::ensemble::{EnsembleNode, Fusion, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::Recipe;
use marquee_core::notification::{NextNotification, Told, next_notification, waiting};
use marquee_core::plan::retention::{bundles_to_delete, retired};
use marquee_core::plan::{
    AnswerSecret, Automatic, Node, PlannedReplica, PublishedVersion, Quality, ReplicaState,
    Retention, Role, Route, SECRET_BYTES, SegmentedAttribute,
};
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::experiment::{Arm, Experiment};
use marquee_core::rollout::external::{AnswerKind, ExternalAnswer, ExternalGate, Question};
use marquee_core::rollout::gate::{
    Bound, OnBreach, OnNoData, default_gates, default_preference_gate,
};
use marquee_core::rollout::judge::{due_questions, judge_rollout};
use marquee_core::rollout::window::{ArmStats, GROUPS, Latencies, Measure, Window, hash_user};
use marquee_core::rollout::{
    DEFAULT_PREPARE_SECONDS, Holdout, InterleaveStage, ListedUsers, Pace, Rollout, RolloutEvent,
    RolloutMove, RolloutStep, Shadow, Terms,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use test_each_file::test_each_path;

test_each_path! { in "tests/scripts" as scripts => run_script }

fn run_script(path: &Path) {
    goldenscript::run(&mut Cluster::default(), path).expect("the script can be read and written");
}

struct Cluster {
    state: State,
    index: u64,
    now_ms: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { state: State::new(2), index: 0, now_ms: 0 }
    }
}

impl Runner for Cluster {
    type Command = Line;

    fn run(&mut self, line: &Line, _: &Context) -> Result<String, Box<dyn Error>> {
        let mut args = line.consume_args();
        if let Some(at) = args.take_key("at") {
            self.now_ms = at.parse::<u64>()? * 1_000;
        }
        let request_id = args.take_key("id").unwrap_or_default().to_owned();
        let printed = match line.name.as_str() {
            "replication" => {
                self.state = State::new(word(&mut args)?.parse()?);
                String::new()
            }
            "tick" => self.tick(),
            "window" => self.window(&mut args)?,
            "evidence" => self.evidence(word(&mut args)?)?,
            "questions" => self.questions(),
            "targets" => self.targets(&mut args),
            "next" => self.next(&mut args)?,
            "answer" => self.answer(&mut args)?,
            "status" => self.status(),
            "placement" => self.placement(),
            "versions" => {
                let names = self.state.plan.versions.keys().map(ToString::to_string);
                format!("[{}]\n", names.collect::<Vec<_>>().join(" "))
            }
            "doomed" => {
                let plan = &self.state.plan;
                format!("{:?}\n", bundles_to_delete(plan, &retired(plan, self.now_ms)))
            }
            "audit" => {
                let entries = self.state.audit.entries.iter();
                entries.map(|it| format!("{}: {}\n", it.change, it.outcome)).collect()
            }
            "forgotten" => self.forgotten(&words(&mut args)),
            "denied" => {
                let surface = word(&mut args)?;
                let denied = self.state.plan.surfaces.get(surface).map(|it| it.denied.join(" "));
                format!("{}\n", denied.unwrap_or_else(|| "no such surface".into()))
            }
            "segmented" => {
                let surface = self.state.plan.surfaces.get(word(&mut args)?);
                let names = surface.map(|it| it.segments.names().join(" "));
                format!("{}\n", names.unwrap_or_else(|| "no such surface".into()))
            }
            "wanted" => self.wanted(word(&mut args)?),
            "route" => {
                let variant = args.take_key("variant");
                self.route(word(&mut args)?, word(&mut args)?, variant)?
            }
            "nodes" => words(&mut args).into_iter().map(|id| self.report(id, vec![])).collect(),
            "load" => {
                let state = match args.take_key("state") {
                    None | Some("AVAILABLE") => ReplicaState::Available,
                    Some("LOADING") => ReplicaState::Loading,
                    Some("FAILED") => ReplicaState::Failed,
                    Some(other) => return Err(format!("no state {other}").into()),
                };
                let reason = args.take_key("reason").unwrap_or_default().to_owned();
                let nodes = words(&mut args);
                nodes.into_iter().map(|id| self.load(id, state, &reason)).collect()
            }
            "forget" => {
                let user = self.state.plan.privacy.pseudonym(word(&mut args)?);
                let user = user.ok_or("there is no root: give user-key first")?;
                show(&self.apply(request_id, Action::ForgetUser { user }))
            }
            name => {
                let action = action(name, &mut args)?;
                let outcome = self.apply(request_id, action);
                show(&outcome)
            }
        };
        args.reject_next()?;
        Ok(printed)
    }
}

impl Cluster {
    fn apply(&mut self, request_id: String, action: Action) -> CommandOutcome {
        self.index += 1;
        self.state.apply(
            self.index,
            &Command { request_id, now_ms: self.now_ms, actor: Actor::default(), action },
        )
    }

    fn forgotten(&self, users: &[&str]) -> String {
        let privacy = &self.state.plan.privacy;
        let keys: Vec<u64> = privacy.keys.iter().map(|key| key.number).collect();
        let mut numbers: Vec<u64> = privacy.tombstones.iter().map(|(_, it)| it.number).collect();
        numbers.sort_unstable();
        let newest = privacy.tombstones.newest();
        let mut printed = format!("keys {keys:?}, tombstones {numbers:?} of {newest}\n");
        for user in users {
            let is_forgotten = privacy.forgotten(user).is_some();
            let _ =
                writeln!(printed, "{user}: {}", if is_forgotten { "forgotten" } else { "known" });
        }
        printed
    }

    fn tick(&mut self) -> String {
        let mut printed = String::new();
        loop {
            let due = self.state.due(self.now_ms);
            if due.is_empty() {
                break;
            }
            for action in due {
                printed += &show(&self.apply(String::new(), action));
            }
        }
        if printed.is_empty() { "nothing is due\n".into() } else { printed }
    }

    /// The leader's part: judges, and proposes what it found.
    fn window(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<String, Box<dyn Error>> {
        let arms =
            ["baseline", "candidate"].map(|key| args.take_key(key).unwrap_or("0/0").to_owned());
        let weight_basis_points = args.take_key("weight").ok_or("weight=W is missing")?.parse()?;
        let number = args.take_key("number").map(str::parse).transpose()?;
        let interleaved = args.take_key("interleaved").map(str::to_owned);
        let rollout_id = word(args)?.to_owned();
        let mut window = Window::new(2);
        // Without a share of its own, the candidate answers mirrored requests.
        let measured: &mut [ArmStats] =
            if weight_basis_points == 0 { &mut window.mirror.arms } else { &mut window.arms };
        for (number, (arm, text)) in measured.iter_mut().zip(&arms).enumerate() {
            let (requests, errors) = text.split_once('/').ok_or("write N/E")?;
            let (requests, errors): (u64, u64) = (requests.parse()?, errors.parse()?);
            for n in 0..requests {
                let failed = if n < errors { 1.0 } else { 0.0 };
                arm.measure(Measure::Failed, n as usize % GROUPS, failed);
                if n < errors {
                    arm.note_fault(Measure::Failed, hash_user(&format!("user-{number}-{n}")));
                }
                arm.measure(Measure::Users, n as usize % GROUPS, 1.0);
            }
            if errors > 0 {
                arm.errors.insert(14, errors);
            }
            arm.latencies = Latencies([(1_000, requests)].into());
        }
        if let Some(text) = interleaved {
            let numbers: Vec<u64> = text.split('/').map(str::parse).collect::<Result<_, _>>()?;
            let [answers, clicks, percent] = numbers[..] else { return Err("write N/C/P".into()) };
            window.interleaved.answers = answers;
            for n in 0..clicks {
                let is_candidates = 37 * n % 100 < percent;
                window
                    .interleaved
                    .clicks
                    .add(n as usize % GROUPS, f64::from(u8::from(is_candidates)));
            }
        }
        let rollout = self.state.plan.rollout(&rollout_id).ok_or("no such rollout")?;
        let evidence = self.state.evidence.get(&rollout_id).cloned().unwrap_or_default();
        let judgement = judge_rollout(rollout, &evidence, weight_basis_points, &window);
        let action = Action::JudgeRollout {
            rollout_id,
            number: number.unwrap_or(evidence.windows + 1),
            weight_basis_points,
            window: Box::new(window),
            judgement: Box::new(judgement),
        };
        Ok(show(&self.apply(String::new(), action)))
    }

    fn targets(&mut self, args: &mut ArgumentConsumer<'_>) -> String {
        let targets: Vec<String> = words(args).into_iter().map(Into::into).collect();
        if targets.is_empty() {
            let told = |(name, it): (&String, &Told)| {
                format!("{name}: {:?}, {} dropped\n", it.rollouts, it.dropped)
            };
            return self.state.told.iter().map(told).collect();
        }
        show(&self.apply(String::new(), Action::SetNotificationTargets { targets }))
    }

    fn next(&self, args: &mut ArgumentConsumer<'_>) -> Result<String, Box<dyn Error>> {
        let surfaces = args.take_key("surfaces").into_iter().flat_map(|it| it.split(','));
        let surfaces = surfaces.map(Into::into).collect();
        let told = self.state.told.get(word(args)?).ok_or("no such target")?;
        let waiting = waiting(&self.state.plan, told, &surfaces);
        Ok(match next_notification(&self.state.plan, told, &surfaces, self.now_ms) {
            NextNotification::Nothing => format!("nothing, {waiting} wait\n"),
            NextNotification::Tell(it) => {
                let (id, RolloutEvent { state, reason, .. }) = (it.delivery_id(), &it.event);
                format!("{id}: {} is {state}: {reason}, {waiting} wait\n", it.candidate)
            }
            NextNotification::GiveUp { rollout_id, number, dropped } => {
                format!("gives up {dropped} up to {rollout_id}.{number}, {waiting} wait\n")
            }
        })
    }

    fn questions(&self) -> String {
        let due = due_questions(&self.state.plan.rollouts, &self.state.evidence, self.now_ms);
        let mut out = String::new();
        for it in &due {
            writeln!(
                out,
                "{} asks {} ({}), number {}, at {} of {}",
                it.rollout_id, it.gate, it.question, it.number, it.weight_basis_points, it.state
            )
            .expect("memory");
        }
        if out.is_empty() { "nothing is asked\n".into() } else { out }
    }

    fn answer(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<String, Box<dyn Error>> {
        let number = args.take_key("number").map(str::parse).transpose()?;
        let asked = args.take_key("asked").map(str::parse::<u64>).transpose()?;
        let says = args.take_key("says").unwrap_or_default().to_owned();
        let (rollout_id, gate) = (word(args)?.to_owned(), word(args)?.to_owned());
        let kind = match word(args)? {
            "passes" => AnswerKind::Passes,
            "fails" => AnswerKind::Fails,
            "missing" => AnswerKind::Missing,
            other => return Err(format!("no answer is {other}").into()),
        };
        let gates = self.state.plan.rollout(&rollout_id).map(|it| &it.terms.external_gates);
        let at = gates.and_then(|gates| gates.iter().position(|it| it.name == gate));
        let known = self.state.evidence.get(&rollout_id);
        let found = known.and_then(|it| it.external.get(at.unwrap_or_default()));
        let next = found.map_or(0, |found| found.questions) + 1;
        let action = Action::AnswerQuestion {
            rollout_id,
            gate,
            number: number.unwrap_or(next),
            asked_at_ms: asked.map_or(self.now_ms, |seconds| seconds * 1_000),
            answer: ExternalAnswer::new(kind, &says),
        };
        Ok(show(&self.apply(String::new(), action)))
    }

    fn evidence(&self, rollout_id: &str) -> Result<String, Box<dyn Error>> {
        let rollout = self.state.plan.rollout(rollout_id).ok_or("no such rollout")?;
        let evidence = self.state.evidence.get(rollout_id).ok_or("nothing was measured")?;
        let mut out = format!(
            "{} windows, {:?} requests, {:?} on this step\n",
            evidence.windows,
            evidence.total.arms.iter().map(|arm| arm.requests()).collect::<Vec<_>>(),
            evidence.stage.requests
        );
        for (gate, found) in rollout.terms.gates.iter().zip(&evidence.gates) {
            let accepted = if found.accepted { ", accepted" } else { "" };
            writeln!(out, "  {} {}: {}{accepted}", gate.metric, gate.bound, found.verdict.name())
                .expect("memory");
        }
        for (gate, found) in rollout.terms.external_gates.iter().zip(&evidence.external) {
            let accepted = if found.accepted { ", accepted" } else { "" };
            let name = found.verdict.name();
            writeln!(
                out,
                "  external {} after {}: {name} {:?}, {} failed in a row, {} unanswered{accepted}",
                gate.name, found.questions, found.says, found.failures, found.unanswered
            )
            .expect("memory");
        }
        Ok(out)
    }

    fn report(&mut self, node_id: &str, replicas: Vec<ReplicaReport>) -> String {
        let node = Node {
            address: format!("http://{node_id}"),
            roles: BTreeSet::from([Role::Shard]),
            draining: false,
            memory_budget_bytes: 0,
            alive: true,
        };
        match self
            .apply(String::new(), Action::ReportNode { node_id: node_id.into(), node, replicas })
        {
            Ok(Reply::Done) => String::new(),
            outcome => show(&outcome),
        }
    }

    fn load(&mut self, node_id: &str, state: ReplicaState, reason: &str) -> String {
        let wanted = self.state.plan.wanted_on(node_id);
        let replica = PlannedReplica { state, reason: reason.into() };
        let reports = wanted
            .into_iter()
            .map(|(version, shard)| ReplicaReport { version, shard, replica: replica.clone() })
            .collect();
        self.report(node_id, reports)
    }

    fn status(&self) -> String {
        let plan = &self.state.plan;
        let mut out = format!("epoch {}\n", plan.epoch);
        for (name, surface) in &plan.surfaces {
            let live = surface.ensemble.as_deref().unwrap_or("nothing");
            let rollout = surface.rollout_id.as_deref().unwrap_or("none");
            writeln!(out, "surface {name}: live {live}, rollout {rollout}").expect("memory");
        }
        for rollout in &plan.rollouts {
            out += &line(rollout);
            let waiting_for = waiting_for(plan, &self.state.evidence, rollout, self.now_ms);
            if !waiting_for.is_empty() {
                writeln!(out, "  waits for {waiting_for}").expect("memory");
            }
            for event in &rollout.history {
                let at = event.at_ms / 1_000;
                let weight = event.weight_basis_points;
                writeln!(out, "  {at} s: {} at {weight}: {}", event.state, event.reason)
                    .expect("memory");
            }
        }
        out
    }

    fn placement(&self) -> String {
        let mut out = String::new();
        for (version, published) in &self.state.plan.versions {
            for (shard, placement) in published.placements.iter().enumerate() {
                let held: Vec<String> =
                    placement.replicas.iter().map(|(id, r)| format!("{id} {}", r.state)).collect();
                let (want, held) = (placement.node_ids.join(" "), held.join(", "));
                writeln!(out, "{version}/{shard}: wanted on [{want}], held: [{held}]")
                    .expect("memory");
            }
        }
        for (id, node) in self.state.plan.nodes.iter().filter(|(_, node)| node.draining) {
            writeln!(out, "{id} at {} is draining", node.address).expect("memory");
        }
        out
    }

    fn wanted(&self, node_id: &str) -> String {
        let wanted = self.state.plan.wanted_on(node_id);
        let names: Vec<String> = wanted.iter().map(|(v, shard)| format!("{v}/{shard}")).collect();
        format!("[{}]\n", names.join(" "))
    }

    fn route(
        &self,
        surface: &str,
        user_id: &str,
        variant: Option<&str>,
    ) -> Result<String, Box<dyn Error>> {
        let plan = &self.state.plan;
        let route = match variant {
            None => plan.route(surface, user_id)?,
            Some(variant) => plan.route_forced(surface, user_id, variant)?,
        };
        let counts = match (route.is_forced, &route.trial) {
            _ if route.interleaving.is_some() => ", interleaved",
            (true, _) => ", forced",
            (false, None) if route.rollout_id.is_some() => ", not compared",
            (false, _) => "",
        };
        if let Some((id, arm)) = &route.experiment {
            return Ok(format!("{} as arm {arm} of {id}{counts}\n", route.ensemble));
        }
        let Route { ensemble, variant, rollout_id, .. } = route;
        Ok(format!("{ensemble} as {variant:?} of {rollout_id:?}{counts}\n"))
    }
}

fn action(name: &str, args: &mut ArgumentConsumer<'_>) -> Result<Action, Box<dyn Error>> {
    Ok(match name {
        "publish" => {
            let shards = args.take_key("shards").unwrap_or("1").parse()?;
            let digest = args.take_key("digest").ok_or("digest=D is missing")?.to_owned();
            let forgotten_up_to = args.take_key("trained").unwrap_or("0").parse()?;
            let signed_counter = args.take_key("counter").unwrap_or("0").parse()?;
            let allow_older = args.take_key("older").is_some();
            let model = word(args)?.to_owned();
            let version =
                PublishedVersion { forgotten_up_to, signed_counter, ..bundle(shards, digest) };
            Action::PublishVersion { model, version: Box::new(version), allow_older }
        }
        "ensemble" => {
            let name = word(args)?.to_owned();
            let members = words(args).into_iter().map(|member| {
                let node = member
                    .parse::<ModelVersion>()
                    .map_or_else(|_| EnsembleNode::Reference(member.into()), EnsembleNode::Model);
                WeightedNode { node, weight: 1.0, timeout_ms: None }
            });
            let root = EnsembleNode::Parallel {
                members: members.collect(),
                fusion: Fusion::ReciprocalRank,
            };
            Action::PutEnsemble { name, root }
        }
        "start" => {
            let steps = match args.take_key("steps") {
                None => vec![],
                Some(text) => text.split(',').map(step).collect::<Result<_, _>>()?,
            };
            let terms = terms(args)?;
            let (surface, candidate) = (word(args)?.into(), word(args)?.into());
            Action::StartRollout { surface, candidate, steps, terms }
        }
        "experiment" => {
            let share_basis_points = args.take_key("share").unwrap_or("10000").parse()?;
            let layer = args.take_key("layer").unwrap_or("ranking").to_owned();
            let surface = word(args)?.to_owned();
            let arms = words(args).into_iter().map(|text| {
                let mut parts = text.split('/');
                let mut next = || parts.next().ok_or("an arm is name/ensemble/weight");
                let (name, ensemble) = (next()?.to_owned(), next()?.to_owned());
                Ok(Arm { name, ensemble, weight_basis_points: next()?.parse()? })
            });
            let arms = arms.collect::<Result<_, Box<dyn Error>>>()?;
            Action::StartExperiment { surface, layer, share_basis_points, arms }
        }
        "stop" => {
            let reason = args.take_key("reason").unwrap_or_default().to_owned();
            Action::StopExperiment { experiment_id: word(args)?.into(), reason }
        }
        "automatic" => {
            let steps = args.take_key("steps");
            let terms = terms(args)?;
            let surface = word(args)?.to_owned();
            let automatic = match steps {
                None => None,
                Some(steps) => {
                    let model = word(args)?.into();
                    Some(Automatic {
                        model,
                        steps: steps.split(',').map(step).collect::<Result<_, _>>()?,
                        terms,
                        pending: None,
                    })
                }
            };
            Action::SetAutomaticRollout { surface, automatic }
        }
        "deny" => {
            let mut ids = |key| -> Vec<String> {
                args.take_key(key)
                    .into_iter()
                    .flat_map(|ids| ids.split(','))
                    .map(Into::into)
                    .collect()
            };
            let (add, remove) = (ids("add"), ids("remove"));
            let clear = args.take_key("clear").is_some();
            Action::ChangeDenyList { surface: word(args)?.into(), clear, remove, add }
        }
        "segments" => {
            let surface = word(args)?.into();
            let attributes = words(args).into_iter().map(|text| {
                let (name, values) =
                    text.split_once('/').ok_or("an attribute is name/value,value")?;
                let values = values.split(',').map(Into::into).collect();
                Ok(SegmentedAttribute { name: name.into(), values })
            });
            let attributes = attributes.collect::<Result<_, Box<dyn Error>>>()?;
            Action::SetSegments { surface, attributes }
        }
        "user-key" => {
            let byte = word(args)?.parse()?;
            Action::AddUserKey { secret: AnswerSecret([byte; SECRET_BYTES]) }
        }
        "retain" => {
            let keep = args.take_key("keep").map(str::parse).transpose()?;
            let keep_seconds = args.take_key("seconds").unwrap_or("0").parse()?;
            let delete_bundles = args.take_key("delete").is_some();
            let retention =
                keep.map(|keep_versions| Retention { keep_versions, keep_seconds, delete_bundles });
            Action::SetRetention { model: word(args)?.into(), retention }
        }
        "delete-ensemble" => Action::DeleteEnsemble { name: word(args)?.into() },
        "delete-model" => {
            let version = args.take_key("version").map(str::parse).transpose()?;
            Action::DeleteModel { model: word(args)?.into(), version }
        }
        "pause" => move_rollout(RolloutMove::Pause, args)?,
        "resume" => move_rollout(RolloutMove::Resume, args)?,
        "promote" => move_rollout(RolloutMove::Promote, args)?,
        "rollback" => move_rollout(RolloutMove::RollBack, args)?,
        "undo" => move_rollout(RolloutMove::Undo, args)?,
        "end-holdout" => move_rollout(RolloutMove::EndHoldout, args)?,
        "end-watch" => move_rollout(RolloutMove::EndWatch, args)?,
        "told" => {
            let dropped = args.take_key("dropped").unwrap_or("0").parse()?;
            let (target, rollout_id) = (word(args)?.into(), word(args)?.into());
            let number = word(args)?.parse()?;
            Action::ConfirmNotification { target, rollout_id, number, dropped }
        }
        "advance" => Action::AdvanceRollout { rollout_id: word(args)?.into() },
        "unreported" => Action::SetNodeAlive { node_id: word(args)?.into(), alive: false },
        "remove" => Action::RemoveNode { node_id: word(args)?.into() },
        other => return Err(format!("there is no command {other:?}").into()),
    })
}

fn move_rollout(
    requested: RolloutMove,
    args: &mut ArgumentConsumer<'_>,
) -> Result<Action, Box<dyn Error>> {
    let reason = args.take_key("reason").unwrap_or_default().to_owned();
    Ok(Action::MoveRollout { rollout_id: word(args)?.into(), requested, reason })
}

fn terms(args: &mut ArgumentConsumer<'_>) -> Result<Terms, Box<dyn Error>> {
    let mut terms = Terms::unguarded();
    match args.take_key("gates") {
        None => {}
        Some("default") => terms.gates = default_gates(),
        Some(metrics) => {
            let by_name = |name: &str| {
                let hold = name.trim_end_matches(['!', '?']);
                let gate = default_gates().into_iter().find(|g| g.metric.name() == hold);
                let mut gate = gate.ok_or_else(|| format!("no default gate {hold}"))?;
                gate.on_no_data =
                    if name.contains('?') { OnNoData::Ignore } else { OnNoData::Hold };
                if name.contains('!') {
                    gate.on_breach = OnBreach::Pause;
                }
                Ok::<_, String>(gate)
            };
            terms.gates = metrics.split(',').map(by_name).collect::<Result<_, _>>()?;
        }
    }
    if let Some(text) = args.take_key("ask") {
        terms.external_gates = text.split(',').map(external_gate).collect::<Result<_, _>>()?;
    }
    if let Some(text) = args.take_key("shadow") {
        let (mirror, hold) = text.split_once(':').ok_or("write MIRROR:HOLD")?;
        terms.shadow = Shadow {
            mirror_basis_points: mirror.parse()?,
            hold_seconds: hold.parse()?,
            min_samples: 0,
        };
    }
    if let Some(text) = args.take_key("interleave") {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or("write SHARE:HOLD or SHARE:HOLD:N");
        terms.interleave = Some(InterleaveStage {
            share_basis_points: next()?.parse()?,
            hold_seconds: next()?.parse()?,
            min_samples: next().unwrap_or("0").parse()?,
            how: Interleaving::TeamDraft,
        });
        if !terms.gates.is_empty() {
            terms.gates.push(default_preference_gate());
        }
    }
    if args.take_key("pace") == Some("evidence") {
        terms.pace = Pace::Evidence;
    }
    let mut seconds = |key| args.take_key(key).map(str::parse).transpose();
    terms.safety.watch_seconds = seconds("watch")?.unwrap_or(0);
    terms.safety.prepare_seconds = seconds("prepare")?.unwrap_or(DEFAULT_PREPARE_SECONDS);
    if let Some(text) = args.take_key("holdout") {
        let (share, hold) = text.split_once(':').ok_or("write SHARE:HOLD")?;
        let holdout = Holdout { share_basis_points: share.parse()?, hold_seconds: hold.parse()? };
        terms.safety.holdout = Some(holdout);
    }
    terms.safety.allows_no_traffic = args.take_key("no_traffic").is_some();
    let mut users = |key| -> Vec<String> {
        let ids = args.take_key(key).into_iter().flat_map(|ids| ids.split(','));
        ids.map(Into::into).collect()
    };
    terms.listed = ListedUsers::of_ids(&users("always"), &users("never"))?;
    Ok(terms)
}

fn external_gate(text: &str) -> Result<ExternalGate, Box<dyn Error>> {
    let mut parts = text.split(':');
    let mut next = || parts.next().ok_or("write NAME:SECONDS:FAILURES");
    let name = next()?;
    let question = Question::PromQl {
        url: "http://127.0.0.1:9090".into(),
        expression: "errors{version=\"{{candidate}}\"}".into(),
        bound: Bound::Max(0.5),
    };
    let gate = ExternalGate::new(name.trim_end_matches(['!', '+']), question);
    Ok(ExternalGate {
        interval_seconds: next()?.parse()?,
        consecutive_failures: next()?.parse()?,
        on_breach: if name.contains('!') { OnBreach::Pause } else { OnBreach::RollBack },
        with_traffic_only: name.contains('+'),
        ..gate
    })
}

fn bundle(shards: u32, manifest_digest: String) -> PublishedVersion {
    PublishedVersion {
        bundle_uri: format!("file:///bundles/{manifest_digest}"),
        manifest_digest,
        recipe: Recipe::Popularity,
        shards,
        users: 10,
        items: 10,
        bytes: 1_000,
        quality: Quality::default(),
        forgotten_up_to: 0,
        signed_counter: 0,
        published_at_ms: 0,
        placements: vec![],
    }
}

fn step(text: &str) -> Result<RolloutStep, Box<dyn Error>> {
    let requires_approval = text.ends_with('!');
    let mut parts = text.trim_end_matches('!').split(':');
    let mut next = || parts.next().ok_or("a step is weight:hold or weight:hold:samples");
    Ok(RolloutStep {
        weight_basis_points: next()?.parse()?,
        hold_seconds: next()?.parse()?,
        min_samples: next().unwrap_or("0").parse()?,
        requires_approval,
    })
}

fn word<'a>(args: &mut ArgumentConsumer<'a>) -> Result<&'a str, Box<dyn Error>> {
    args.next_pos().ok_or_else(|| "an argument is missing".into())
}

fn words<'a>(args: &mut ArgumentConsumer<'a>) -> Vec<&'a str> {
    let words = args.filter_map(|arg| match arg {
        Argument::Positional(word) => Some(word.as_str()),
        _ => None,
    });
    words.collect()
}

fn show(outcome: &CommandOutcome) -> String {
    match outcome {
        Ok(Reply::Rollout(rollout)) => line(rollout),
        Ok(Reply::Experiment(experiment)) => {
            let Experiment { id, state, from_basis_points: from, .. } = experiment.as_ref();
            let until = from + experiment.share_basis_points;
            let arms: Vec<String> = experiment
                .arms
                .iter()
                .map(|arm| format!("{} {} at {}", arm.name, arm.ensemble, arm.weight_basis_points))
                .collect();
            format!("experiment {id}: {state:?}, places {from} to {until}: {}\n", arms.join(", "))
        }
        Ok(Reply::Version(version)) => format!("{version}\n"),
        Ok(Reply::Ensemble { name, root: _ }) => format!("ensemble {name}\n"),
        Ok(Reply::Node { node_id, .. }) => format!("node {node_id}\n"),
        Ok(Reply::NodeRemoved { draining: true }) => "draining\n".into(),
        Ok(Reply::NodeRemoved { draining: false }) => "forgotten\n".into(),
        Ok(Reply::Deleted(versions)) => {
            let names: Vec<String> = versions.iter().map(ModelVersion::to_string).collect();
            format!("deleted {}\n", names.join(" "))
        }
        Ok(Reply::Done) => "done\n".into(),
        Err(refusal) => format!("{:?}: {refusal}\n", refusal.kind),
    }
}

fn line(rollout: &Rollout) -> String {
    let Rollout { id, state, baseline, candidate, .. } = rollout;
    let weight = rollout.weight_basis_points();
    let baseline = baseline.as_deref().unwrap_or("nothing");
    let step = rollout.step.map_or_else(String::new, |step| format!(" step {step}"));
    format!("rollout {id}: {baseline} → {candidate}: {state}{step} at {weight}\n")
}
