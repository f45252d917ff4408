//! What a policy lists for the users of a log, offline.

use super::feedback::Feedback;
use super::user_names::UserNames;
use crate::commands::eval::LocalEnsemble;
use anyhow::Context as _;
use marquee_core::plan::UserHash;
use marquee_train::eval::OfflineBundle;
use marquee_train::read::read_lists;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Items beyond what an answer shows that a policy is asked for, so that its list is as long after items are
/// left out that the user had meanwhile.
const SPARE_ITEMS: usize = 50;

/// What lists items for users.
pub(super) enum Lister {
    Bundle(Box<OfflineBundle>),
    Ensemble(Box<LocalEnsemble>),
    /// Lists by user id.
    Lists(HashMap<String, Vec<String>>),
}

/// The lists of a policy.
pub(super) struct Listed {
    /// For each answer the numbers of items, best first.
    pub(super) lists: Vec<Vec<u32>>,
    /// Users whom the policy does not know.
    pub(super) unknown_users: usize,
}

impl Lister {
    /// A bundle's directory, or a file of lists.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() {
            return Ok(Self::Bundle(Box::new(OfflineBundle::open(path)?)));
        }
        let lists = read_lists(path)
            .with_context(|| format!("{}: neither a bundle nor lists", path.display()))?;
        Ok(Self::Lists(lists))
    }

    /// An ensemble of bundles.
    pub(super) fn ensemble(file: &Path, bundles: &[String]) -> anyhow::Result<Self> {
        Ok(Self::Ensemble(Box::new(LocalEnsemble::open(file, bundles)?)))
    }

    /// The list of each answer's user, without items that the user had before the answer.
    pub(super) fn list(&self, feedback: &Feedback) -> anyhow::Result<Listed> {
        let (of_events, hashes) = feedback.users();
        let known = self.known_users(hashes, feedback.names());
        let mut unknown_users = 0;
        let users: Vec<String> = hashes
            .iter()
            .map(|hash| match known.get(hash) {
                Some(id) => id.clone(),
                None => {
                    unknown_users += 1;
                    of_events.get(hash).cloned().unwrap_or_default()
                }
            })
            .collect();
        let shown = feedback.answers().iter().map(|answer| answer.shown.len());
        let count = shown.max().unwrap_or(0) + SPARE_ITEMS;
        let of_users = self.lists_of(&users, count)?;
        // Items that were never shown share a number that no shown item has.
        let (numbers, never_shown) = (feedback.item_numbers(), u32::MAX);
        let of_users: Vec<Vec<u32>> = of_users
            .iter()
            .map(|list| {
                let number = |item: &String| numbers.get(item.as_str()).copied();
                list.iter().map(|item| number(item).unwrap_or(never_shown)).collect()
            })
            .collect();
        let mut lists = Vec::with_capacity(feedback.answers().len());
        for (n, answer) in feedback.answers().iter().enumerate() {
            let had = feedback.had_before(n);
            let list = of_users[answer.user as usize].iter().filter(|item| !had.contains(item));
            lists.push(list.take(answer.shown.len()).copied().collect());
        }
        Ok(Listed { lists, unknown_users })
    }

    /// The ids of known users, by those of these hashes.
    fn known_users(&self, hashes: &[UserHash], names: &UserNames) -> HashMap<UserHash, String> {
        let wanted: HashSet<UserHash> = hashes.iter().copied().collect();
        let ids: Box<dyn Iterator<Item = &str> + '_> = match self {
            Self::Bundle(bundle) => Box::new(bundle.users().into_iter()),
            Self::Ensemble(ensemble) => Box::new(ensemble.users()),
            Self::Lists(lists) => Box::new(lists.keys().map(String::as_str)),
        };
        let hashed = ids.flat_map(|id| names.hashes_of(id).into_iter().map(move |hash| (hash, id)));
        let found = hashed.filter(|(hash, _)| wanted.contains(hash));
        found.map(|(hash, id)| (hash, id.to_owned())).collect()
    }

    /// A list for each user, best first.
    fn lists_of(&self, users: &[String], count: usize) -> anyhow::Result<Vec<Vec<String>>> {
        Ok(match self {
            Self::Bundle(bundle) => bundle.lists(users, count)?,
            Self::Ensemble(ensemble) => {
                ensemble.answers(users, count)?.into_iter().map(|(list, _)| list).collect()
            }
            Self::Lists(lists) => {
                let listed = |user: &String| lists.get(user).cloned().unwrap_or_default();
                users.iter().map(listed).collect()
            }
        })
    }
}
