//! The walk through a grid: which settings are tried next. Pure.

use crate::family::ModelConfig;
use crate::family::grid::{Axis, Grid, Walk};
use crate::settings::{ModelSettings, SettingInfo, check_settings};

/// What became of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// It is the best so far.
    Better,
    /// Other settings are better, or as good.
    Worse,
    /// There is no time left: the walk ends.
    Over,
}

/// Walks from `start`, whose settings are given and stay. `try_one` tries settings, and is told whether they have to
/// be trained, or only asked otherwise than the best so far. The best settings.
///
/// # Errors
/// Those of `try_one`.
pub(crate) fn walk<E>(
    grid: &Grid,
    start: &ModelConfig,
    try_one: &mut dyn FnMut(&ModelConfig, bool) -> Result<Trial, E>,
) -> Result<ModelConfig, E> {
    let family = start.model.family();
    let mut walker = Walker {
        given: &start.settings,
        table: family.settings(),
        best: start.clone(),
        is_over: false,
        try_one,
    };
    for axis in &grid.axes {
        walker.walk(axis)?;
    }
    Ok(walker.best)
}

struct Walker<'a, E> {
    given: &'a ModelSettings,
    table: Vec<SettingInfo>,
    best: ModelConfig,
    is_over: bool,
    try_one: &'a mut dyn FnMut(&ModelConfig, bool) -> Result<Trial, E>,
}

impl<E> Walker<'_, E> {
    fn walk(&mut self, axis: &Axis) -> Result<(), E> {
        match axis.walk {
            Walk::Every => {
                let from = self.best.settings.clone();
                let mut tried = vec![from.clone()];
                for value in &axis.values {
                    // What is given stays, and so some values may come to the same.
                    let settings = self.given.or(value).or(&from);
                    if !tried.contains(&settings) {
                        tried.push(settings.clone());
                        self.take(settings, axis.is_trained)?;
                    }
                }
            }
            Walk::From(start) => {
                let is_given = |value: &ModelSettings| {
                    value.iter().any(|(name, _)| self.given.value(name).is_some())
                };
                if axis.values.iter().any(is_given) {
                    return Ok(());
                }
                let upwards = axis.values.get(start + 1..).unwrap_or_default().iter();
                let downwards = axis.values.get(..start).unwrap_or_default().iter().rev();
                if !self.walk_along(upwards, axis.is_trained)? {
                    self.walk_along(downwards, axis.is_trained)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the first step was better; further steps are taken as long as they are.
    fn walk_along<'v>(
        &mut self,
        values: impl Iterator<Item = &'v ModelSettings>,
        is_trained: bool,
    ) -> Result<bool, E> {
        let mut has_moved = false;
        for value in values {
            if !self.take(value.or(&self.best.settings), is_trained)? {
                break;
            }
            has_moved = true;
        }
        Ok(has_moved)
    }

    /// Tries settings, and says whether they are the best now.
    fn take(&mut self, settings: ModelSettings, is_trained: bool) -> Result<bool, E> {
        // Settings that do not go together, such as a parameter of another similarity.
        let is_allowed = check_settings(self.best.model.name(), &self.table, &settings).is_ok();
        if self.is_over || !is_allowed {
            return Ok(false);
        }
        let config = ModelConfig { settings, ..self.best.clone() };
        let trial = (self.try_one)(&config, is_trained)?;
        self.is_over = trial == Trial::Over;
        if trial == Trial::Better {
            self.best = config;
        }
        Ok(trial == Trial::Better)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::ModelKind;
    use std::convert::Infallible;

    /// The trials of a walk of `item-knn` in order, as text, and the best settings. The value of settings is said by
    /// `value_of`.
    fn walked(
        axes: Vec<Axis>,
        given: ModelSettings,
        value_of: impl Fn(&ModelSettings) -> f64,
    ) -> (Vec<String>, String) {
        let start = ModelConfig { settings: given, ..ModelConfig::of(ModelKind::ItemKnn) };
        let mut best = value_of(&start.settings);
        let mut tried = Vec::new();
        let found = walk(&Grid::of(axes), &start, &mut |config, is_trained| {
            tried.push(format!("{}{}", text(&config.settings), if is_trained { "" } else { "*" }));
            let value = value_of(&config.settings);
            let is_better = value > best;
            best = best.max(value);
            Ok::<_, Infallible>(if is_better { Trial::Better } else { Trial::Worse })
        });
        let Ok(found) = found;
        (tried, text(&found.settings))
    }

    fn text(settings: &ModelSettings) -> String {
        settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    fn number(settings: &ModelSettings, name: &str, default: f64) -> f64 {
        settings.value(name).map_or(default, |value| value.to_string().parse().expect("a number"))
    }

    fn b() -> Axis {
        Axis::line("bm25-b", &[0.0, 0.25, 0.5, 0.75], 1)
    }

    fn near(target: f64) -> impl Fn(&ModelSettings) -> f64 {
        move |settings| -(number(settings, "bm25-b", 0.25) - target).abs()
    }

    #[test]
    fn a_line_is_walked_as_long_as_it_gets_better() {
        let none = ModelSettings::default;
        let (tried, best) = walked(vec![b()], none(), near(0.5));
        assert_eq!(tried, ["bm25-b=0.5", "bm25-b=0.75"]);
        assert_eq!(best, "bm25-b=0.5");
        let (tried, best) = walked(vec![b()], none(), near(0.0));
        assert_eq!((tried.join(", "), best.as_str()), ("bm25-b=0.5, bm25-b=0".into(), "bm25-b=0"));
        let (tried, best) = walked(vec![b()], none(), near(0.25));
        assert_eq!((tried.len(), best.as_str()), (2, ""), "the fixed settings are the best");
    }

    #[test]
    fn what_is_given_is_not_searched() {
        let given = || ModelSettings::default().with("bm25-b", 0.9);
        assert_eq!(walked(vec![b()], given(), near(0.0)), (vec![], "bm25-b=0.9".into()));
        // Of pairs the other setting is searched, each value once.
        let pair = |b: f64, k1: f64| ModelSettings::default().with("bm25-b", b).with("bm25-k1", k1);
        let pairs = Axis::every(vec![pair(0.0, 1.0), pair(0.5, 1.0), pair(0.5, 2.0)]);
        let by_k1 = |settings: &ModelSettings| number(settings, "bm25-k1", 0.5);
        let (tried, best) = walked(vec![pairs], given(), by_k1);
        assert_eq!(tried, ["bm25-b=0.9 bm25-k1=1", "bm25-b=0.9 bm25-k1=2"]);
        assert_eq!(best, "bm25-b=0.9 bm25-k1=2");
    }

    #[test]
    fn settings_that_do_not_go_together_are_not_tried() {
        let similarity = Axis::every(vec![ModelSettings::default().with("similarity", "cosine")]);
        let decay = Axis::line("decay", &[0.9, 1.0], 0).of_requests();
        let is_cosine =
            |settings: &ModelSettings| f64::from(u8::from(settings.value("similarity").is_some()));
        let (tried, best) =
            walked(vec![similarity, b(), decay], ModelSettings::default(), is_cosine);
        assert_eq!(tried, ["similarity=cosine", "decay=1 similarity=cosine*"]);
        assert_eq!(best, "similarity=cosine");
    }

    #[test]
    fn a_walk_ends_when_the_time_is_over() {
        let start = ModelConfig::of(ModelKind::ItemKnn);
        let mut trials = 0;
        let found = walk(&Grid::of(vec![b(), b()]), &start, &mut |_, _| {
            trials += 1;
            Ok::<_, Infallible>(Trial::Over)
        });
        assert_eq!((found, trials), (Ok(start), 1));
    }
}
