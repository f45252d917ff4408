//! The last step of a task: its list, spread. What is compared is looked up first.

use super::Task;
use crate::fanout::Failure;
use crate::last::{Compared, candidates, compared, learn};
use crate::layout::Layout;
use crate::lookup::{Found, Rows, components};
use marquee_core::ranking::diversify::{Diversity, ItemFacts, diversify};
use marquee_proto::shard::v1::Entity;
use std::collections::BTreeMap;

impl<'a> Task<'a> {
    /// How the list is spread, if it is: given items are ranked and not chosen from.
    fn spreading(&self) -> Option<&Diversity> {
        self.last.as_ref().filter(|_| self.ask.only.is_none())
    }

    /// How many items the list is to have before the last step.
    pub(super) fn candidates(&self) -> usize {
        candidates(self.spreading(), self.ask.count)
    }

    /// The ids of the candidates, and what to look up of each of them. Nothing if the list stays as it is.
    pub(crate) fn comparisons(&self, layout: &Layout<'a>) -> (Vec<String>, Vec<Rows<'a>>) {
        let Some(how) = self.spreading() else { return Default::default() };
        let leaves: Vec<(usize, Option<&str>)> = self
            .leaves
            .iter()
            .map(|leaf| (leaf.version, layout.version(leaf.version).recipe.item_vectors()))
            .collect();
        let rows: Vec<Rows<'a>> = compared(how, &leaves)
            .into_iter()
            .map(|Compared { version, vectors, tags }| Rows {
                version,
                entity: Entity::Item,
                dense: vectors,
                sparse: "",
                tags,
            })
            .collect();
        let ids = match rows.is_empty() {
            true => Vec::new(),
            false => self.items.iter().flatten().map(|item| item.item_id.clone()).collect(),
        };
        (ids, rows)
    }

    /// Spreads the list, given what was found of each candidate in each of the rows of
    /// [`comparisons`](Self::comparisons).
    pub(crate) fn spread(&mut self, found: Vec<Vec<Found>>, lost: &BTreeMap<usize, Failure>) {
        let Some(how) = self.spreading().cloned() else { return };
        let mut facts = vec![ItemFacts::default(); self.items.as_ref().map_or(0, Vec::len)];
        for (facts, found) in facts.iter_mut().zip(found) {
            for found in found {
                match found {
                    Found::Row(row) => learn(facts, components(&row.vector), row.tags),
                    Found::Unknown => {}
                    Found::Unavailable(piece) => {
                        let why = lost.get(&piece).copied().unwrap_or(Failure::Unreachable);
                        self.missing.insert(piece, why);
                    }
                }
            }
        }
        let count = self.ask.count;
        self.items = self.items.take().map(|list| diversify(list, &facts, &how, count));
    }
}
