//! What is wrong with a recipe.

use super::definition::{MAX_BLEND_MEMBERS, MAX_NEIGHBOURS};
use super::shape::MatrixShape;

/// What is wrong with a recipe, or with the matrices that it is given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// A blend has no members, or more than [`MAX_BLEND_MEMBERS`].
    #[error("a blend of {count} members: 1 to {MAX_BLEND_MEMBERS} are allowed")]
    BlendMembers {
        /// How many it has.
        count: usize,
    },
    /// A blend is a member of another.
    #[error("a blend in a blend: give its members")]
    NestedBlend,
    /// A member of a blend has a profile of its own.
    #[error("a profile in a blend: give it to the blend")]
    ProfileInBlend,
    /// The weight of a blend's member is not above 0.
    #[error("a blend's weight is {weight}: it must be above 0")]
    BlendWeight {
        /// The member's weight as given.
        weight: f64,
    },
    /// A profile is within another.
    #[error("a profile of a profile: give one")]
    NestedProfile,
    /// A profile is the substitute of a recipe that needs none.
    #[error("a profile of a recipe that knows no preferences: it would never answer")]
    UselessProfile,
    /// The confidence of a fold-in is not above 0.
    #[error("the confidence of fold_in is {confidence}: it must be above 0")]
    Confidence {
        /// The confidence as given.
        confidence: f64,
    },
    /// A recipe takes no neighbours, or more than [`MAX_NEIGHBOURS`].
    #[error("{count} neighbours: 1 to {MAX_NEIGHBOURS} are allowed")]
    Neighbours {
        /// How many neighbours the recipe asks for.
        count: u32,
    },
    /// The decay of a history is out of (0, 1].
    #[error("decay is {decay}: above 0 and at most 1 is allowed")]
    Decay {
        /// The decay as given.
        decay: f64,
    },
    /// A recipe takes none of a history.
    #[error("newest is 0: leave it out, or take at least one")]
    NoNewest,
    /// A matrix is missing, or has another shape.
    #[error("the recipe needs a {shape}, {name:?}, which is missing")]
    MissingMatrix {
        /// The missing matrix's name.
        name: String,
        /// The shape that the recipe requires of it.
        shape: MatrixShape,
    },
    /// Two matrices whose rows are compared have different ranks.
    #[error("{first:?} has rank {first_rank} and {second:?} {second_rank}: they must be equal")]
    Ranks {
        /// The name of one.
        first: String,
        /// How many components the rows of the first matrix have.
        first_rank: usize,
        /// The name of the other.
        second: String,
        /// How many components the rows of the second matrix have.
        second_rank: usize,
    },
}
