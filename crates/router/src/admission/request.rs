//! What the checked requests of all RPCs have in common: [`RankingRequest`].

use marquee_core::bounds::MAX_RANK_ITEMS;
use marquee_core::model::term::ALL_USERS_TERM;
use marquee_core::plan::{Plan, SegmentSet, UserPrivacy};
use marquee_proto::convert::caller::{RankItems, Recommend, SearchItems, SimilarItems};
use marquee_proto::convert::filter::Filter;
use std::collections::HashSet;
use std::sync::Arc;

/// The newest of a request's recent items shape its answer, no more than these: solving for a vector
/// takes the cube of their number, and older ones hardly count. All are left out of the answer.
const MAX_SHAPING_ITEMS: usize = 200;

/// A request for the best items for a user, like an item, or about the topics of a text.
#[derive(Clone, Debug)]
pub(crate) struct RankingRequest {
    pub(crate) subject: Subject,
    pub(crate) surface: String,
    /// At most this many items.
    pub(crate) count: usize,
    /// The items to rank, each once: no others are listed, and they are not diversified. None: any items.
    pub(crate) only: Option<Arc<[String]>>,
    pub(crate) filter: Filter,
    /// Items that the user had lately, newest last; the item itself for similar items.
    pub(crate) recent_item_ids: Vec<String>,
    /// So many of these, the first, are of recorded events: seen, as the user's history is.
    pub(crate) recorded_items: usize,
    /// The attributes of the user, [`ALL_USERS_TERM`] first if there are any; or the words of the text.
    pub(crate) terms: Vec<String>,
    /// What says which segments the request is in: attributes of the user and of the request.
    pub(crate) segment_terms: Vec<String>,
    pub(crate) explain: bool,
    pub(crate) min_coverage: f64,
    /// The variant of the trial on the surface that the request asks for, by name; none: the one that the user has.
    pub(crate) forced_variant: Option<Arc<str>>,
}

/// The user, item or text that a request is for.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    User(String),
    /// A user whom the cluster forgets, by a name that no bundle, log or router has.
    Forgotten(String),
    Item(String),
    Text(String),
}

impl Subject {
    /// The user's or the item's id, or the text itself: it decides which arm of a trial serves the request, and
    /// shards know users and items by it.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Forgotten(id) | Self::Item(id) | Self::Text(id) => id,
        }
    }

    /// The user's id; none for forgotten users, items and texts.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::User(id) => Some(id),
            Self::Forgotten(_) | Self::Item(_) | Self::Text(_) => None,
        }
    }

    /// Whether it is a user, forgotten or not.
    pub(crate) fn is_user(&self) -> bool {
        match self {
            Self::User(_) | Self::Forgotten(_) => true,
            Self::Item(_) | Self::Text(_) => false,
        }
    }
}

impl RankingRequest {
    /// Whether it is for the best of all items for a user, and not of given ones or for an item.
    pub(crate) fn is_recommendation(&self) -> bool {
        self.subject.is_user() && self.only.is_none()
    }

    /// Hides a user whom the cluster forgets from all that comes after: nothing is known by the name that stands for
    /// the id, so the answer is that of an unknown user.
    pub(crate) fn hide_forgotten(&mut self, privacy: &UserPrivacy) {
        if let Subject::User(id) = &self.subject
            && let Some(pseudonym) = privacy.forgotten(id)
        {
            self.subject = Subject::Forgotten(format!("forgotten-{pseudonym}"));
        }
    }

    /// The segments of its surface that the request is in; none if it is no recommendation, because others say nothing of themselves.
    pub(crate) fn segments(&self, plan: &Plan) -> SegmentSet {
        let surface = plan.surfaces.get(&self.surface).filter(|_| self.is_recommendation());
        surface.map_or_else(SegmentSet::default, |it| it.segments.of_terms(&self.segment_terms))
    }

    /// The recent items that shape the answer, newest last.
    pub(crate) fn shaping_items(&self) -> &[String] {
        let known = match self.subject {
            Subject::User(_) | Subject::Forgotten(_) => self.recent_item_ids.as_slice(),
            Subject::Item(_) | Subject::Text(_) => &[],
        };
        &known[known.len().saturating_sub(MAX_SHAPING_ITEMS)..]
    }

    /// The recent items that are left out of the answer.
    pub(crate) fn left_out_items(&self) -> &[String] {
        if self.filter.include_seen {
            &self.recent_item_ids[self.recorded_items..]
        } else {
            &self.recent_item_ids
        }
    }
}

impl From<Recommend> for RankingRequest {
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
            context,
        } = request;
        // Each item once, where it was mentioned last: the newest shape the answer, and a repeated one would take their places.
        let mut mentioned = HashSet::new();
        let mut recent_item_ids: Vec<String> =
            recent_item_ids.into_iter().rev().filter(|id| mentioned.insert(id.clone())).collect();
        recent_item_ids.reverse();
        let of_all_users = (!attributes.is_empty()).then(|| ALL_USERS_TERM.to_owned());
        Self {
            subject: Subject::User(user_id),
            surface,
            count: count as usize,
            only: None,
            filter,
            recent_item_ids,
            recorded_items: 0,
            explain,
            forced_variant: None,
            min_coverage,
            segment_terms: attributes.iter().cloned().chain(context).collect(),
            terms: of_all_users.into_iter().chain(attributes).collect(),
        }
    }
}

impl From<SimilarItems> for RankingRequest {
    fn from(request: SimilarItems) -> Self {
        let SimilarItems { item_id, count, surface, filter } = request;
        Self {
            recent_item_ids: vec![item_id.clone()],
            recorded_items: 0,
            subject: Subject::Item(item_id),
            surface,
            count: count as usize,
            only: None,
            filter,
            explain: false,
            forced_variant: None,
            min_coverage: 0.0,
            terms: Vec::new(),
            segment_terms: Vec::new(),
        }
    }
}

impl From<SearchItems> for RankingRequest {
    fn from(request: SearchItems) -> Self {
        let SearchItems { text, words, count, surface, filter } = request;
        Self {
            subject: Subject::Text(text),
            surface,
            count: count as usize,
            only: None,
            filter,
            recent_item_ids: Vec::new(),
            recorded_items: 0,
            explain: false,
            forced_variant: None,
            min_coverage: 0.0,
            terms: words,
            segment_terms: Vec::new(),
        }
    }
}

impl From<RankItems> for RankingRequest {
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
            recorded_items: 0,
            explain: false,
            forced_variant: None,
            min_coverage: 0.0,
            terms: Vec::new(),
            segment_terms: Vec::new(),
        }
    }
}
