//! `marquee topics`: what the topics of a bundle's texts are, by the words that weigh most in each.

use crate::error::TrainError;
use crate::eval::Gather;
use crate::family::{TERM_RARITY, top_terms};
use clap::Args;
use marquee_bundle::{Bundle, Entity, LoadOptions, TrustedKeys};
use marquee_core::model::recipe::Recipe;
use marquee_core::model::term::word_of;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Words of a topic that can be listed: more is the vocabulary.
const MAX_WORDS: usize = 1_000;

/// Examples below `marquee topics --help`.
const TOPICS_EXAMPLES: &str = "\
Examples:
  marquee train --interactions ratings.csv --items movies.csv --model content --out films
  marquee topics --bundle films --topics 5
  marquee topics --bundle films --json
  grpcurl -plaintext -d '{\"text\": \"space western\"}' 127.0.0.1:50051 marquee.v1.RecommenderService/SearchItems";

/// A bundle of content, or of a hybrid with content.
#[derive(Args, Clone, Debug, Serialize)]
#[command(after_help = TOPICS_EXAMPLES)]
pub struct TopicsArgs {
    /// The bundle's directory.
    #[arg(long, value_name = "DIR")]
    pub bundle: PathBuf,
    /// How many topics are listed, the strongest first; 0 is all.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub topics: usize,
    /// How many words are listed of each topic, those that weigh most.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub words: usize,
}

/// The topics of a bundle, the strongest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Topics {
    /// How many there are, listed or not.
    pub total: usize,
    /// Words that the bundle knows.
    pub vocabulary: usize,
    /// Those that are listed.
    pub topics: Vec<Topic>,
}

/// A topic, by its words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Topic {
    /// Its number, from 1.
    pub topic: usize,
    /// The words that weigh most in it, heaviest first.
    pub words: Vec<Word>,
}

/// A word of a topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    /// The word, in lower case.
    pub word: String,
    /// Its component of the topic's right singular vector.
    pub weight: f64,
}

/// Lists the topics of a bundle.
///
/// # Errors
/// A bundle that can't be opened, or has no texts; more words than can be listed.
pub fn topics(args: &TopicsArgs) -> Result<Topics, TrainError> {
    if !(1..=MAX_WORDS).contains(&args.words) {
        let problem = format!("{} is not in 1 to {MAX_WORDS}", args.words);
        return Err(TrainError::option("--words", problem));
    }
    let dir = args.bundle.as_path();
    let bundle = Bundle::open(dir, &TrustedKeys::default(), &LoadOptions::default())?;
    let parts = bundle.manifest().recipe.parts();
    let name = parts.into_iter().find_map(|(recipe, _)| match recipe {
        Recipe::Content { term_topics, .. } => term_topics.as_deref(),
        // Parts are neither blends nor profiled.
        Recipe::MatrixFactorisation { .. }
        | Recipe::ItemRows { .. }
        | Recipe::UserNeighbours { .. }
        | Recipe::Popularity
        | Recipe::Trending { .. }
        | Recipe::Blend { .. }
        | Recipe::Profiled { .. } => None,
    });
    let Some(name) = name else {
        return Err(TrainError::Data(format!(
            "{} has no topics: give a bundle that was trained with --model content, or hybrid, and --items",
            dir.display()
        )));
    };
    let gather = Gather { dir, bundle: &bundle };
    let matrix = gather.dense(name, Entity::Term)?;
    let rarity = gather.dense(TERM_RARITY, Entity::Term)?;
    let (mut words, mut rows) = (Vec::new(), Vec::new());
    let terms = gather.ids(Entity::Term).into_iter().zip(matrix.data.chunks_exact(matrix.rank));
    for ((term, row), rarity) in terms.zip(&rarity.data) {
        // Attributes of users are terms too, and about nothing.
        if let Some(word) = word_of(term).filter(|_| *rarity > 0.0) {
            words.push(word.to_owned());
            rows.extend(row.iter().map(|x| f64::from(*x) / f64::from(*rarity)));
        }
    }
    // Bundles have the vectors times a power of the singular values; each vector's length is 1.
    let mut lengths = vec![0f64; matrix.rank];
    for row in rows.chunks_exact(matrix.rank) {
        lengths.iter_mut().zip(row).for_each(|(length, x)| *length += x * x);
    }
    for row in rows.chunks_exact_mut(matrix.rank) {
        row.iter_mut()
            .zip(&lengths)
            .for_each(|(x, length)| *x /= length.sqrt().max(f64::MIN_POSITIVE));
    }
    let count = if args.topics == 0 { matrix.rank } else { args.topics };
    let listed = top_terms(&rows, matrix.rank, &words, count, args.words);
    let mut topics = Vec::with_capacity(listed.len());
    for (topic, terms) in (1..).zip(listed) {
        let words = terms.into_iter().map(|(word, weight)| Word { word: word.into(), weight });
        topics.push(Topic { topic, words: words.collect() });
    }
    Ok(Topics { total: matrix.rank, vocabulary: words.len(), topics })
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Topic { topic, words } in &self.topics {
            let words: Vec<&str> = words.iter().map(|word| word.word.as_str()).collect();
            writeln!(f, "topic {topic}: {}", words.join(", "))?;
        }
        write!(f, "{} of {} topics over {} words", self.topics.len(), self.total, self.vocabulary)
    }
}
