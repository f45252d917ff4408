//! Values of settings, as flags and config files give them.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What values a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingKind {
    /// Whole numbers: counts of factors, rounds or neighbours.
    Count,
    /// Numbers with decimal places: rates, weights and powers.
    Number,
    /// One name of those that the setting lists.
    Choice,
}

/// The value of one setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// The whole number of a setting that counts something.
    Count(i64),
    /// The number of a setting with decimal places.
    Number(f64),
    /// One of the names that the setting has.
    Choice(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Choice(name) => write!(f, "{name}"),
        }
    }
}

impl From<i32> for Value {
    fn from(count: i32) -> Self {
        Self::Count(count.into())
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(name: &str) -> Self {
        Self::Choice(name.into())
    }
}

/// The settings of a model that were given, by name (`bm25-k1`); all others have their family's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ModelSettings {
    given: BTreeMap<String, Value>,
}

impl ModelSettings {
    /// These settings with one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.insert(name, value.into());
        self
    }

    /// Adds a setting, or replaces its value.
    pub fn insert(&mut self, name: &str, value: Value) {
        self.given.insert(name.into(), value);
    }

    /// Whether no setting is given.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// The given value of this name.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.given.get(name)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.given.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// These settings, and those of `others` that are not among them.
    pub(crate) fn or(&self, others: &Self) -> Self {
        let mut given = others.given.clone();
        given.extend(self.given.clone());
        Self { given }
    }

    /// Takes a setting out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.given.remove(name);
    }
}
