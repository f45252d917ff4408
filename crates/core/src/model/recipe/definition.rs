//! What a recipe says: its kinds, and what a history weighs in it.

use serde::{Deserialize, Serialize};

/// The sparse matrix of one row that every bundle carries: how often each item was interacted with.
pub const POPULARITY_MATRIX: &str = "popularity";
/// The sparse matrix users × items of what users have seen. Every bundle that a recipe for users
/// serves from carries it, empty where it was made without interactions: routers look it up. Values
/// are how much an interaction speaks for the item; 0 is seen and not liked.
pub const HISTORY_MATRIX: &str = "history";
/// The sparse matrix users × items, entry for entry beside [`HISTORY_MATRIX`]: how many of the user's
/// interactions are newer. Recipes that look at order need it.
pub const HISTORY_ORDER_MATRIX: &str = "history_order";

/// Items that each member of a blend lists at least, before their scores are scaled and added: on films,
/// longer lists hardly change the first twenty, shorter ones do.
pub const BLEND_DEPTH: usize = 500;
/// Members of a blend: each is a search for every request.
pub const MAX_BLEND_MEMBERS: usize = 8;
/// Neighbours whose histories are summed: more rows hardly change the order of the sums.
pub const MAX_NEIGHBOURS: u32 = 1_000;

/// Whose rows a matrix or an id table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// Those who interact with items.
    User,
    /// Items, which are recommended to them.
    Item,
    /// Words of items' texts and attributes of users: see [`term`](crate::model::term).
    Term,
}

impl Entity {
    /// `users`, `items` or `terms`: the word in file names and messages.
    pub fn plural(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Item => "items",
            Self::Term => "terms",
        }
    }

    /// Whether it is the items: what a manifest leaves out.
    pub fn is_item(&self) -> bool {
        *self == Self::Item
    }
}

/// What the rows of a column-partitioned matrix are numbered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowSpace {
    /// One row for all users.
    Single,
    /// One row for each item of the bundle, by ordinal.
    Items,
    /// One row for each user of the bundle, by ordinal.
    Users,
    /// One row for each term of the bundle, by ordinal.
    Terms,
}

/// How a model answers. A user of whom nothing is known gets [`POPULARITY_MATRIX`]'s row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Recipe {
    /// User row → dense top-k over item factors (Hu, Koren and Volinsky 2008).
    MatrixFactorisation {
        /// The dense matrix users × rank.
        user_factors: String,
        /// The dense matrix items × rank; its rows answer SimilarItems too.
        item_factors: String,
        /// How recent items move the user's vector, or make one for a new user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fold_in: Option<FoldIn>,
    },
    /// Sum of the topic vectors of what the user liked → dense top-k over topic vectors of items
    /// (Deerwester et al. 1990).
    Content {
        /// The dense matrix users × topics: sums over histories.
        user_topics: String,
        /// The dense matrix items × topics.
        item_topics: String,
        /// The dense matrix terms × topics, whose rows add up to the topics of a text; its items answer
        /// SearchItems.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term_topics: Option<String>,
        /// What the history weighs in the rows of `user_topics`: for attribution, and to add recent items. None if
        /// it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        history: Option<HistoryWeights>,
    },
    /// History → row-sum over a matrix items × items: neighbours, rules, transitions.
    ItemRows {
        /// The sparse matrix; its name tells the family.
        matrix: String,
        /// What the history weighs.
        history: HistoryWeights,
    },
    /// Similar users → row-sum over their histories.
    UserNeighbours {
        /// How they are found.
        by: NeighbourSearch,
        /// The sparse matrix users × items that is summed, cut by item.
        histories: String,
        /// How many of them, 1 to [`MAX_NEIGHBOURS`].
        neighbours: u32,
    },
    /// The popularity row, the same for all users.
    Popularity,
    /// Another row for all users: what is popular of late.
    Trending {
        /// The sparse matrix of one row.
        matrix: String,
    },
    /// Several of the above at once; their lists are scaled and added, as in a parallel ensemble.
    Blend {
        /// At least one, at most [`MAX_BLEND_MEMBERS`], none of them a blend.
        members: Vec<BlendMember>,
    },
    /// Another recipe. For users of whom it knows no preference, what users of the same attributes like is the
    /// substitute, before popular items.
    Profiled {
        /// How users with a preference are answered: no `Profiled`.
        recipe: Box<Recipe>,
        /// The substitute, from the user's attributes.
        profile: Profile,
    },
}

/// What users of some attributes like: the rows of their terms, summed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The sparse matrix terms × items: coefficients of a regression of what users like on their
    /// attributes, and of what all users like, the row of
    /// [`ALL_USERS_TERM`](crate::model::term::ALL_USERS_TERM).
    pub matrix: String,
    /// The sparse matrix users × terms to look up: what was known of users at training.
    pub users: String,
}

/// A member of a blend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlendMember {
    /// How it answers.
    pub recipe: Recipe,
    /// How much it counts, above 0.
    pub weight: f64,
}

/// How similar users are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum NeighbourSearch {
    /// By their vectors: dense top-k by cosine over the users.
    Vectors {
        /// The dense matrix users × rank.
        user_factors: String,
    },
    /// By their histories, exactly: the row-sum of a matrix items × users whose columns are scaled so
    /// that the sum over a history is the similarity (up to a factor that all users share).
    Histories {
        /// The sparse matrix items × users.
        matrix: String,
        /// What the history weighs.
        history: HistoryWeights,
    },
}

/// The closed form of alternating least squares for what came after training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldIn {
    /// The dense matrix items × rank: item factors times the inverse of their regularised Gram matrix.
    pub matrix: String,
    /// The confidence of one interaction, above 0; that of none is 1.
    pub confidence: f64,
}

/// What the interactions of a history weigh as rows of a sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryWeights {
    /// Times the interaction's value; else liked items weigh 1.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_value: bool,
    /// Times this to the power of how many interactions are newer, in (0, 1].
    pub decay: f64,
    /// Only so many of the newest; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
}

impl Default for HistoryWeights {
    /// All that was liked weighs 1.
    fn default() -> Self {
        Self { by_value: false, decay: 1.0, newest: None }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// One interaction of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The item's ordinal.
    pub ordinal: u32,
    /// How much it speaks for the item; 0 is seen and not liked.
    pub value: f32,
    /// How many interactions are newer.
    pub age: u32,
}

impl HistoryWeights {
    /// Whether it matters which interactions are newer.
    pub fn needs_order(&self) -> bool {
        self.decay < 1.0 || self.newest.is_some()
    }

    /// The rows to sum and their weights, in the order of the history. What is not liked, or too old
    /// to weigh anything, is left out.
    pub fn weigh(&self, history: &[Seen]) -> (Vec<u32>, Vec<f32>) {
        history.iter().filter_map(|seen| Some((seen.ordinal, self.weight(seen)?))).unzip()
    }

    /// Whether [`weigh`](Self::weigh) gives any row.
    pub fn weighs_any(&self, history: &[Seen]) -> bool {
        history.iter().any(|seen| self.weight(seen).is_some())
    }

    /// What an interaction weighs; none for what is not liked, or too old to weigh anything.
    fn weight(&self, seen: &Seen) -> Option<f32> {
        let is_new = self.newest.is_none_or(|newest| seen.age < newest);
        let value = if self.by_value { seen.value } else { 1.0 };
        let weight = value * self.decay.powf(f64::from(seen.age)) as f32;
        (is_new && seen.value > 0.0 && weight > 0.0).then_some(weight)
    }
}

impl Recipe {
    /// The name that explanations show.
    pub fn name(&self) -> &str {
        match self {
            Self::MatrixFactorisation { .. } => "matrix_factorisation",
            Self::Content { .. } => "content",
            Self::ItemRows { matrix, .. } => matrix,
            Self::UserNeighbours { .. } => "user_neighbours",
            Self::Popularity => "popularity",
            Self::Trending { .. } => "trending",
            Self::Blend { .. } => "blend",
            Self::Profiled { recipe, .. } => recipe.name(),
        }
    }

    /// The recipes that answer, each with its weight: a blend's members, or itself.
    pub fn parts(&self) -> Vec<(&Recipe, f64)> {
        match self {
            Self::Blend { members } => {
                members.iter().map(|member| (&member.recipe, member.weight)).collect()
            }
            Self::Profiled { recipe, .. } => recipe.parts(),
            Self::MatrixFactorisation { .. }
            | Self::Content { .. }
            | Self::ItemRows { .. }
            | Self::UserNeighbours { .. }
            | Self::Popularity
            | Self::Trending { .. } => vec![(self, 1.0)],
        }
    }

    /// The substitute for users without a preference; none: popular items.
    pub fn profile(&self) -> Option<&Profile> {
        match self {
            Self::Profiled { profile, .. } => Some(profile),
            Self::MatrixFactorisation { .. }
            | Self::Content { .. }
            | Self::ItemRows { .. }
            | Self::UserNeighbours { .. }
            | Self::Popularity
            | Self::Trending { .. }
            | Self::Blend { .. } => None,
        }
    }

    /// Whether it answers different users differently.
    pub fn is_personal(&self) -> bool {
        match self {
            Self::Popularity | Self::Trending { .. } => false,
            Self::Blend { members } => members.iter().any(|member| member.recipe.is_personal()),
            Self::Profiled { recipe, .. } => recipe.is_personal(),
            Self::MatrixFactorisation { .. }
            | Self::Content { .. }
            | Self::ItemRows { .. }
            | Self::UserNeighbours { .. } => true,
        }
    }

    /// Whether it searches twice, first for users and then for items: it sums rows of users. False for a blend,
    /// whose members search.
    pub fn searches_users(&self) -> bool {
        match self {
            Self::UserNeighbours { .. } => true,
            Self::MatrixFactorisation { .. }
            | Self::Content { .. }
            | Self::ItemRows { .. }
            | Self::Popularity
            | Self::Trending { .. }
            | Self::Blend { .. }
            | Self::Profiled { .. } => false,
        }
    }

    /// The matrix that has the items' vectors, if there is one; a blend's first that has.
    pub fn item_vectors(&self) -> Option<&str> {
        match self {
            Self::MatrixFactorisation { item_factors, .. } => Some(item_factors),
            Self::Content { item_topics, .. } => Some(item_topics),
            Self::Blend { members } => members.iter().find_map(|it| it.recipe.item_vectors()),
            Self::Profiled { recipe, .. } => recipe.item_vectors(),
            Self::ItemRows { .. }
            | Self::UserNeighbours { .. }
            | Self::Popularity
            | Self::Trending { .. } => None,
        }
    }

    /// What the history weighs as rows of a sum, if it is summed.
    pub fn history(&self) -> Option<&HistoryWeights> {
        match self {
            Self::ItemRows { history, .. }
            | Self::UserNeighbours { by: NeighbourSearch::Histories { history, .. }, .. } => {
                Some(history)
            }
            Self::MatrixFactorisation { .. }
            | Self::Content { .. }
            | Self::UserNeighbours { by: NeighbourSearch::Vectors { .. }, .. }
            | Self::Popularity
            | Self::Trending { .. }
            | Self::Blend { .. }
            | Self::Profiled { .. } => None,
        }
    }

    /// What the history weighs in the user's stored vector, where that is a sum.
    pub fn summed(&self) -> Option<&HistoryWeights> {
        match self {
            Self::Content { history, .. } => history.as_ref(),
            Self::MatrixFactorisation { .. }
            | Self::ItemRows { .. }
            | Self::UserNeighbours { .. }
            | Self::Popularity
            | Self::Trending { .. }
            | Self::Blend { .. }
            | Self::Profiled { .. } => None,
        }
    }

    /// The dense matrix that has a vector for each user, if there is one; none for recipes of several parts.
    pub fn user_vectors(&self) -> Option<&str> {
        match self {
            Self::MatrixFactorisation { user_factors: matrix, .. }
            | Self::Content { user_topics: matrix, .. }
            | Self::UserNeighbours {
                by: NeighbourSearch::Vectors { user_factors: matrix }, ..
            } => Some(matrix),
            Self::ItemRows { .. }
            | Self::UserNeighbours { by: NeighbourSearch::Histories { .. }, .. }
            | Self::Popularity
            | Self::Trending { .. }
            | Self::Blend { .. }
            | Self::Profiled { .. } => None,
        }
    }

    /// The dense matrix that has the topics of words, and the one of items that they are compared with, if
    /// there are any; none for recipes of several parts.
    pub fn text_vectors(&self) -> Option<(&str, &str)> {
        match self {
            Self::Content { item_topics, term_topics: Some(term_topics), .. } => {
                Some((term_topics, item_topics))
            }
            Self::Content { term_topics: None, .. }
            | Self::MatrixFactorisation { .. }
            | Self::ItemRows { .. }
            | Self::UserNeighbours { .. }
            | Self::Popularity
            | Self::Trending { .. }
            | Self::Blend { .. }
            | Self::Profiled { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_interactions_weigh_more_and_disliked_ones_nothing() {
        let history = [
            Seen { ordinal: 3, value: 2.0, age: 0 },
            Seen { ordinal: 5, value: 0.0, age: 1 },
            Seen { ordinal: 7, value: 4.0, age: 2 },
        ];
        assert_eq!(HistoryWeights::default().weigh(&history), (vec![3, 7], vec![1.0, 1.0]));
        let decayed = HistoryWeights { decay: 0.5, ..HistoryWeights::default() };
        assert_eq!(decayed.weigh(&history), (vec![3, 7], vec![1.0, 0.25]));
        let valued = HistoryWeights { by_value: true, decay: 0.5, newest: Some(3) };
        assert_eq!(valued.weigh(&history), (vec![3, 7], vec![2.0, 1.0]));
        let newest = HistoryWeights { newest: Some(2), ..HistoryWeights::default() };
        assert_eq!(newest.weigh(&history), (vec![3], vec![1.0]));
        // A power too small for f32 is left out rather than sent as zero.
        let old = [Seen { ordinal: 1, value: 1.0, age: 1_000 }];
        assert_eq!(decayed.weigh(&old), (vec![], vec![]));
    }
}
