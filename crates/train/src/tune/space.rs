//! What can be tuned of each family, and within which bounds.
//!
//! A setting is drawn from its range at random: where what matters is its order of magnitude, from the
//! logarithms. A few settings matter and which ones differs between data sets, so random draws find good ones
//! sooner than a grid does (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization").

use crate::config::ModelConfig;
use crate::options::{ModelKind, Similarity};
use crate::random::Random;

/// One setting.
pub(super) struct Setting {
    /// How it is drawn.
    range: Range,
    /// Where it is put.
    put: fn(&mut ModelConfig, f64),
}

enum Range {
    /// Between the two.
    Even(f64, f64),
    /// Between the two, by logarithms.
    Log(f64, f64),
    /// A number from 0 to below this, for one of a list.
    OneOf(usize),
}

impl Range {
    fn draw(&self, random: &mut Random) -> f64 {
        let share = f64::from(random.uniform());
        match *self {
            Self::Even(low, high) => low + share * (high - low),
            Self::Log(low, high) => (low.ln() + share * (high.ln() - low.ln())).exp(),
            Self::OneOf(count) => (share * count as f64).floor(),
        }
    }
}

/// To three digits: more are chance, and a file with them is hard to read.
fn rounded(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let scale = 10f64.powf(2.0 - x.abs().log10().floor());
    (x * scale).round() / scale
}

const SIMILARITIES: [Similarity; 4] =
    [Similarity::Cosine, Similarity::Jaccard, Similarity::Bm25, Similarity::TfIdf];

const fn log(low: f64, high: f64, put: fn(&mut ModelConfig, f64)) -> Setting {
    Setting { range: Range::Log(low, high), put }
}

const fn even(low: f64, high: f64, put: fn(&mut ModelConfig, f64)) -> Setting {
    Setting { range: Range::Even(low, high), put }
}

fn factors(config: &mut ModelConfig, x: f64) {
    config.factors = Some((x.round() as usize).next_multiple_of(8));
}

fn regularization(config: &mut ModelConfig, x: f64) {
    config.regularization = Some(rounded(x) as f32);
}

fn neighbours(config: &mut ModelConfig, x: f64) {
    config.neighbours = Some(rounded(x.round()) as usize);
}

fn decay(config: &mut ModelConfig, x: f64) {
    config.decay = Some(rounded(x));
}

fn iterations(config: &mut ModelConfig, x: f64) {
    config.iterations = Some(x.round() as usize);
}

fn learning_rate(config: &mut ModelConfig, x: f64) {
    config.learning_rate = Some(rounded(x) as f32);
}

/// What is tuned of a family; nothing of popularity, which has no settings, and of a hybrid, whose members have.
pub(super) fn settings(model: ModelKind, has_times: bool) -> Vec<Setting> {
    let mut settings = match model {
        ModelKind::Mf => vec![
            log(16.0, 256.0, factors),
            log(0.1, 100.0, regularization),
            log(0.3, 30.0, |config, x| config.alpha = Some(rounded(x) as f32)),
            even(8.0, 24.0, iterations),
        ],
        ModelKind::MfSgd => vec![
            log(8.0, 128.0, factors),
            log(0.005, 0.5, regularization),
            log(0.001, 0.03, learning_rate),
            even(10.0, 60.0, iterations),
        ],
        ModelKind::Bpr => vec![
            log(16.0, 256.0, factors),
            log(0.001, 0.1, regularization),
            log(0.01, 0.2, learning_rate),
            even(30.0, 200.0, iterations),
        ],
        ModelKind::ItemKnn => vec![
            log(20.0, 500.0, neighbours),
            Setting { range: Range::OneOf(SIMILARITIES.len()), put: similarity },
            // Of what is drawn, `settled` keeps what goes with the similarity.
            log(0.1, 3.0, |config, x| config.bm25_k1 = Some(rounded(x) as f32)),
            even(0.0, 1.0, |config, x| config.bm25_b = Some(rounded(x) as f32)),
            log(0.3, 300.0, |config, x| config.shrinkage = Some(rounded(x) as f32)),
        ],
        ModelKind::UserKnn => vec![log(20.0, 500.0, neighbours)],
        ModelKind::Ease => vec![log(10.0, 3_000.0, regularization)],
        ModelKind::Rp3beta => vec![
            even(0.0, 1.0, |config, x| config.beta = Some(rounded(x) as f32)),
            log(50.0, 1_000.0, neighbours),
        ],
        ModelKind::Transitions => vec![
            log(2.0, 50.0, |config, x| config.window = Some(x.round() as usize)),
            even(0.5, 1.0, |config, x| config.window_decay = Some(rounded(x))),
            log(5.0, 200.0, |config, x| config.newest = Some(x.round() as u32)),
        ],
        ModelKind::Content => vec![log(16.0, 400.0, factors)],
        ModelKind::Trending => {
            vec![log(0.5, 1_000.0, |config, x| config.half_life = Some(rounded(x)))]
        }
        ModelKind::Popularity | ModelKind::Hybrid => return Vec::new(),
    };
    let by_history = matches!(
        model,
        ModelKind::ItemKnn
            | ModelKind::UserKnn
            | ModelKind::Ease
            | ModelKind::Rp3beta
            | ModelKind::Transitions
            | ModelKind::Content
    );
    if by_history && has_times {
        settings.push(even(0.5, 1.0, decay));
    }
    settings
}

fn similarity(config: &mut ModelConfig, x: f64) {
    config.similarity = SIMILARITIES.get(x as usize).copied();
}

/// Settings at random. Of each as many numbers are drawn, so a draw depends on those before only by number.
pub(super) fn draw(model: ModelKind, settings: &[Setting], random: &mut Random) -> ModelConfig {
    let mut config = ModelConfig { model, ..ModelConfig::default() };
    for Setting { range, put } in settings {
        put(&mut config, range.draw(random));
    }
    settled(config)
}

/// Without what does not go with its similarity.
fn settled(mut config: ModelConfig) -> ModelConfig {
    match config.similarity {
        Some(Similarity::Bm25) => config.shrinkage = None,
        _ => (config.bm25_k1, config.bm25_b) = (None, None),
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TrainArgs;
    use clap::ValueEnum as _;

    #[test]
    fn whatever_is_drawn_can_be_trained() {
        for &model in ModelKind::value_variants() {
            let settings = settings(model, true);
            let mut random = Random::new(7);
            let mut seen = Vec::new();
            for _ in 0..200 {
                let config = draw(model, &settings, &mut random);
                let args = config.fill(&TrainArgs::new("in", "out"));
                args.validate().unwrap_or_else(|error| panic!("{}: {error}", model.name()));
                seen.push(config);
            }
            assert!(settings.is_empty() || seen.iter().any(|other| *other != seen[0]));
        }
    }

    #[test]
    fn three_digits_are_enough() {
        for (x, expected) in [(1234.5, 1230.0), (0.012_345, 0.0123), (0.999_9, 1.0), (0.0, 0.0)] {
            assert!((rounded(x) - expected).abs() < 1e-12, "{x}");
        }
    }
}
