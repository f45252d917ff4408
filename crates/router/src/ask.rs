//! What all requests have in common once they are checked: [`Ask`], and what answers it.

use crate::task::Reasons;
use marquee_core::bounds::MAX_RANK_ITEMS;
use marquee_core::id::ModelVersion;
use marquee_core::model::term::EVERYBODY;
use marquee_core::plan::Route;
use marquee_core::ranking::fuse::Candidate;
use marquee_proto::convert_caller::{Filter, RankItems, Recommend, SearchItems, SimilarItems};
use marquee_proto::v1::{self, FallbackReason, SearchReason};
use std::collections::HashSet;
use std::sync::Arc;

/// The newest of a request's recent items shape its answer, no more than these: solving for a vector
/// takes the cube of their number, and older ones hardly count. All are left out of the answer.
const MAX_SHAPING_ITEMS: usize = 200;

/// The best items for a user, for those who like an item, or about what a text is about.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) subject: Subject,
    pub(crate) surface: String,
    /// At most this many items.
    pub(crate) count: usize,
    /// Only these items, if given, each once.
    pub(crate) only: Option<Arc<[String]>>,
    pub(crate) filter: Filter,
    /// Not these either, newest last.
    pub(crate) recent_item_ids: Vec<String>,
    /// So many of these, the first, are of recorded events: seen, as the user's history is.
    pub(crate) of_events: usize,
    /// What is known of the user, [`EVERYBODY`] first if anything is; or the words of the text.
    pub(crate) terms: Vec<String>,
    pub(crate) explain: bool,
    pub(crate) min_coverage: f64,
}

/// Whom or what an ask is about.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    User(String),
    Item(String),
    Text(String),
}

impl Subject {
    /// Its id, which decides which side of a rollout serves it.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Item(id) | Self::Text(id) => id,
        }
    }
}

impl Ask {
    /// Whether it is for the best of all items for a user, and not of given ones or for an item.
    pub(crate) fn is_recommendation(&self) -> bool {
        matches!(self.subject, Subject::User(_)) && self.only.is_none()
    }

    /// The recent items that shape the answer, newest last.
    pub(crate) fn shaping_items(&self) -> &[String] {
        let known = match self.subject {
            Subject::User(_) => self.recent_item_ids.as_slice(),
            Subject::Item(_) | Subject::Text(_) => &[],
        };
        &known[known.len().saturating_sub(MAX_SHAPING_ITEMS)..]
    }

    /// The recent items that are left out of the answer.
    pub(crate) fn left_out_items(&self) -> &[String] {
        match self.filter.include_seen {
            true => &self.recent_item_ids[self.of_events..],
            false => &self.recent_item_ids,
        }
    }
}

impl From<Recommend> for Ask {
    fn from(request: Recommend) -> Self {
        let Recommend {
            user_id,
            count,
            surface,
            filter,
            recent_item_ids,
            explain,
            min_coverage,
            attributes,
        } = request;
        let everybody = (!attributes.is_empty()).then(|| EVERYBODY.to_owned());
        Self {
            subject: Subject::User(user_id),
            surface,
            count: count as usize,
            only: None,
            filter,
            recent_item_ids,
            of_events: 0,
            explain,
            min_coverage,
            terms: everybody.into_iter().chain(attributes).collect(),
        }
    }
}

impl From<SimilarItems> for Ask {
    fn from(request: SimilarItems) -> Self {
        let SimilarItems { item_id, count, surface, filter } = request;
        Self {
            recent_item_ids: vec![item_id.clone()],
            of_events: 0,
            subject: Subject::Item(item_id),
            surface,
            count: count as usize,
            only: None,
            filter,
            explain: false,
            min_coverage: 0.0,
            terms: Vec::new(),
        }
    }
}

impl From<SearchItems> for Ask {
    fn from(request: SearchItems) -> Self {
        let SearchItems { text, words, count, surface, filter } = request;
        Self {
            subject: Subject::Text(text),
            surface,
            count: count as usize,
            only: None,
            filter,
            recent_item_ids: Vec::new(),
            of_events: 0,
            explain: false,
            min_coverage: 0.0,
            terms: words,
        }
    }
}

impl From<RankItems> for Ask {
    fn from(request: RankItems) -> Self {
        let RankItems { user_id, mut item_ids, surface } = request;
        let mut seen = HashSet::new();
        item_ids.retain(|id| seen.insert(id.clone()));
        debug_assert!(item_ids.len() <= MAX_RANK_ITEMS, "checked on the way in");
        Self {
            subject: Subject::User(user_id),
            surface,
            count: item_ids.len(),
            only: Some(item_ids.into()),
            filter: Filter { include_seen: true, ..Filter::default() },
            recent_item_ids: Vec::new(),
            of_events: 0,
            explain: false,
            min_coverage: 0.0,
            terms: Vec::new(),
        }
    }
}

/// What answers an [`Ask`].
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its name, for recommendations; given by the service.
    pub(crate) recommendation_id: String,
    /// Best first; their contributions name leaves of `leaves`, and are there if asked for.
    pub(crate) items: Vec<Candidate>,
    /// The leaves of the ensemble; none unless the ask explains.
    pub(crate) leaves: Vec<NamedLeaf>,
    /// What carried the items, by the numbers of leaves; nothing unless the ask explains.
    pub(crate) reasons: Reasons,
    /// What was left out of each version's catalogue.
    pub(crate) left_out: Vec<(ModelVersion, v1::LeftOut)>,
    /// What served.
    pub(crate) route: Route,
    /// Under which plan.
    pub(crate) epoch: u64,
    /// Why it is not what the models compute for a known user.
    pub(crate) fallback: FallbackReason,
    /// Why a search for a text found nothing, if it did.
    pub(crate) search: SearchReason,
    /// Shards of the route's versions.
    pub(crate) shards_total: usize,
    /// Those that did not answer.
    pub(crate) shards_missing: Vec<String>,
    /// The items of `only` that no version of the route has, as far as shards answered.
    pub(crate) unknown_item_ids: Vec<String>,
}

/// A leaf of the ensemble, as explanations name it.
#[derive(Clone, Debug)]
pub(crate) struct NamedLeaf {
    pub(crate) model: ModelVersion,
    /// The name of the recipe that it was answered by.
    pub(crate) recipe: String,
    /// How it was searched; empty unless the ask explains.
    pub(crate) search: String,
}
