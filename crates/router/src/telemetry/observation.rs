//! An answer, or an error in its place, as it is kept until its window is over.

use marquee_core::plan::{SegmentSet, UserHash, UserPrivacy};
use marquee_core::rollout::window::{MAX_DIFF_ITEMS, group_of_hash, hash_item, hash_user};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Scores beyond are cut: one absurd score must not make the whole window one that control refuses.
const MAX_SCORE: f64 = 1e6;

/// The user that an answer was for, or for similar items the item, by which the split goes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubjectHash {
    /// A hash that is the same on every router, and no id: of a user, under the newest key that users are named by.
    pub(crate) hash: u64,
    /// Whether it is a user and not an item.
    pub(crate) is_user: bool,
}

impl SubjectHash {
    /// A user. Before a cluster has drawn its keys the hash has none, so that groups are groups.
    pub(crate) fn user(user_id: &str, privacy: &UserPrivacy) -> Self {
        let keyed = privacy.hash_now(user_id);
        let hash = if keyed == UserHash::NOBODY { hash_user(user_id) } else { keyed.hash };
        Self { hash, is_user: true }
    }

    /// An item, or a text.
    pub(crate) fn item(item_id: &str) -> Self {
        Self { hash: hash_user(item_id), is_user: false }
    }

    /// The group of users.
    pub(crate) fn group(self) -> usize {
        group_of_hash(self.hash)
    }
}

/// How one request was answered.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    /// The number of the arm that answered.
    pub(crate) arm: usize,
    pub(crate) subject: SubjectHash,
    /// When the request came, in µs of the router's own clock.
    pub(crate) at_micros: u64,
    /// When it was answered, in seconds since the Unix epoch, as the answer's id says.
    pub(crate) answered_second: u64,
    /// The segments that the request is in.
    pub(crate) segments: SegmentSet,
    pub(crate) answer: ArmAnswer,
}

/// How one arm answered a request.
#[derive(Clone, Debug)]
pub(crate) struct ArmAnswer {
    /// None where others of a batch shared the time.
    pub(crate) latency_micros: Option<u64>,
    pub(crate) outcome: AnswerOutcome,
}

/// An answer or an error, in numbers.
#[derive(Clone, Debug)]
pub(crate) enum AnswerOutcome {
    /// An error with this gRPC code that the arm is to blame for.
    Failed(u32),
    /// An answer, which may be partial or without items.
    Answered {
        is_empty: bool,
        is_partial: bool,
        is_fallback: bool,
        /// The first items; none for answers that are no recommendations.
        list: Option<List>,
    },
}

/// The list of an answer that has one.
pub(crate) fn list_of(answer: &ArmAnswer) -> Option<&List> {
    match &answer.outcome {
        AnswerOutcome::Answered { list, .. } => list.as_ref(),
        AnswerOutcome::Failed(_) => None,
    }
}

/// The first items of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct List {
    /// Hashes of their ids, the same on every router.
    items: [u64; MAX_DIFF_ITEMS],
    len: usize,
    /// The hash of the recommendation's id; 0 for an answer to a mirrored request.
    pub(crate) answer: u64,
    /// The best item's; none for an empty list.
    pub(crate) score: Option<f64>,
}

impl List {
    /// The first of these items, best first.
    pub(crate) fn of<'a>(
        answer: &str,
        items: impl IntoIterator<Item = &'a str>,
        score: Option<f64>,
    ) -> Self {
        let mut list = Self {
            items: [0; MAX_DIFF_ITEMS],
            len: 0,
            answer: if answer.is_empty() { 0 } else { hash_of(answer) },
            score: score
                .filter(|score| score.is_finite())
                .map(|score| score.clamp(-MAX_SCORE, MAX_SCORE)),
        };
        for (place, item) in list.items.iter_mut().zip(items) {
            *place = hash_item(item);
            list.len += 1;
        }
        list
    }

    pub(crate) fn items(&self) -> &[u64] {
        &self.items[..self.len]
    }
}

/// A hash that has a meaning within this process only.
pub(crate) fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
