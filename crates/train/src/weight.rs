//! From values to weights: which rows count, and how much.

use crate::csr::Csr;
use crate::error::TrainError;
use crate::interactions::Interactions;

/// What a row weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// 1, whatever its value.
    #[default]
    None,
    /// Its value: hours, plays.
    Value,
    /// ln(1 + value): a hundredth play says less than the second.
    Log,
}

impl Weight {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Value => "value",
            Self::Log => "log",
        }
    }

    /// The weight of a value.
    pub fn of(self, value: f32) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Value => value,
            Self::Log => value.ln_1p(),
        }
    }
}

/// The rows to train on: those whose value is at least `positive_at`, without users and items
/// that are left with none.
///
/// Under a weight by value, rows of value 0 say nothing and go as well.
///
/// # Errors
/// `positive_at` or a weight where the file has no values; negative values under a weight; nothing left.
pub fn positives(
    all: &Interactions,
    positive_at: Option<f32>,
    weight: Weight,
) -> Result<Interactions, TrainError> {
    if !all.has_values && positive_at.is_some() {
        let problem = "the interactions have no values: leave it out, or name their column with --value-column";
        return Err(TrainError::option("--positive-at", problem));
    }
    if weight != Weight::None {
        if !all.has_values {
            let problem = "the interactions have no values: leave it out, or name their column with --value-column";
            return Err(TrainError::option("--weight", problem));
        }
        let floor = positive_at.unwrap_or(f32::NEG_INFINITY);
        if let Some(value) = all.value.iter().find(|&&value| value >= floor && value < 0.0) {
            let problem = format!(
                "{} needs values of at least 0, and there is {value}: keep positive rows with --positive-at, \
                 or use --weight none",
                weight.name()
            );
            return Err(TrainError::option("--weight", problem));
        }
    }
    let keep = |value: f32| positive_at.is_none_or(|x| value >= x) && weight.of(value) > 0.0;
    if all.value.iter().all(|&value| keep(value)) {
        return Ok(all.clone());
    }
    let kept = all.filter_rows(|_, row| keep(all.value[row])).compact();
    if kept.is_empty() {
        let largest = all.value.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        return Err(TrainError::Data(format!(
            "no row has a value to train on (the largest is {largest}): give a lower --positive-at"
        )));
    }
    Ok(kept)
}

/// Confidences: alpha × weight of each row.
pub fn confidences(rows: &Interactions, weight: Weight, alpha: f32) -> Csr {
    Csr {
        columns: rows.items.len(),
        offsets: rows.offsets.clone(),
        indices: rows.item.clone(),
        values: rows.value.iter().map(|&value| alpha * weight.of(value)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f32]) -> Interactions {
        Interactions {
            users: vec!["u".into()],
            items: (0..values.len()).map(|n| n.to_string()).collect(),
            offsets: vec![0, values.len()],
            item: (0..values.len() as u32).collect(),
            value: values.to_vec(),
            time: Vec::new(),
            place: Vec::new(),
            has_values: true,
        }
    }

    #[test]
    fn positives_are_at_least_the_bound() {
        let kept = positives(&rows(&[3.5, 4.0, 5.0]), Some(4.0), Weight::None).expect("some");
        assert_eq!(
            (kept.items, kept.value),
            (vec!["1".to_string(), "2".to_string()], vec![4.0, 5.0])
        );
    }

    #[test]
    fn weights_become_confidences() {
        let all = rows(&[1.0, 3.0]);
        assert_eq!(confidences(&all, Weight::None, 2.0).values, [2.0, 2.0]);
        assert_eq!(confidences(&all, Weight::Value, 2.0).values, [2.0, 6.0]);
        assert_eq!(confidences(&all, Weight::Log, 1.0).values, [2f32.ln(), 4f32.ln()]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let message = |all: &Interactions, at, weight| {
            positives(all, at, weight).expect_err("refused").to_string()
        };
        assert_eq!(
            message(&rows(&[2.0, -1.0]), None, Weight::Log),
            "--weight: log needs values of at least 0, and there is -1: keep positive rows with --positive-at, \
             or use --weight none"
        );
        assert_eq!(
            message(&rows(&[1.0, 2.0]), Some(4.0), Weight::None),
            "no row has a value to train on (the largest is 2): give a lower --positive-at"
        );
        let plain = Interactions { has_values: false, ..rows(&[1.0]) };
        assert_eq!(
            message(&plain, Some(4.0), Weight::None),
            "--positive-at: the interactions have no values: leave it out, or name their column with --value-column"
        );
        let zero = positives(&rows(&[0.0, 2.0]), None, Weight::Value).expect("one row is left");
        assert_eq!(zero.items, ["1"]);
    }
}
