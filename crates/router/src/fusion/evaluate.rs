//! Executes an ensemble's tree: what it needs next, and how the lists that it got become one. Pure.
//!
//! All leaves that can be searched at once are searched at once; only the later members of a sequence wait, since
//! they re-rank what the earlier ones propose, and those of a chain, since they sum the rows of what the ones
//! before list. A leaf that failed, was too late, or has nothing to say, is *absent*: the rest answers without it.

use crate::planning::ensemble_tree::{MIN_DEPTH, Tree};
use crate::search::leaf_query::{LeafQuery, LeafState, Scope};
use marquee_core::ensemble::Fusion;
use marquee_core::model::recipe::BLEND_DEPTH;
use marquee_core::ranking::fuse::{
    Candidate, FusedMember, depth, product, reciprocal_rank, rerank, standard_score, weighted_score,
};
use std::collections::HashSet;
use std::sync::Arc;

/// Rows that a chain sums at least: beyond these a list says little more of what the user likes, and each is an id
/// to look up and a row of neighbours to sum.
const MIN_CHAIN_ROWS: usize = 200;

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Search these leaves, then evaluate again.
    Search(Vec<LeafQuery>),
    /// The list; empty if every leaf is absent.
    Done(Vec<Candidate>),
}

impl Tree {
    /// What comes next, given what is known of the leaves. The list of a lone leaf is taken out of
    /// its state, so it is given once.
    pub(crate) fn evaluate(&self, leaves: &mut [LeafState], scope: &Scope) -> Step {
        if let Self::Leaf(leaf) = self
            && let LeafState::Answered(list) = &mut leaves[*leaf]
        {
            return Step::Done(std::mem::take(list));
        }
        match self.list(leaves, scope) {
            Ok(list) => Step::Done(list.unwrap_or_default()),
            Err(queries) => Step::Search(queries),
        }
    }

    /// The node's list, none if it is absent; or else what it needs.
    fn list(
        &self,
        leaves: &[LeafState],
        scope: &Scope,
    ) -> Result<Option<Vec<Candidate>>, Vec<LeafQuery>> {
        match self {
            Self::Leaf(leaf) => match &leaves[*leaf] {
                LeafState::Open => {
                    Err(vec![LeafQuery { leaf: *leaf, scope: scope.clone(), items: None }])
                }
                LeafState::Answered(list) => Ok(Some(list.clone())),
                LeafState::Absent => Ok(None),
            },
            Self::Parallel { members, fusion } => {
                let answered = answered(members, leaves, &scope.deepened(MIN_DEPTH))?;
                Ok(answered.map(|answered| match fusion {
                    Fusion::ReciprocalRank => reciprocal_rank(answered, scope.count),
                    Fusion::WeightedScore => weighted_score(answered, scope.count),
                }))
            }
            Self::Blend(members) => {
                let answered = answered(members, leaves, &scope.deepened(BLEND_DEPTH))?;
                Ok(answered.map(|answered| standard_score(answered, scope.count)))
            }
            Self::Product(members) => {
                let lists = lists_of_all(members.iter(), leaves, &scope.deepened(MIN_DEPTH))?;
                let answered: Vec<Vec<Candidate>> = lists.into_iter().flatten().collect();
                if answered.is_empty() {
                    return Ok(None);
                }
                Ok(Some(product(answered, scope.count)))
            }
            Self::Chain(members) => chain(members, leaves, scope),
            Self::Sequence(members) => sequence(members, leaves, scope),
        }
    }

    /// Whether the node is a leaf that will give no list.
    fn is_absent(&self, leaves: &[LeafState]) -> bool {
        matches!(self, Self::Leaf(leaf) if leaves[*leaf] == LeafState::Absent)
    }
}

/// The lists of the members that have one, none if no member has; or what they need.
fn answered(
    members: &[(f64, Tree)],
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Option<Vec<FusedMember>>, Vec<LeafQuery>> {
    let lists = lists_of_all(members.iter().map(|(_, node)| node), leaves, scope)?;
    let mut answered = Vec::with_capacity(members.len());
    for (list, (weight, _)) in lists.into_iter().zip(members) {
        answered.extend(list.map(|list| FusedMember { weight: *weight, list }));
    }
    Ok((!answered.is_empty()).then_some(answered))
}

/// The lists of all nodes, or what all of them together need.
fn lists_of_all<'t>(
    nodes: impl ExactSizeIterator<Item = &'t Tree>,
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Vec<Option<Vec<Candidate>>>, Vec<LeafQuery>> {
    let mut lists = Vec::with_capacity(nodes.len());
    let mut queries = Vec::new();
    for node in nodes {
        match node.list(leaves, scope) {
            Ok(list) => lists.push(list),
            Err(more) => queries.extend(more),
        }
    }
    if queries.is_empty() { Ok(lists) } else { Err(queries) }
}

/// The first member's list gives the rows that the next one sums, and so on. A later member that is
/// absent leaves the list as it is.
fn chain(
    members: &[Tree],
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Option<Vec<Candidate>>, Vec<LeafQuery>> {
    // Rows may be of any items, whatever the request is for.
    let scope_of_rows = Scope { count: depth(scope.count, MIN_CHAIN_ROWS), only: None };
    let last = members.iter().rposition(|member| !member.is_absent(leaves));
    let [first, rest @ ..] = members else { return Ok(None) };
    let first_scope = if last == Some(0) { scope } else { &scope_of_rows };
    let Some(mut list) = first.list(leaves, first_scope)? else { return Ok(None) };
    for (n, member) in (1..).zip(rest) {
        let Tree::Leaf(leaf) = member else { return Ok(None) };
        match &leaves[*leaf] {
            _ if list.is_empty() => break,
            LeafState::Absent => {}
            LeafState::Answered(summed) => list.clone_from(summed),
            LeafState::Open => {
                list.retain(|item| item.score.is_finite() && item.score != 0.0);
                let items = list.into_iter().map(|item| (item.item_id, item.score)).collect();
                let of_leaf = if last == Some(n) { scope.clone() } else { scope_of_rows };
                return Err(vec![LeafQuery { leaf: *leaf, scope: of_leaf, items: Some(items) }]);
            }
        }
    }
    if let Some(only) = &scope.only {
        let only: HashSet<&str> = only.iter().map(String::as_str).collect();
        list.retain(|item| only.contains(item.item_id.as_str()));
    }
    list.truncate(scope.count);
    Ok(Some(list))
}

/// The first member that is not absent proposes, each later one re-ranks. Given items are proposed already.
fn sequence(
    members: &[Tree],
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Option<Vec<Candidate>>, Vec<LeafQuery>> {
    if scope.only.is_some() {
        return sequence_of_given(members, leaves, scope);
    }
    let mut proposed: Option<Vec<Candidate>> = None;
    for (n, member) in members.iter().enumerate() {
        proposed = match proposed {
            None if n + 1 == members.len() => member.list(leaves, scope)?,
            None => member.list(leaves, &scope.deepened(MIN_DEPTH))?,
            Some(list) if list.is_empty() => Some(list),
            Some(list) => {
                let only: Arc<[String]> = list.iter().map(|item| item.item_id.clone()).collect();
                let count = list.len();
                let scored = member.list(leaves, &Scope { count, only: Some(only) })?;
                Some(match scored {
                    Some(scored) => rerank(list, scored, count),
                    None => list,
                })
            }
        };
    }
    if let Some(list) = &mut proposed {
        list.truncate(scope.count);
    }
    Ok(proposed)
}

/// A sequence over items that were given: each member scores all that it knows, and the last one's order comes first. What
/// it does not know follows in the order of the members before.
fn sequence_of_given(
    members: &[Tree],
    leaves: &[LeafState],
    scope: &Scope,
) -> Result<Option<Vec<Candidate>>, Vec<LeafQuery>> {
    let lists = lists_of_all(members.iter(), leaves, scope)?;
    let mut ranked: Option<Vec<Candidate>> = None;
    for list in lists.into_iter().flatten() {
        ranked = Some(match ranked {
            None => list,
            Some(mut before) => {
                let known: HashSet<String> =
                    before.iter().map(|item| item.item_id.clone()).collect();
                let further = list.iter().filter(|item| !known.contains(&item.item_id));
                // Without what this member says of them, which the ranking adds.
                before.extend(further.map(|item| Candidate {
                    item_id: item.item_id.clone(),
                    title: item.title.clone(),
                    ..Candidate::default()
                }));
                rerank(before, list, scope.count)
            }
        });
    }
    Ok(ranked)
}

impl Scope {
    /// The scope of members from whose lists `count` items can be chosen well: `least` items, or more. Where the
    /// items are given, all of them are in the scope already.
    fn deepened(&self, least: usize) -> Self {
        let count = match self.only {
            Some(_) => self.count,
            None => depth(self.count, least),
        };
        Self { count, only: self.only.clone() }
    }
}

#[cfg(test)]
mod tests;
