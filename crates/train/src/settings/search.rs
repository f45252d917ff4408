//! Where `marquee tune` searches a setting.
//!
//! A value is drawn from its range at random: where what matters is its order of magnitude, from the
//! logarithms. A few settings matter and which ones differs between data sets, so random draws find good ones
//! sooner than a grid does (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization").

use super::values::{SettingKind, Value};
use crate::random::Random;
use clap::builder::PossibleValue;

/// How a setting is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SearchRange {
    range: Range,
    /// Counts are rounded up to a multiple of this.
    multiple_of: u64,
    /// Whether it is searched only where interactions have times.
    needs_times: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    /// Between the two, evenly.
    Even(f64, f64),
    /// Between the two, evenly by logarithms.
    Log(f64, f64),
    /// One of the setting's choices.
    OneOf,
}

/// Drawn evenly between the two.
pub(crate) const fn even(low: f64, high: f64) -> SearchRange {
    SearchRange { range: Range::Even(low, high), multiple_of: 1, needs_times: false }
}

/// Drawn between the two, evenly by logarithms.
pub(crate) const fn log(low: f64, high: f64) -> SearchRange {
    SearchRange { range: Range::Log(low, high), multiple_of: 1, needs_times: false }
}

/// One of the setting's choices.
pub(crate) const fn one_of() -> SearchRange {
    SearchRange { range: Range::OneOf, multiple_of: 1, needs_times: false }
}

impl SearchRange {
    /// The same, rounded up to multiples.
    pub(crate) const fn in_multiples_of(self, multiple_of: u64) -> Self {
        Self { multiple_of, ..self }
    }

    /// The same, only where interactions have times.
    pub(crate) const fn where_there_are_times(self) -> Self {
        Self { needs_times: true, ..self }
    }

    /// Whether the setting is searched on such data.
    pub(crate) fn is_for(&self, has_times: bool) -> bool {
        has_times || !self.needs_times
    }

    /// A value for a setting of this kind, with these choices. Each draw takes one random number.
    pub(crate) fn draw(
        &self,
        kind: SettingKind,
        choices: &[PossibleValue],
        random: &mut Random,
    ) -> Value {
        let share = f64::from(random.uniform());
        let drawn = match self.range {
            Range::Even(low, high) => low + share * (high - low),
            Range::Log(low, high) => (low.ln() + share * (high.ln() - low.ln())).exp(),
            Range::OneOf => (share * choices.len() as f64).floor(),
        };
        match kind {
            SettingKind::Number => Value::Number(rounded(drawn)),
            SettingKind::Count => {
                let count = rounded(drawn.round()) as u64;
                Value::Count(count.next_multiple_of(self.multiple_of).cast_signed())
            }
            SettingKind::Choice => {
                let choice = choices.get(drawn as usize);
                Value::Choice(choice.map_or_else(String::new, |c| c.get_name().to_owned()))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        for (x, expected) in [(1234.5, 1230.0), (0.012_345, 0.0123), (0.999_9, 1.0), (0.0, 0.0)] {
            assert!((rounded(x) - expected).abs() < 1e-12, "{x}");
        }
    }
}
