//! The last step of an ensemble: a list of which not all is alike.
//!
//! *Maximal marginal relevance* (Carbonell and Goldstein 1998) takes one item after another, each time the one
//! with the greatest `λ · relevance − (1 − λ) · likeness`: likeness is the greatest cosine between the item's
//! vector and those taken before. Caps hold back items of which enough with the same tag were taken.
//!
//! Relevance is by rank: 1 for the first of `n` candidates, `1 − i / n` for the one at place `i`. Scores of
//! different models do not compare, and what follows a list to fill it up has scores that mean nothing; ranks
//! do not care. So one `λ` means the same for every ensemble.
//!
//! Items keep their scores, and the list is no longer in the order of them.

use crate::id::{IdError, check_id};
use crate::ranking::fuse::Candidate;
use std::collections::{BTreeMap, HashMap};

/// Candidates that are compared with each other, the first ones: what lies deeper hardly rises, and the work
/// grows with their number times that of the items taken.
pub const MAX_COMPARED: usize = 300;
/// Tags with a bound of their own: a list of genres, not a vocabulary.
pub const MAX_TAG_CAPS: usize = 100;

/// How a list is spread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diversity {
    /// `λ`, above 0 and at most 1, which is relevance alone; none: likeness does not matter.
    pub mmr_lambda: Option<f64>,
    /// At most so many items with the same tag, at least 1; none: any number.
    pub max_per_tag: Option<u32>,
    /// Other bounds for these tags, at least 1 each; at most [`MAX_TAG_CAPS`].
    pub tag_caps: BTreeMap<String, u32>,
}

/// What is known of a candidate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemFacts {
    /// Its vector; empty if none is known: then it is like nothing.
    pub vector: Vec<f32>,
    /// Its tags; none is held back for tags that are not known.
    pub tags: Vec<String>,
}

impl Diversity {
    /// Whether tags matter.
    pub fn has_caps(&self) -> bool {
        self.max_per_tag.is_some() || !self.tag_caps.is_empty()
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// Says which one is out of its bounds, and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let Self { mmr_lambda, max_per_tag, tag_caps } = self;
        if mmr_lambda.is_none() && !self.has_caps() {
            return Err("it does nothing: give mmr_lambda, max_per_tag or tag_caps".into());
        }
        if let Some(lambda) = mmr_lambda
            && !(*lambda > 0.0 && *lambda <= 1.0)
        {
            return Err(format!("mmr_lambda is {lambda}: above 0 and at most 1 is allowed"));
        }
        if *max_per_tag == Some(0) {
            return Err("max_per_tag is 0: leave it out for any number".into());
        }
        if tag_caps.len() > MAX_TAG_CAPS {
            let count = tag_caps.len();
            return Err(format!(
                "tag_caps has {count} entries: at most {MAX_TAG_CAPS} are allowed"
            ));
        }
        for (tag, cap) in tag_caps {
            check_id("tag_caps.tag", tag).map_err(|error: IdError| error.to_string())?;
            if *cap == 0 {
                return Err(format!(
                    "tag_caps: 0 items with {tag:?}: have callers exclude the tag, or give at least 1"
                ));
            }
        }
        Ok(())
    }

    fn cap(&self, tag: &str) -> Option<u32> {
        self.tag_caps.get(tag).copied().or(self.max_per_tag)
    }
}

/// The first `count` of a list that is spread as `how` says; fewer where caps hold the rest back. `facts` has
/// an entry for each candidate, in order.
///
/// # Panics
/// If it hasn't.
pub fn diversify(
    list: Vec<Candidate>,
    facts: &[ItemFacts],
    how: &Diversity,
    count: usize,
) -> Vec<Candidate> {
    assert_eq!(list.len(), facts.len(), "facts of each candidate");
    let number = list.len() as f64;
    let lambda = how.mmr_lambda.unwrap_or(1.0);
    let norms: Vec<f64> =
        facts.iter().map(|facts| dot(&facts.vector, &facts.vector).sqrt()).collect();
    // The greatest likeness to what was taken; before the first, to nothing.
    let mut likeness: Vec<Option<f64>> = vec![None; list.len()];
    let mut taken_of: HashMap<&str, u32> = HashMap::new();
    let mut open: Vec<usize> = (0..list.len()).collect();
    let mut order = Vec::with_capacity(count.min(list.len()));
    while order.len() < count {
        let is_full = |tag: &String| {
            how.cap(tag).is_some_and(|cap| taken_of.get(tag.as_str()).is_some_and(|&n| n >= cap))
        };
        open.retain(|&at| !facts[at].tags.iter().any(is_full));
        let marginal = |at: usize| {
            let relevance = 1.0 - at as f64 / number;
            lambda * relevance - (1.0 - lambda) * likeness[at].unwrap_or(0.0)
        };
        let compared = open.iter().enumerate().take_while(|(_, at)| **at < MAX_COMPARED);
        // Of equals the first; beyond those compared the order stays.
        let best = compared
            .map(|(place, &at)| (place, marginal(at)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map_or(0, |(place, _)| place);
        if open.is_empty() {
            break;
        }
        let taken = open.remove(best);
        order.push(taken);
        for tag in &facts[taken].tags {
            *taken_of.entry(tag).or_default() += 1;
        }
        if lambda < 1.0 {
            for &at in open.iter().take_while(|at| **at < MAX_COMPARED) {
                let cosine = match norms[at] * norms[taken] {
                    length if length > 0.0 => dot(&facts[at].vector, &facts[taken].vector) / length,
                    _ => 0.0,
                };
                likeness[at] = Some(likeness[at].map_or(cosine, |other| other.max(cosine)));
            }
        }
    }
    let mut list: Vec<Option<Candidate>> = list.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| list[at].take()).collect()
}

/// Of vectors of unlike lengths, which are of different spaces, 0.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    match a.len() == b.len() {
        true => a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum(),
        false => 0.0,
    }
}

#[cfg(test)]
mod tests;
