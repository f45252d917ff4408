//! Diversification, the final stage of an ensemble: reorders a list so that its items are less alike.
//!
//! *Maximal marginal relevance* (Carbonell and Goldstein 1998) takes one item after another, each time the
//! one with the greatest `λ · relevance − (1 − λ) · similarity`: similarity is the greatest cosine between
//! the item's vector and those taken before. Caps hold items back once enough items with the same tag were
//! taken.
//!
//! Relevance is by rank: 1 for the first of `n` candidates, `1 − i / n` for the one at place `i`. Scores of
//! different models do not compare, and what follows a list to fill it up has scores that mean nothing; ranks
//! always compare. So one `λ` means the same for every ensemble.
//!
//! Items keep their scores, and the list is no longer in the order of them.

use crate::id::{IdError, check_id};
use crate::ranking::fuse::Candidate;
use std::collections::{BTreeMap, HashMap};

/// How many candidates are compared with each other, the first ones: what is ranked lower hardly rises, and
/// the work grows with their number times that of the items taken.
pub const MAX_COMPARED: usize = 300;
/// The most tags with a bound of their own: a list of genres, not a vocabulary.
pub const MAX_TAG_CAPS: usize = 100;

/// How a list is diversified.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diversity {
    /// `λ`, above 0 and at most 1, which is relevance alone; none: vectors are not compared.
    pub mmr_lambda: Option<f64>,
    /// The most items with the same tag, at least 1; none: any number.
    pub max_per_tag: Option<u32>,
    /// Other bounds for these tags, at least 1 each; at most [`MAX_TAG_CAPS`].
    pub tag_caps: BTreeMap<String, u32>,
}

/// Why the settings of a diversification are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DiversityError {
    /// Nothing is set.
    #[error("it does nothing: give mmr_lambda, max_per_tag or tag_caps")]
    DoesNothing,
    /// `mmr_lambda` is out of bounds.
    #[error("mmr_lambda is {lambda}: above 0 and at most 1 is allowed")]
    Lambda {
        /// The value that was given.
        lambda: f64,
    },
    /// `max_per_tag` would allow nothing.
    #[error("max_per_tag is 0: leave it out for any number")]
    ZeroPerTag,
    /// Too many tags have a bound of their own.
    #[error("tag_caps has {count} entries: at most {MAX_TAG_CAPS} are allowed")]
    TooManyCaps {
        /// How many were given.
        count: usize,
    },
    /// A tag is malformed.
    #[error(transparent)]
    Tag(#[from] IdError),
    /// A tag's bound would allow nothing.
    #[error("tag_caps: 0 items with {tag:?}: have callers exclude the tag, or give at least 1")]
    ZeroCap {
        /// The tag whose bound is 0.
        tag: String,
    },
}

/// What diversification compares of a candidate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemFeatures {
    /// Its vector; empty if none is known: then it is similar to nothing.
    pub vector: Vec<f32>,
    /// Its tags, as far as they are known.
    pub tags: Vec<String>,
}

impl Diversity {
    /// Whether tags are looked at.
    pub fn has_caps(&self) -> bool {
        self.max_per_tag.is_some() || !self.tag_caps.is_empty()
    }

    /// Checks that every number is within its bounds and that there is something to do.
    pub fn check(&self) -> Result<(), DiversityError> {
        let Self { mmr_lambda, max_per_tag, tag_caps } = self;
        if mmr_lambda.is_none() && !self.has_caps() {
            return Err(DiversityError::DoesNothing);
        }
        if let Some(lambda) = *mmr_lambda
            && !(lambda > 0.0 && lambda <= 1.0)
        {
            return Err(DiversityError::Lambda { lambda });
        }
        if *max_per_tag == Some(0) {
            return Err(DiversityError::ZeroPerTag);
        }
        if tag_caps.len() > MAX_TAG_CAPS {
            return Err(DiversityError::TooManyCaps { count: tag_caps.len() });
        }
        for (tag, cap) in tag_caps {
            check_id("tag_caps.tag", tag)?;
            if *cap == 0 {
                return Err(DiversityError::ZeroCap { tag: tag.clone() });
            }
        }
        Ok(())
    }

    fn cap(&self, tag: &str) -> Option<u32> {
        self.tag_caps.get(tag).copied().or(self.max_per_tag)
    }
}

/// The first `count` items of a list that is diversified as `how` says; fewer where caps leave too few.
/// `features` has an entry for each candidate, in order.
///
/// # Panics
/// If `features` has another length than `list`.
pub fn diversify(
    list: Vec<Candidate>,
    features: &[ItemFeatures],
    how: &Diversity,
    count: usize,
) -> Vec<Candidate> {
    assert_eq!(list.len(), features.len(), "features of each candidate");
    let lambda = how.mmr_lambda.unwrap_or(1.0);
    let mut taken = Taken::new(features);
    let mut open: Vec<usize> = (0..list.len()).collect();
    let mut order = Vec::with_capacity(count.min(list.len()));
    while order.len() < count {
        open.retain(|&at| !taken.has_full_tag(at, how));
        if open.is_empty() {
            break;
        }
        let next = open.remove(taken.best_place(&open, lambda));
        order.push(next);
        taken.count_tags(next);
        if lambda < 1.0 {
            taken.compare(next, &open);
        }
    }
    let mut candidates: Vec<Option<Candidate>> = list.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| candidates[at].take()).collect()
}

/// What was taken of a list so far. Candidates are known by their places in the list.
struct Taken<'f> {
    features: &'f [ItemFeatures],
    /// The lengths of the candidates' vectors.
    norms: Vec<f64>,
    /// The greatest similarity of each candidate to one that was taken; none before the first.
    similarity: Vec<Option<f64>>,
    /// How many items with each tag were taken.
    tags: HashMap<&'f str, u32>,
}

impl<'f> Taken<'f> {
    fn new(features: &'f [ItemFeatures]) -> Self {
        let norms = features.iter().map(|it| dot(&it.vector, &it.vector).sqrt()).collect();
        Self { features, norms, similarity: vec![None; features.len()], tags: HashMap::new() }
    }

    /// Whether enough items with one of the candidate's tags were taken.
    fn has_full_tag(&self, at: usize, how: &Diversity) -> bool {
        self.features[at].tags.iter().any(|tag| {
            let count = self.tags.get(tag.as_str()).copied().unwrap_or(0);
            how.cap(tag).is_some_and(|cap| count >= cap)
        })
    }

    /// The place in `open` of the candidate with the greatest marginal relevance, the first of equals. Beyond
    /// the candidates that are compared the order stays.
    fn best_place(&self, open: &[usize], lambda: f64) -> usize {
        let number = self.features.len() as f64;
        let mut best = (0, None);
        for (place, &at) in open.iter().enumerate() {
            if at >= MAX_COMPARED {
                break;
            }
            let relevance = 1.0 - at as f64 / number;
            let marginal = lambda * relevance - (1.0 - lambda) * self.similarity[at].unwrap_or(0.0);
            if best.1.is_none_or(|other| marginal > other) {
                best = (place, Some(marginal));
            }
        }
        best.0
    }

    fn count_tags(&mut self, at: usize) {
        for tag in &self.features[at].tags {
            *self.tags.entry(tag).or_default() += 1;
        }
    }

    /// Compares the open candidates with one that was taken.
    fn compare(&mut self, taken: usize, open: &[usize]) {
        for &at in open.iter().take_while(|at| **at < MAX_COMPARED) {
            let length = self.norms[at] * self.norms[taken];
            let cosine = if length > 0.0 {
                dot(&self.features[at].vector, &self.features[taken].vector) / length
            } else {
                0.0
            };
            let greatest = self.similarity[at].map_or(cosine, |other| other.max(cosine));
            self.similarity[at] = Some(greatest);
        }
    }
}

/// The inner product; 0 for vectors of different lengths, which are of different spaces.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests;
