//! Recipes ↔ `marquee.control.v1`.

use super::error::{ConvertError, Result, required};
use crate::generated::control::v1 as pb;
use marquee_core::model::recipe::{
    BlendMember, FoldIn, HistoryWeights, NeighbourSearch, Profile, Recipe,
};

pub(crate) fn recipe_to_pb(recipe: &Recipe) -> pb::Recipe {
    use pb::recipe::Kind;
    let kind = match recipe {
        Recipe::MatrixFactorisation { user_factors, item_factors, fold_in } => {
            Kind::MatrixFactorisation(pb::MatrixFactorisation {
                user_factors: user_factors.clone(),
                item_factors: item_factors.clone(),
                fold_in: fold_in.as_ref().map(|FoldIn { matrix, confidence }| pb::FoldIn {
                    matrix: matrix.clone(),
                    confidence: *confidence,
                }),
            })
        }
        Recipe::Popularity => Kind::Popularity(pb::Popularity {}),
        Recipe::Content { user_topics, item_topics, term_topics, history } => {
            Kind::Content(pb::Content {
                user_topics: user_topics.clone(),
                item_topics: item_topics.clone(),
                term_topics: term_topics.clone().unwrap_or_default(),
                history: history.as_ref().map(weights_to_pb),
            })
        }
        Recipe::Profiled { recipe, profile: Profile { matrix, users } } => {
            Kind::Profiled(Box::new(pb::Profiled {
                recipe: Some(Box::new(recipe_to_pb(recipe))),
                matrix: matrix.clone(),
                users: users.clone(),
            }))
        }
        Recipe::ItemRows { matrix, history } => Kind::ItemRows(rows_to_pb(matrix, history)),
        Recipe::UserNeighbours { by, histories, neighbours } => {
            use pb::user_neighbours::By;
            Kind::UserNeighbours(pb::UserNeighbours {
                by: Some(match by {
                    NeighbourSearch::Vectors { user_factors } => {
                        By::UserFactors(user_factors.clone())
                    }
                    NeighbourSearch::Histories { matrix, history } => {
                        By::UserSums(rows_to_pb(matrix, history))
                    }
                }),
                histories: histories.clone(),
                neighbours: *neighbours,
            })
        }
        Recipe::Trending { matrix } => Kind::Trending(pb::Trending { matrix: matrix.clone() }),
        Recipe::Blend { members } => Kind::Blend(pb::Blend {
            members: members
                .iter()
                .map(|BlendMember { recipe, weight }| pb::BlendMember {
                    recipe: Some(recipe_to_pb(recipe)),
                    weight: *weight,
                })
                .collect(),
        }),
    };
    pb::Recipe { kind: Some(kind) }
}

fn weights_to_pb(history: &HistoryWeights) -> pb::HistoryWeights {
    let HistoryWeights { by_value, decay, newest } = *history;
    pb::HistoryWeights { by_value, decay, newest }
}

fn weights_from_pb(history: pb::HistoryWeights) -> HistoryWeights {
    let pb::HistoryWeights { by_value, decay, newest } = history;
    HistoryWeights { by_value, decay, newest }
}

fn rows_to_pb(matrix: &str, history: &HistoryWeights) -> pb::ItemRows {
    pb::ItemRows { matrix: matrix.into(), history: Some(weights_to_pb(history)) }
}

/// A recipe of the wire.
///
/// # Errors
/// Something is missing, or out of bounds: see [`Recipe::check`].
pub(crate) fn recipe_from_pb(recipe: pb::Recipe) -> Result<Recipe> {
    let recipe = read(recipe, Nesting::Outer)?;
    recipe.check().map_err(|error| invalid(error.to_string()))?;
    Ok(recipe)
}

fn invalid(what: String) -> ConvertError {
    ConvertError::InvalidValue { field: "version.recipe".into(), what }
}

/// Blends do not nest, nor profiles, so neither does reading them.
#[derive(Clone, Copy, PartialEq)]
enum Nesting {
    Outer,
    InBlend,
    InProfile,
}

fn read(recipe: pb::Recipe, nesting: Nesting) -> Result<Recipe> {
    use pb::recipe::Kind;
    Ok(match required(recipe.kind, "version.recipe.kind")? {
        Kind::MatrixFactorisation(pb::MatrixFactorisation {
            user_factors,
            item_factors,
            fold_in,
        }) => Recipe::MatrixFactorisation {
            user_factors,
            item_factors,
            fold_in: fold_in.map(|pb::FoldIn { matrix, confidence }| FoldIn { matrix, confidence }),
        },
        Kind::Popularity(pb::Popularity {}) => Recipe::Popularity,
        Kind::Content(pb::Content { user_topics, item_topics, term_topics, history }) => {
            Recipe::Content {
                user_topics,
                item_topics,
                term_topics: (!term_topics.is_empty()).then_some(term_topics),
                history: history.map(weights_from_pb),
            }
        }
        Kind::Profiled(_) if nesting != Nesting::Outer => {
            return Err(invalid("a profile in a recipe: give it to the whole".into()));
        }
        Kind::Profiled(profiled) => {
            let pb::Profiled { recipe, matrix, users } = *profiled;
            let recipe = required(recipe, "version.recipe.profiled.recipe")?;
            Recipe::Profiled {
                recipe: Box::new(read(*recipe, Nesting::InProfile)?),
                profile: Profile { matrix, users },
            }
        }
        Kind::ItemRows(rows) => {
            let (matrix, history) = rows_from_pb(rows)?;
            Recipe::ItemRows { matrix, history }
        }
        Kind::UserNeighbours(pb::UserNeighbours { by, histories, neighbours }) => {
            use pb::user_neighbours::By;
            let by = match required(by, "version.recipe.user_neighbours.by")? {
                By::UserFactors(user_factors) => NeighbourSearch::Vectors { user_factors },
                By::UserSums(rows) => {
                    let (matrix, history) = rows_from_pb(rows)?;
                    NeighbourSearch::Histories { matrix, history }
                }
            };
            Recipe::UserNeighbours { by, histories, neighbours }
        }
        Kind::Trending(pb::Trending { matrix }) => Recipe::Trending { matrix },
        Kind::Blend(_) if nesting == Nesting::InBlend => {
            return Err(invalid("a blend in a blend: give its members".into()));
        }
        Kind::Blend(pb::Blend { members }) => Recipe::Blend {
            members: members
                .into_iter()
                .map(|pb::BlendMember { recipe, weight }| {
                    let recipe = required(recipe, "version.recipe.blend.members.recipe")?;
                    Ok(BlendMember { recipe: read(recipe, Nesting::InBlend)?, weight })
                })
                .collect::<Result<_>>()?,
        },
    })
}

fn rows_from_pb(rows: pb::ItemRows) -> Result<(String, HistoryWeights)> {
    let pb::ItemRows { matrix, history } = rows;
    Ok((matrix, weights_from_pb(required(history, "version.recipe.history")?)))
}
