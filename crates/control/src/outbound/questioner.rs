//! Asks the questions of external gates that are due, while this node leads.

use super::allowed::AllowedUrls;
use super::question::{read, request};
use crate::clock::wall_ms;
use crate::leader::{Leader, duty};
use marquee_core::command::Action;
use marquee_core::plan::Plan;
use marquee_core::rollout::external::{AnswerKind, ExternalAnswer};
use marquee_core::rollout::judge::{AllEvidence, DueQuestion, due_questions};
use marquee_net::HttpClient;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often it is looked whether a question is due: intervals are seconds.
const TICK: Duration = Duration::from_millis(250);
/// How many questions are under way at once, of all rollouts: each has a connection and room for an answer.
const MAX_AT_ONCE: usize = 16;

/// The rollout and the gate that a question is of.
type Asked = (String, String);

/// Asks questions and proposes their answers.
pub(crate) struct Questioner {
    leader: Arc<Leader>,
    client: Arc<HttpClient>,
    allowed: Arc<AllowedUrls>,
    plan: watch::Receiver<Arc<Plan>>,
    evidence: watch::Receiver<Arc<AllEvidence>>,
}

impl Questioner {
    pub(crate) fn new(
        leader: Arc<Leader>,
        client: Arc<HttpClient>,
        allowed: AllowedUrls,
        plan: watch::Receiver<Arc<Plan>>,
        evidence: watch::Receiver<Arc<AllEvidence>>,
    ) -> Self {
        Self { leader, client, allowed: Arc::new(allowed), plan, evidence }
    }

    /// Asks for as long as the node runs.
    pub(crate) async fn run(self) {
        let mut under_way: BTreeSet<Asked> = BTreeSet::new();
        let mut questions: JoinSet<Asked> = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                Some(done) = questions.join_next() => {
                    match done {
                        Ok(asked) => {
                            under_way.remove(&asked);
                        }
                        Err(panic) => {
                            // Which one it was is not known; what is asked twice counts once.
                            tracing::error!(%panic, "asking an external gate");
                            under_way.clear();
                        }
                    }
                    continue;
                }
            }
            if !self.leader.leads() {
                questions.abort_all();
                while questions.join_next().await.is_some() {}
                under_way.clear();
                continue;
            }
            let plan = self.plan.borrow().clone();
            let evidence = self.evidence.borrow().clone();
            for due in due_questions(&plan.rollouts, &evidence, wall_ms()) {
                let asked = (due.rollout_id.clone(), due.gate.clone());
                if under_way.len() < MAX_AT_ONCE && under_way.insert(asked) {
                    let (leader, client) = (self.leader.clone(), self.client.clone());
                    questions.spawn(ask(leader, client, self.allowed.clone(), due));
                }
            }
        }
    }
}

/// Asks one question and has its answer committed.
async fn ask(
    leader: Arc<Leader>,
    client: Arc<HttpClient>,
    allowed: Arc<AllowedUrls>,
    due: DueQuestion,
) -> Asked {
    let asked_at_ms = wall_ms();
    let answer = answer(&client, &allowed, &due, asked_at_ms).await;
    let DueQuestion { rollout_id, gate, number, .. } = due;
    match answer.kind {
        AnswerKind::Passes => {}
        AnswerKind::Fails => {
            tracing::warn!(rollout_id, gate, says = answer.says(), "an external gate fails")
        }
        AnswerKind::Missing => {
            tracing::warn!(
                rollout_id,
                gate,
                says = answer.says(),
                "an external gate has no answer"
            );
        }
    }
    let (rollout, name) = (rollout_id.clone(), gate.clone());
    let action = Action::AnswerQuestion { rollout_id, gate, number, asked_at_ms, answer };
    let command = duty(wall_ms(), action);
    if let Err(refused) = leader.commit(&command).await {
        // It is asked again, by the leader of then.
        tracing::debug!(%refused, "the answer of an external gate is lost");
    }
    (rollout, name)
}

/// What a question comes to, with all bounds kept.
pub(super) async fn answer(
    client: &HttpClient,
    allowed: &AllowedUrls,
    due: &DueQuestion,
    at_ms: u64,
) -> ExternalAnswer {
    if let Err(refused) = allowed.check(due.question.url()) {
        return ExternalAnswer::new(AnswerKind::Missing, &refused.to_string());
    }
    let (url, headers, body) = request(due, at_ms);
    let timeout = Duration::from_millis(due.timeout_ms.into());
    let max_bytes = due.max_answer_bytes as usize;
    read(&due.question, client.post(&url, headers, body, timeout, max_bytes).await)
}
