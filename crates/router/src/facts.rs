//! What the leaves of one ask have to know of its subject: rows, each looked up once.
//!
//! Leaves say what they want ([`Facts::want`]); what is wanted of the same id under the same version
//! is one lookup where it fits into one. After the round ([`Facts::take`]) they read what was found.

use crate::layout::Layout;
use crate::lookup::{Found, LookupRound, Rows, Ticket};
use crate::row_cache::RowCache;
use marquee_proto::shard::v1::{Entity, Row};
use std::collections::BTreeMap;

/// Whose row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The user or item that the ask is about.
    Subject,
    /// One of the request's recent items, by its place.
    Recent(usize),
    /// One of the ask's terms, by its place.
    Term(usize),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    /// By whose they are: a few each, of some hundred recent items.
    wants: BTreeMap<Who, Vec<Want<'a>>>,
}

struct Want<'a> {
    rows: Rows<'a>,
    ticket: Option<Ticket>,
    found: Option<Found>,
}

impl<'a> Facts<'a> {
    /// Wants a row of a dense matrix, of a sparse one, or (both names empty) only its ordinal.
    pub(crate) fn want(&mut self, who: Who, rows: Rows<'a>) {
        let fits =
            |have: &str, wanted: &str| have.is_empty() || wanted.is_empty() || have == wanted;
        let wants = self.wants.entry(who).or_default();
        let place = wants.iter_mut().find(|want| {
            want.rows.version == rows.version
                && want.rows.entity == rows.entity
                && fits(want.rows.dense, rows.dense)
                && fits(want.rows.sparse, rows.sparse)
        });
        match place {
            Some(Want { rows: have, .. }) => {
                have.dense = if have.dense.is_empty() { rows.dense } else { have.dense };
                have.sparse = if have.sparse.is_empty() { rows.sparse } else { have.sparse };
            }
            None => wants.push(Want { rows, ticket: None, found: None }),
        }
    }

    /// Adds what is wanted to a round; `id` names each. What `remembered` has is not asked for.
    pub(crate) fn look_up(
        &mut self,
        layout: &Layout<'a>,
        round: &mut LookupRound<'a>,
        remembered: Option<&RowCache>,
        id: impl Fn(Who) -> &'a str,
    ) {
        for (&who, wants) in &mut self.wants {
            for want in wants {
                want.ticket = Some(round.add(layout, want.rows, id(who), remembered));
            }
        }
    }

    /// Takes what the round found.
    pub(crate) fn take(&mut self, round: &mut LookupRound<'a>) {
        for want in self.wants.values_mut().flatten() {
            want.found = want.ticket.take().map(|ticket| round.take(ticket));
        }
    }

    /// Whether anything is wanted of the subject.
    pub(crate) fn has_subject(&self) -> bool {
        self.wants.contains_key(&Who::Subject)
    }

    /// What became of the lookups of the subject, each with the number of its version.
    pub(crate) fn of_subject(&self) -> impl Iterator<Item = (usize, &Found)> {
        let wants = self.wants.get(&Who::Subject).into_iter().flatten();
        wants.filter_map(|want| Some((want.rows.version, want.found.as_ref()?)))
    }

    /// The pieces that did not answer.
    pub(crate) fn unavailable(&self) -> impl Iterator<Item = usize> {
        self.wants.values().flatten().filter_map(|want| want.found.as_ref()?.unavailable())
    }

    /// A row that was wanted, if it was found; an empty name asks for whatever row is there.
    pub(crate) fn row(&self, who: Who, version: usize, dense: &str, sparse: &str) -> Option<&Row> {
        let fits = |have: &str, wanted: &str| wanted.is_empty() || have == wanted;
        self.wants.get(&who)?.iter().find_map(|want| match &want.found {
            Some(Found::Row(row))
                if want.rows.version == version
                    && fits(want.rows.dense, dense)
                    && fits(want.rows.sparse, sparse) =>
            {
                Some(row)
            }
            _ => None,
        })
    }
}

/// The rows of a version by id.
pub(crate) fn rows<'a>(
    version: usize,
    entity: Entity,
    dense: &'a str,
    sparse: &'a str,
) -> Rows<'a> {
    Rows { version, entity, dense, sparse, tags: false }
}
