//! Settings of a model in a file: what `marquee tune` writes and `marquee train --config` reads.

use crate::als::RegularizationScaling;
use crate::error::TrainError;
use crate::options::{ModelKind, NeighboursBy, Optimizer, Similarity, TrainArgs};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes of a file of settings: it has a few dozen lines.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A model and its settings, named as the flags of `marquee train` are; what is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ModelConfig {
    /// What to train.
    pub model: ModelKind,
    /// `--factors`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors: Option<usize>,
    /// `--regularization`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularization: Option<f32>,
    /// `--regularization-scaling`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularization_scaling: Option<RegularizationScaling>,
    /// `--alpha`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
    /// `--iterations`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<usize>,
    /// `--learning-rate`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f32>,
    /// `--optimizer`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// `--similarity`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<Similarity>,
    /// `--shrinkage`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrinkage: Option<f32>,
    /// `--bm25-k1`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25_k1: Option<f32>,
    /// `--bm25-b`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25_b: Option<f32>,
    /// `--neighbours`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<usize>,
    /// `--by`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<NeighboursBy>,
    /// `--decay`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<f64>,
    /// `--newest`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<u32>,
    /// `--window`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// `--window-decay`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_decay: Option<f64>,
    /// `--beta`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f32>,
    /// `--half-life`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_life: Option<f64>,
    /// What a hybrid blends, each with settings of its own; none: all families that the data allow, as they are by
    /// default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ModelConfig>,
}

impl ModelConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that can't be read or is no TOML, a setting that is unknown or of another kind.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let length = fs_err::metadata(path).map_err(TrainError::io(path))?.len();
        if length > MAX_CONFIG_BYTES {
            let problem = format!("{length} bytes: at most {MAX_CONFIG_BYTES} are allowed");
            return Err(TrainError::format(path, problem));
        }
        let text = fs_err::read_to_string(path).map_err(TrainError::io(path))?;
        toml::from_str(&text).map_err(|error| {
            let problem = format!("{}: see what `marquee tune` writes", error.to_string().trim());
            TrainError::format(path, problem)
        })
    }

    /// The file's text, with a first line that says where it is from.
    ///
    /// # Errors
    /// A value that TOML has no word for.
    pub fn to_text(&self, comment: &str) -> Result<String, TrainError> {
        let text = toml::to_string(self)
            .map_err(|error| TrainError::Data(format!("the settings can't be written: {error}")))?;
        Ok(format!("# {comment}\n{text}"))
    }

    /// The settings of some arguments.
    pub fn of(args: &TrainArgs) -> Self {
        Self {
            model: args.model,
            factors: args.factors,
            regularization: args.regularization,
            regularization_scaling: args.regularization_scaling,
            alpha: args.alpha,
            iterations: args.iterations,
            learning_rate: args.learning_rate,
            optimizer: args.optimizer,
            similarity: args.similarity,
            shrinkage: args.shrinkage,
            bm25_k1: args.bm25_k1,
            bm25_b: args.bm25_b,
            neighbours: args.neighbours,
            by: args.by,
            decay: args.decay,
            newest: args.newest,
            window: args.window,
            window_decay: args.window_decay,
            beta: args.beta,
            half_life: args.half_life,
            members: args.members.clone(),
        }
    }

    /// These arguments with the settings that they leave open.
    pub fn fill(&self, args: &TrainArgs) -> TrainArgs {
        let Self {
            model,
            factors,
            regularization,
            regularization_scaling,
            alpha,
            iterations,
            learning_rate,
            optimizer,
            similarity,
            shrinkage,
            bm25_k1,
            bm25_b,
            neighbours,
            by,
            decay,
            newest,
            window,
            window_decay,
            beta,
            half_life,
            members,
        } = self.clone();
        TrainArgs {
            model,
            factors: args.factors.or(factors),
            regularization: args.regularization.or(regularization),
            regularization_scaling: args.regularization_scaling.or(regularization_scaling),
            alpha: args.alpha.or(alpha),
            iterations: args.iterations.or(iterations),
            learning_rate: args.learning_rate.or(learning_rate),
            optimizer: args.optimizer.or(optimizer),
            similarity: args.similarity.or(similarity),
            shrinkage: args.shrinkage.or(shrinkage),
            bm25_k1: args.bm25_k1.or(bm25_k1),
            bm25_b: args.bm25_b.or(bm25_b),
            neighbours: args.neighbours.or(neighbours),
            by: args.by.or(by),
            decay: args.decay.or(decay),
            newest: args.newest.or(newest),
            window: args.window.or(window),
            window_decay: args.window_decay.or(window_decay),
            beta: args.beta.or(beta),
            half_life: args.half_life.or(half_life),
            members: match args.members.as_slice() {
                [] => members,
                given => given.to_vec(),
            },
            ..args.clone()
        }
    }
}

/// The arguments with the settings of their `--config`, which flags overrule.
///
/// # Errors
/// As [`ModelConfig::read`]; another model than `--model` says.
pub(crate) fn with_config(args: &TrainArgs) -> Result<TrainArgs, TrainError> {
    let Some(path) = &args.config else { return Ok(args.clone()) };
    let config = ModelConfig::read(path)?;
    // The default is no choice.
    if args.model != ModelKind::default() && args.model != config.model {
        let (given, there) = (args.model.name(), config.model.name());
        let problem = format!("it is of {there}, and --model says {given}: leave one out");
        return Err(TrainError::option("--config", problem));
    }
    Ok(config.fill(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ModelConfig, TrainError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        ModelConfig::read(file.path())
    }

    #[test]
    fn a_file_says_what_it_was_written_from() {
        let config = ModelConfig {
            model: ModelKind::UserKnn,
            similarity: Some(Similarity::Pearson),
            by: Some(NeighboursBy::Histories),
            regularization: Some(0.1),
            decay: Some(0.85),
            ..ModelConfig::default()
        };
        let text = config.to_text("from a test").expect("text");
        assert!(text.starts_with("# from a test\n"), "{text}");
        assert_eq!(read(&text).expect("read"), config);
        let args = TrainArgs { decay: Some(0.5), ..TrainArgs::new("a", "b") };
        let filled = config.fill(&args);
        assert_eq!((filled.model, filled.decay), (ModelKind::UserKnn, Some(0.5)));
        assert_eq!(ModelConfig::of(&filled), ModelConfig { decay: Some(0.5), ..config });
    }

    #[test]
    fn a_hybrid_has_members() {
        let member = |model, factors| ModelConfig { model, factors, ..ModelConfig::default() };
        let members = vec![member(ModelKind::Mf, Some(24)), member(ModelKind::Ease, None)];
        let config = ModelConfig { model: ModelKind::Hybrid, members, ..ModelConfig::default() };
        let text = config.to_text("from a test").expect("text");
        assert!(text.contains("[[members]]\nmodel = \"mf\"\nfactors = 24"), "{text}");
        assert_eq!(read(&text).expect("read"), config);
        let filled = config.fill(&TrainArgs::new("a", "b"));
        filled.validate().expect("fine");
        assert_eq!(ModelConfig::of(&filled), config);
        let refused = |members: Vec<ModelConfig>, model| {
            let config = ModelConfig { model, members, ..ModelConfig::default() };
            let args = config.fill(&TrainArgs::new("a", "b"));
            args.validate().expect_err("refused").to_string()
        };
        for (members, model, says) in [
            (vec![member(ModelKind::Ease, None)], ModelKind::Mf, "with model hybrid"),
            (vec![member(ModelKind::Bpr, None)], ModelKind::Hybrid, "bpr is no member"),
            (vec![member(ModelKind::Ease, None); 2], ModelKind::Hybrid, "ease twice"),
            (vec![member(ModelKind::Ease, Some(3))], ModelKind::Hybrid, "--factors"),
            (vec![config.clone()], ModelKind::Hybrid, "hybrid is no member"),
        ] {
            let said = refused(members, model);
            assert!(said.contains(says), "{said} does not say {says}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (text, says) in [
            ("model = \"ease\"\nlambda = 3", "lambda"),
            ("model = \"easy\"", "easy"),
            ("factors = \"many\"", "factors"),
            ("not toml", "marquee tune"),
        ] {
            let said = read(text).expect_err("refused").to_string();
            assert!(said.contains(says), "{said} does not say {says}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "model = \"ease\"").expect("written");
        let args = TrainArgs {
            config: Some(file.path().into()),
            model: ModelKind::Bpr,
            ..TrainArgs::new("a", "b")
        };
        let said = with_config(&args).expect_err("refused").to_string();
        assert!(said.contains("it is of ease, and --model says bpr"), "{said}");
    }
}
