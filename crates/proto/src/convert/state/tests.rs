//! What control nodes write is what they read: states grown by commands of every kind.

use super::*;
use crate::convert::command::{command_from_pb, command_to_pb};
use crate::generated::control::v1 as control;
use marquee_core::audit::Actor;
use marquee_core::command::{Action, Command, ReplicaReport};
use marquee_core::ensemble::{EnsembleNode, Fusion, ProductForm, SplitMember, WeightedNode};
use marquee_core::id::ModelVersion;
use marquee_core::model::recipe::{
    BlendMember, FoldIn, HistoryWeights, NeighbourSearch, Profile, Recipe,
};
use marquee_core::plan::privacy::PSEUDONYM_BYTES;
use marquee_core::plan::{AnswerSecret, Pseudonym, Retention, SECRET_BYTES};
use marquee_core::plan::{
    Automatic, Node, PlannedReplica, PublishedVersion, Quality, ReplicaState, Role,
    SegmentedAttribute,
};
use marquee_core::ranking::diversify::Diversity;
use marquee_core::ranking::interleave::Interleaving;
use marquee_core::rollout::experiment::Arm;
use marquee_core::rollout::external::{AnswerKind, ExternalAnswer, ExternalGate, Question};
use marquee_core::rollout::gate::{
    Bound, Gate, Metric, OnBreach, default_gates, default_preference_gate,
};
use marquee_core::rollout::judge::{GateEvidence, Judgement, Verdict};
use marquee_core::rollout::traffic::{
    MeasuredSegment, SegmentTraffic, SurfaceTraffic, VariantTraffic,
};
use marquee_core::rollout::window::{Measure, MirrorDiff, MirrorStats, Window, hash_item};
use marquee_core::rollout::{
    Decision, Holdout, InterleaveStage, ListedUsers, Pace, RolloutMove, RolloutStep, Safety,
    Shadow, Terms,
};
use prost::Message as _;

fn version(n: u64) -> ModelVersion {
    ModelVersion::new("films", n)
}

fn published(n: u64, recipe: Recipe) -> Action {
    let version = PublishedVersion {
        bundle_uri: format!("/bundles/films-{n}"),
        manifest_digest: format!("{n:064x}"),
        recipe,
        shards: 2,
        users: 10,
        items: 20,
        bytes: 30,
        quality: Quality { recall_at_20: Some(0.25), ..Quality::default() },
        forgotten_up_to: 4,
        signed_counter: n,
        published_at_ms: 0,
        placements: Vec::new(),
    };
    Action::PublishVersion { model: "films".into(), version: Box::new(version), allow_older: n > 2 }
}

fn node(role: Role) -> Node {
    Node {
        address: "http://127.0.0.1:7001".into(),
        roles: [role].into(),
        draining: false,
        memory_budget_bytes: 1 << 30,
        alive: true,
    }
}

fn report(state: ReplicaState) -> Action {
    let reason = if state == ReplicaState::Failed { "disk full" } else { "" };
    let replica = PlannedReplica { state, reason: reason.into() };
    let replicas =
        [0, 1].map(|shard| ReplicaReport { version: version(1), shard, replica: replica.clone() });
    let (node_id, node) = ("shard-1".into(), node(Role::Shard));
    Action::ReportNode { node_id, node, replicas: replicas.into() }
}

fn product(members: Vec<EnsembleNode>, form: ProductForm) -> EnsembleNode {
    EnsembleNode::Product { members, form }
}

fn everything() -> EnsembleNode {
    let model = |n| EnsembleNode::Model(version(n));
    let weighted = |node, weight| WeightedNode { node, weight, timeout_ms: Some(40) };
    EnsembleNode::Split {
        salt: "spring".into(),
        members: vec![
            SplitMember {
                node: EnsembleNode::Diversify {
                    node: Box::new(EnsembleNode::Sequence(vec![model(1), model(2)])),
                    how: Diversity {
                        mmr_lambda: Some(0.7),
                        max_per_tag: Some(3),
                        tag_caps: [("war".into(), 1)].into(),
                    },
                },
                weight_basis_points: 2_500,
            },
            SplitMember {
                node: EnsembleNode::Parallel {
                    members: vec![
                        weighted(EnsembleNode::Reference("plain".into()), 2.0),
                        weighted(product(vec![model(1)], ProductForm::Elementwise), 0.5),
                        WeightedNode {
                            node: product(vec![model(2)], ProductForm::Chain),
                            weight: 1.0,
                            timeout_ms: None,
                        },
                    ],
                    fusion: Fusion::WeightedScore,
                },
                weight_basis_points: 7_500,
            },
        ],
    }
}

/// A blend of all there is, with a profile.
fn every_recipe() -> Recipe {
    let history = HistoryWeights { by_value: true, decay: 0.9, newest: Some(10) };
    let neighbours = |by| Recipe::UserNeighbours { by, histories: "h".into(), neighbours: 7 };
    let members = [
        Recipe::MatrixFactorisation {
            user_factors: "u".into(),
            item_factors: "i".into(),
            fold_in: Some(FoldIn { matrix: "f".into(), confidence: 2.5 }),
        },
        Recipe::Content {
            user_topics: "u".into(),
            item_topics: "i".into(),
            term_topics: Some("t".into()),
            history: Some(history.clone()),
        },
        Recipe::ItemRows { matrix: "ease".into(), history: history.clone() },
        neighbours(NeighbourSearch::Vectors { user_factors: "u".into() }),
        neighbours(NeighbourSearch::Histories { matrix: "n".into(), history }),
        Recipe::Popularity,
        Recipe::Trending { matrix: "t".into() },
    ];
    let member = |(n, recipe)| BlendMember { recipe, weight: f64::from(n) };
    let blend = Recipe::Blend { members: (1..).zip(members).map(member).collect() };
    let profile = Profile { matrix: "p".into(), users: "q".into() };
    Recipe::Profiled { recipe: Box::new(blend), profile }
}

/// Gates of every kind.
fn terms() -> Terms {
    let mut gates = default_gates();
    gates[0] = Gate {
        min_samples: 7,
        on_breach: OnBreach::Pause,
        consecutive_breaches: 3,
        false_alarm: Some(0.25),
        ..Gate::new(Metric::LatencyP99, Bound::Max(20.0))
    };
    let clicks = gates.iter_mut().find(|gate| gate.metric == Metric::ClicksPerAnswer);
    clicks.expect("a default gate").maturity_seconds = Some(90);
    let shadow = Shadow { mirror_basis_points: 500, hold_seconds: 5, min_samples: 9 };
    let safety = Safety {
        prepare_seconds: 60,
        allows_no_traffic: true,
        watch_seconds: 70,
        holdout: Some(Holdout { share_basis_points: 500, hold_seconds: 80 }),
    };
    let listed = ListedUsers::of_hashes(vec![7, 3], vec![5]).expect("in bounds");
    let interleave = Some(InterleaveStage {
        share_basis_points: 700,
        hold_seconds: 90,
        min_samples: 11,
        how: Interleaving::Balanced,
    });
    let asked = |bound| Question::PromQl {
        url: "http://127.0.0.1:9090".into(),
        expression: "errors{version=\"{{candidate}}\"}".into(),
        bound,
    };
    let webhook = Question::Webhook { url: "https://127.0.0.1/verdict".into() };
    let external_gates = vec![
        ExternalGate {
            interval_seconds: 60,
            timeout_ms: 200,
            max_answer_bytes: 300,
            consecutive_failures: 1,
            on_breach: OnBreach::Pause,
            with_traffic_only: true,
            ..ExternalGate::new("errors", asked(Bound::Max(0.5)))
        },
        ExternalGate::new("sales", asked(Bound::Min(-3.0))),
        ExternalGate::new("slo", webhook),
    ];
    Terms { gates, external_gates, shadow, interleave, pace: Pace::Evidence, safety, listed }
}

/// The terms of a rollout that begins by itself: with an interleave stage it always has a gate of preference.
fn automatic_terms() -> Terms {
    let mut terms = Terms { listed: ListedUsers::default(), ..terms() };
    terms.gates.push(default_preference_gate());
    terms
}

/// A window with something of everything.
fn window() -> Window {
    let mut window = Window::new(2);
    let MirrorStats { arms, .. } = &mut window.mirror;
    for (n, arm) in window.arms.iter_mut().chain(arms).enumerate() {
        arm.errors.insert(14, 3);
        arm.latencies.add(1_500, 2 + n as u64);
        for measure in Measure::ALL {
            arm.measure(measure, n, 0.5);
        }
        arm.note_fault(Measure::Partial, 77);
        arm.scores.add(n as f64 - 1.0);
        arm.items.add(hash_item("x"));
    }
    window.mirror.overlap.add(3, 0.25);
    window.mirror.rank_biased_overlap.add(63, 0.5);
    window.mirror.skipped = 4;
    window.mirror.diffs.push(MirrorDiff {
        recommendation_id: "a-1".into(),
        at_ms: 5,
        served: 1,
        overlap: 0.5,
        baseline: vec!["x".into(), "y".into()],
        candidate: vec!["y".into(), "z".into()],
    });
    window.interleaved.answers = 10;
    window.interleaved.clicks.add(5, 1.0);
    (window.automated, window.dropped, window.capped, window.late) = (6, 7, 8, 9);
    window
}

/// Of a variant that was measured and of one that was not.
fn traffic() -> SurfaceTraffic {
    let measured = VariantTraffic {
        requests: 9,
        errors: [(4, 1)].into(),
        latency_micros: Some([1, 2, 3]),
        empty_rate: Some(0.1),
        partial_rate: Some(0.2),
        fallback_rate: Some(0.3),
        list_similarity: Some(0.4),
        distinct_items: 8,
        score: Some([0.5, 0.6, 0.7]),
        clicks_per_answer: Some(0.8),
        play_seconds_per_answer: Some(0.9),
        purchases_per_answer: Some(1.0),
        reward_variances: [(Measure::Clicks, 1.1), (Measure::PlaySeconds, 1.2)].into(),
    };
    let variants = [("live".into(), measured), ("other".into(), VariantTraffic::default())];
    let segment = |name: &str| MeasuredSegment { segment: name.into(), variant: "live".into() };
    let of_segment = SegmentTraffic {
        requests: 7,
        error_rate: Some(0.1),
        empty_rate: Some(0.2),
        fallback_rate: Some(0.3),
        mean_latency_micros: Some(0.4),
        clicks_per_answer: Some(0.5),
        play_seconds_per_answer: Some(0.6),
        purchases_per_answer: Some(0.7),
    };
    let segments = [(segment("a=1"), of_segment), (segment("a=2"), SegmentTraffic::default())];
    SurfaceTraffic {
        from_ms: 1,
        until_ms: 2,
        automated: 3,
        dropped: 4,
        variants: variants.into(),
        segments: segments.into(),
    }
}

/// A window of a rollout, with evidence and decision of every kind.
fn judged(number: u64, decision: Decision) -> Action {
    let gate = |verdict| GateEvidence {
        verdict,
        baseline: Some(0.1),
        candidate: None,
        allowed: Some(0.2),
        effect: Some((-0.25, 0.5)),
        answers_needed: Some(5e4),
        samples: [10, 20],
        log_evidence_against: 1.0,
        log_required: 7.5,
        log_evidence_for: -1.0,
        breaches: 2,
        accepted: number == 2,
    };
    let verdicts = [Verdict::Inconclusive, Verdict::Holds, Verdict::Proven, Verdict::Breached];
    let judgement = Judgement {
        gates: verdicts.map(gate).into(),
        split: gate(Verdict::Holds),
        split_of_requests: gate(Verdict::Inconclusive),
        decision,
    };
    Action::JudgeRollout {
        rollout_id: "home-2".into(),
        number,
        weight_basis_points: 100,
        window: Box::new(window()),
        judgement: Box::new(judgement),
    }
}

fn answered(gate: &str, kind: AnswerKind) -> Action {
    Action::AnswerQuestion {
        rollout_id: "home-2".into(),
        gate: gate.into(),
        number: 1,
        asked_at_ms: 17,
        answer: ExternalAnswer::new(kind, "0.25 in 3 series"),
    }
}

fn experiment(other: &str) -> Action {
    let arm = |name: &str, ensemble: &str| Arm {
        name: name.into(),
        ensemble: ensemble.into(),
        weight_basis_points: 5_000,
    };
    Action::StartExperiment {
        surface: "home".into(),
        layer: "ranking".into(),
        share_basis_points: 2_000,
        arms: vec![arm("control", "all"), arm("other", other)],
    }
}

fn observed() -> Action {
    Action::ObserveExperiment {
        experiment_id: "home-ab-4".into(),
        number: 1,
        window: Box::new(window()),
    }
}

fn automatic(automatic: Option<Automatic>) -> Action {
    Action::SetAutomaticRollout { surface: "home".into(), automatic }
}

/// Commands of every kind, refused ones among them.
fn commands() -> Vec<Command> {
    let steps =
        vec![RolloutStep { min_samples: 5, requires_approval: true, ..RolloutStep::new(100, 60) }];
    let start = |candidate: &str, steps: &[RolloutStep]| Action::StartRollout {
        surface: "home".into(),
        candidate: candidate.into(),
        steps: steps.into(),
        terms: terms(),
    };
    let advance = |id: &str| Action::AdvanceRollout { rollout_id: id.into() };
    let operator_asks = |requested| Action::MoveRollout {
        rollout_id: "home-2".into(),
        requested,
        reason: "a reason".into(),
    };
    let put = |name: &str, root| Action::PutEnsemble { name: name.into(), root };
    let actions = vec![
        Action::SetNotificationTargets { targets: vec!["chat".into(), "pager".into()] },
        published(1, every_recipe()),
        published(2, Recipe::Popularity),
        put("plain", EnsembleNode::Model(version(1))),
        put("all", everything()),
        put("all", EnsembleNode::Model(version(2))),
        Action::AddNode { node_id: "shard-1".into(), node: node(Role::Shard) },
        Action::AddNode { node_id: "router-1".into(), node: node(Role::Router) },
        report(ReplicaState::Loading),
        start("plain", &[]),
        start("missing", &[]),
        report(ReplicaState::Failed),
        report(ReplicaState::Available),
        advance("home-1"),
        start("plain", &steps),
        start("all", &[]),
        start("all", &steps),
        judged(1, Decision::Pause("slow".into())),
        answered("errors", AnswerKind::Fails),
        answered("sales", AnswerKind::Missing),
        answered("slo", AnswerKind::Passes),
        operator_asks(RolloutMove::Resume),
        judged(2, Decision::Continue),
        operator_asks(RolloutMove::Pause),
        operator_asks(RolloutMove::Resume),
        judged(3, Decision::RollBack("wrong".into())),
        Action::ConfirmNotification {
            target: "chat".into(),
            rollout_id: "home-2".into(),
            number: 3,
            dropped: 1,
        },
        operator_asks(RolloutMove::Promote),
        operator_asks(RolloutMove::RollBack),
        operator_asks(RolloutMove::Undo),
        operator_asks(RolloutMove::EndHoldout),
        operator_asks(RolloutMove::EndWatch),
        report(ReplicaState::Unloading),
        experiment("plain"),
        experiment("missing"),
        Action::AdvanceExperiment { experiment_id: "home-ab-4".into() },
        observed(),
        Action::StopExperiment { experiment_id: "home-ab-4".into(), reason: "done".into() },
        experiment("plain"),
        observed(),
        automatic(Some(Automatic {
            model: "films".into(),
            steps: steps.clone(),
            // An automatic rollout lists no users.
            terms: automatic_terms(),
            pending: None,
        })),
        published(3, Recipe::Popularity),
        automatic(None),
        Action::SetSegments {
            surface: "kids".into(),
            attributes: vec![SegmentedAttribute {
                name: "region".into(),
                values: vec!["de".into(), "at".into()],
            }],
        },
        Action::ChangeDenyList {
            surface: "home".into(),
            clear: true,
            remove: vec!["7".into()],
            add: vec!["9".into(), "a".into()],
        },
        Action::SetRetention {
            model: "films".into(),
            retention: Some(Retention { keep_versions: 2, keep_seconds: 5, delete_bundles: true }),
        },
        Action::SetRetention { model: "films".into(), retention: None },
        Action::RetireVersions,
        Action::DeleteEnsemble { name: "not-there".into() },
        Action::DeleteModel { model: "films".into(), version: Some(77) },
        Action::DeleteModel { model: "not-there".into(), version: None },
        Action::AddAnswerKey { secret: AnswerSecret([7; SECRET_BYTES]) },
        Action::AddUserKey { secret: AnswerSecret([8; SECRET_BYTES]) },
        Action::AddUserKey { secret: AnswerSecret([9; SECRET_BYTES]) },
        Action::ForgetUser { user: Pseudonym([5; PSEUDONYM_BYTES]) },
        Action::RecordTraffic {
            surfaces: ["home", "nowhere"].map(|name| (name.to_owned(), traffic())).into(),
        },
        Action::SetNodeAlive { node_id: "shard-1".into(), alive: false },
        Action::RemoveNode { node_id: "shard-1".into() },
        Action::RemoveNode { node_id: "router-1".into() },
        Action::RemoveNode { node_id: "unknown".into() },
    ];
    (1..)
        .zip(actions)
        .map(|(n, action)| Command {
            request_id: format!("r-{n}"),
            now_ms: n * 1_000,
            actor: Actor { name: format!("a-{n}"), ..Actor::leader() },
            action,
        })
        .collect()
}

#[test]
fn states_commands_and_outcomes_survive_the_journey() {
    let mut state = State::new(2);
    let (mut done, mut refused) = (0, 0);
    for (index, command) in (1..).zip(commands()) {
        let bytes = command_to_pb(&command).encode_to_vec();
        let there = pb::Command::decode(bytes.as_slice()).expect("just encoded");
        assert_eq!(command_from_pb(there).as_ref(), Ok(&command));

        let outcome = state.apply(index, &command);
        *if outcome.is_ok() { &mut done } else { &mut refused } += 1;
        let bytes = outcome_to_pb(&outcome).encode_to_vec();
        let there = pb::CommandOutcome::decode(bytes.as_slice()).expect("just encoded");
        assert_eq!(outcome_from_pb(there), Ok(outcome));

        let bytes = state_to_pb(&state).encode_to_vec();
        let there = pb::State::decode(bytes.as_slice()).expect("just encoded");
        assert_eq!(state_from_pb(there).as_ref(), Ok(&state), "after {command:?}");
    }
    assert!(done >= 15 && refused >= 4, "{done} done, {refused} refused");
    assert_eq!(state.traffic.keys().collect::<Vec<_>>(), ["home"], "of surfaces that there are");
}

fn grown() -> State {
    let mut state = State::new(2);
    let removing = |command: &Command| matches!(command.action, Action::RemoveNode { .. });
    for (index, command) in (1..).zip(commands()).take_while(|(_, c)| !removing(c)) {
        // Refusals are part of it.
        let _ = state.apply(index, &command);
    }
    state
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let refused = |change: fn(&mut control::Plan)| {
        let mut plan = plan_to_pb(&grown().plan);
        change(&mut plan);
        plan_from_pb(plan).expect_err("refused").to_string()
    };
    for (says, found) in [
        ("is not published", refused(|p| p.versions.clear())),
        ("no ensemble \"plain\"", refused(|p| p.ensembles.retain(|e| e.name != "plain"))),
        ("is there twice", refused(|p| p.versions.push(p.versions[0].clone()))),
        ("neither an ensemble", refused(|p| p.surfaces[0].ensemble = "gone".into())),
        ("there is no rollout", refused(|p| p.surfaces[0].rollout_id = "gone-1".into())),
        ("placements", refused(|p| p.versions[0].placements.truncate(1))),
        ("shards", refused(|p| p.versions[0].shards = 0)),
        ("recipe is missing", refused(|p| p.versions[0].recipe = None)),
        ("rollout.state: 99", refused(|p| p.rollouts[0].state = 99)),
        ("roles: 0", refused(|p| p.nodes[0].roles = vec![0])),
    ] {
        assert!(found.contains(says), "{found:?} does not say {says:?}");
    }
}

#[test]
fn an_ensemble_that_is_nested_without_end_is_refused() {
    let deep = (0..200).fold(EnsembleNode::Model(version(1)), |node, _| {
        product(vec![node], ProductForm::Elementwise)
    });
    let put = Action::PutEnsemble { name: "deep".into(), root: deep };
    let command =
        Command { request_id: String::new(), now_ms: 0, actor: Actor::default(), action: put };
    let refused = command_from_pb(command_to_pb(&command)).expect_err("refused").to_string();
    assert!(refused.contains("levels deep"), "{refused}");
}
