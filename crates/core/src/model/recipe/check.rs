//! The checks of a recipe: its bounds, and the matrices that a bundle must have for it.

use super::definition::{
    BlendMember, Entity, FoldIn, HISTORY_ORDER_MATRIX, HistoryWeights, MAX_BLEND_MEMBERS,
    MAX_NEIGHBOURS, NeighbourSearch, Profile, Recipe, RowSpace,
};
use super::error::RecipeError;
use super::shape::MatrixShape;

impl HistoryWeights {
    /// Refuses a decay or a number of interactions that is out of bounds.
    fn check(&self) -> Result<(), RecipeError> {
        if !(self.decay > 0.0 && self.decay <= 1.0) {
            return Err(RecipeError::Decay { decay: self.decay });
        }
        if self.newest == Some(0) {
            return Err(RecipeError::NoNewest);
        }
        Ok(())
    }
}

impl Recipe {
    /// Checks the numbers of the recipe. Matrices are checked by [`check_recipe`], where they are known.
    ///
    /// # Errors
    /// Which number is out of its bounds, or which recipes must not be within one another.
    pub fn check(&self) -> Result<(), RecipeError> {
        match self {
            Self::Blend { members } => {
                let count = members.len();
                if !(1..=MAX_BLEND_MEMBERS).contains(&count) {
                    return Err(RecipeError::BlendMembers { count });
                }
                for BlendMember { recipe, weight } in members {
                    if matches!(recipe, Self::Blend { .. }) {
                        return Err(RecipeError::NestedBlend);
                    }
                    if matches!(recipe, Self::Profiled { .. }) {
                        return Err(RecipeError::ProfileInBlend);
                    }
                    if !(weight.is_finite() && *weight > 0.0) {
                        return Err(RecipeError::BlendWeight { weight: *weight });
                    }
                    recipe.check()?;
                }
                Ok(())
            }
            Self::Profiled { recipe, .. } => match recipe.as_ref() {
                Self::Profiled { .. } => Err(RecipeError::NestedProfile),
                Self::Popularity | Self::Trending { .. } => Err(RecipeError::UselessProfile),
                Self::MatrixFactorisation { .. }
                | Self::Content { .. }
                | Self::ItemRows { .. }
                | Self::UserNeighbours { .. }
                | Self::Blend { .. } => recipe.check(),
            },
            Self::MatrixFactorisation { fold_in: Some(FoldIn { confidence, .. }), .. }
                if !(confidence.is_finite() && *confidence > 0.0) =>
            {
                Err(RecipeError::Confidence { confidence: *confidence })
            }
            Self::UserNeighbours { neighbours, .. }
                if !(1..=MAX_NEIGHBOURS).contains(neighbours) =>
            {
                Err(RecipeError::Neighbours { count: *neighbours })
            }
            Self::Content { history: Some(history), .. }
            | Self::ItemRows { history, .. }
            | Self::UserNeighbours { by: NeighbourSearch::Histories { history, .. }, .. } => {
                history.check()
            }
            Self::MatrixFactorisation { .. }
            | Self::Content { history: None, .. }
            | Self::UserNeighbours { by: NeighbourSearch::Vectors { .. }, .. }
            | Self::Popularity
            | Self::Trending { .. } => Ok(()),
        }
    }

    /// The matrices it uses, and what each must be. Popularity and history are in every bundle.
    pub fn needs(&self) -> Vec<(&str, MatrixShape)> {
        let mut needs = Vec::new();
        for (group, (part, _)) in self.parts().into_iter().enumerate() {
            let dense = |entity| MatrixShape::Dense { entity, rank_of: group };
            match part {
                Self::MatrixFactorisation { user_factors, item_factors, fold_in } => {
                    needs.push((user_factors.as_str(), dense(Entity::User)));
                    needs.push((item_factors.as_str(), dense(Entity::Item)));
                    needs
                        .extend(fold_in.as_ref().map(|f| (f.matrix.as_str(), dense(Entity::Item))));
                }
                Self::Content { user_topics, item_topics, term_topics, history: _ } => {
                    needs.push((user_topics.as_str(), dense(Entity::User)));
                    needs.push((item_topics.as_str(), dense(Entity::Item)));
                    needs.extend(term_topics.as_deref().map(|name| (name, dense(Entity::Term))));
                }
                Self::ItemRows { matrix, .. } => {
                    let shape = MatrixShape::Sums { rows: RowSpace::Items, columns: Entity::Item };
                    needs.push((matrix.as_str(), shape));
                }
                Self::UserNeighbours { by, histories, .. } => {
                    needs.push(match by {
                        NeighbourSearch::Vectors { user_factors } => {
                            (user_factors.as_str(), dense(Entity::User))
                        }
                        NeighbourSearch::Histories { matrix, .. } => {
                            let shape =
                                MatrixShape::Sums { rows: RowSpace::Items, columns: Entity::User };
                            (matrix.as_str(), shape)
                        }
                    });
                    let shape = MatrixShape::Sums { rows: RowSpace::Users, columns: Entity::Item };
                    needs.push((histories.as_str(), shape));
                }
                Self::Trending { matrix } => {
                    let shape = MatrixShape::Sums { rows: RowSpace::Single, columns: Entity::Item };
                    needs.push((matrix.as_str(), shape));
                }
                Self::Popularity | Self::Blend { .. } | Self::Profiled { .. } => {}
            }
            if part.history().or(part.summed()).is_some_and(HistoryWeights::needs_order) {
                needs.push((HISTORY_ORDER_MATRIX, MatrixShape::ByUser));
            }
        }
        if let Some(Profile { matrix, users }) = self.profile() {
            let shape = MatrixShape::Sums { rows: RowSpace::Terms, columns: Entity::Item };
            needs.push((matrix.as_str(), shape));
            needs.push((users.as_str(), MatrixShape::TermsByUser));
        }
        needs
    }
}

/// Checks a recipe against the matrices of a bundle: `find` gives the shape of a matrix and, of a
/// dense one, its rank (the `rank_of` of what it gives is not looked at).
///
/// # Errors
/// Says what is out of bounds, missing, or does not fit.
pub fn check_recipe(
    recipe: &Recipe,
    find: impl Fn(&str) -> Option<(MatrixShape, usize)>,
) -> Result<(), RecipeError> {
    recipe.check()?;
    let mut ranks: Vec<Option<(&str, usize)>> = vec![None; MAX_BLEND_MEMBERS];
    for (name, needed) in recipe.needs() {
        let found = find(name).filter(|(found, _)| match (found, &needed) {
            (MatrixShape::Dense { entity: found, .. }, MatrixShape::Dense { entity, .. }) => {
                found == entity
            }
            (found, needed) => found == needed,
        });
        let Some((_, rank)) = found else {
            return Err(RecipeError::MissingMatrix { name: name.into(), shape: needed });
        };
        if let MatrixShape::Dense { rank_of, .. } = needed {
            match ranks[rank_of] {
                Some((other, expected)) if expected != rank => {
                    return Err(RecipeError::Ranks {
                        first: other.into(),
                        first_rank: expected,
                        second: name.into(),
                        second_rank: rank,
                    });
                }
                Some(_) | None => ranks[rank_of] = Some((name, rank)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mf(fold_in: Option<FoldIn>) -> Recipe {
        Recipe::MatrixFactorisation { user_factors: "u".into(), item_factors: "i".into(), fold_in }
    }

    fn rows(decay: f64) -> Recipe {
        let history = HistoryWeights { decay, ..HistoryWeights::default() };
        Recipe::ItemRows { matrix: "ease".into(), history }
    }

    #[test]
    fn faults_of_recipes_are_named() {
        let dense = |entity, rank| Some((MatrixShape::Dense { entity, rank_of: 0 }, rank));
        let find = |name: &str| match name {
            "u" => dense(Entity::User, 8),
            "i" => dense(Entity::Item, 8),
            "short" => dense(Entity::Item, 4),
            "ease" => Some((MatrixShape::Sums { rows: RowSpace::Items, columns: Entity::Item }, 0)),
            _ => None,
        };
        let blend = |members: Vec<(Recipe, f64)>| Recipe::Blend {
            members: members
                .into_iter()
                .map(|(recipe, weight)| BlendMember { recipe, weight })
                .collect(),
        };
        let profiled = |recipe| Recipe::Profiled {
            recipe: Box::new(recipe),
            profile: Profile { matrix: "p".into(), users: "t".into() },
        };
        let fold = |matrix: &str, confidence| Some(FoldIn { matrix: matrix.into(), confidence });
        for fine in [mf(None), mf(fold("i", 1.0)), rows(1.0), blend(vec![(rows(1.0), 0.5)])] {
            assert_eq!(check_recipe(&fine, find), Ok(()));
        }
        for (recipe, says) in [
            (mf(fold("short", 1.0)), "\"i\" has rank 8 and \"short\" 4"),
            (mf(fold("i", 0.0)), "confidence of fold_in is 0"),
            (rows(0.0), "decay is 0"),
            (rows(f64::NAN), "decay is NaN"),
            (rows(0.5), "\"history_order\", which is missing"),
            (Recipe::Trending { matrix: "ease".into() }, "sparse matrix of one row by items"),
            (blend(vec![]), "a blend of 0 members"),
            (blend(vec![(rows(1.0), -1.0)]), "weight is -1"),
            (blend(vec![(blend(vec![(rows(1.0), 1.0)]), 1.0)]), "a blend in a blend"),
            (blend(vec![(profiled(rows(1.0)), 1.0)]), "a profile in a blend"),
            (profiled(profiled(rows(1.0))), "a profile of a profile"),
            (profiled(Recipe::Popularity), "knows no preferences"),
            (profiled(rows(0.0)), "decay is 0"),
            (profiled(rows(1.0)), "sparse matrix of terms by items, cut by column, \"p\""),
        ] {
            let said = check_recipe(&recipe, find).expect_err("refused").to_string();
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
    }
}
