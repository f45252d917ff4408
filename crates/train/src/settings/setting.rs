//! The declaration of one setting, and the checks that follow from it.

use super::search::SearchRange;
use super::values::{ModelSettings, SettingKind, Value};
use crate::error::TrainError;
use clap::ValueEnum;
use clap::builder::PossibleValue;

/// A setting of a family, of type `T`; a constant in the family's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<T> {
    /// As in a config file, and with two dashes the flag: `bm25-k1`.
    pub(crate) name: &'static str,
    /// What holds where the setting is not given.
    pub(crate) default: T,
    help: &'static str,
    bounds: Bounds,
    /// What stands for a value in `--help`, where it is not what [`SettingKind`] has.
    value_name: Option<&'static str>,
    /// What `--help` says of the default, where that is no value.
    default_words: Option<&'static str>,
    search: Option<SearchRange>,
    only_with: Option<Condition>,
}

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bounds {
    /// A whole number from the first to the second.
    Counts(u64, u64),
    /// A finite number of at least 0.
    AtLeastZero,
    /// A finite number above 0.
    AboveZero,
    /// A number above 0, up to this one.
    AboveZeroTo(f64),
    /// A number from the first to the second.
    Within(f64, f64),
    /// One of the choices of its type.
    Choices,
}

/// A setting goes with some values of another one only, which is a choice of the same family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Condition {
    setting: &'static str,
    values: &'static [&'static str],
}

/// A type that a setting can have.
pub(crate) trait SettingValue: Copy {
    /// What values it has.
    const KIND: SettingKind;

    /// The value in this type; none where it is of another kind.
    fn read(value: &Value) -> Option<Self>;

    /// As on the command line; none where there is no value.
    fn text(self) -> Option<String>;

    /// All names, of choices.
    fn choices() -> Vec<PossibleValue> {
        Vec::new()
    }
}

impl<T: SettingValue> Setting<T> {
    /// A setting by its name, help, bounds and default.
    pub(crate) const fn new(
        name: &'static str,
        help: &'static str,
        bounds: Bounds,
        default: T,
    ) -> Self {
        Self {
            name,
            default,
            help,
            bounds,
            value_name: None,
            default_words: None,
            search: None,
            only_with: None,
        }
    }

    /// The same with another default.
    pub(crate) const fn with_default(self, default: T) -> Self {
        Self { default, ..self }
    }

    /// The same with other bounds.
    pub(crate) const fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The same, whose values are called this in `--help`.
    pub(crate) const fn measured_in(self, value_name: &'static str) -> Self {
        Self { value_name: Some(value_name), ..self }
    }

    /// The same with these words about the default.
    pub(crate) const fn described_default(self, words: &'static str) -> Self {
        Self { default_words: Some(words), ..self }
    }

    /// The same without a default of its own: what holds is decided by what these words say.
    pub(crate) const fn without_default(self, words: &'static str) -> Setting<Option<T>> {
        Setting {
            name: self.name,
            default: None,
            help: self.help,
            bounds: self.bounds,
            value_name: self.value_name,
            default_words: Some(words),
            search: self.search,
            only_with: self.only_with,
        }
    }

    /// The same, searched by `marquee tune`.
    pub(crate) const fn searched(self, search: SearchRange) -> Self {
        Self { search: Some(search), ..self }
    }

    /// The same, only together with these values of another setting.
    pub(crate) const fn only_with(
        self,
        setting: &'static str,
        values: &'static [&'static str],
    ) -> Self {
        Self { only_with: Some(Condition { setting, values }), ..self }
    }

    /// What all types of settings have in common.
    pub(crate) fn info(&self) -> SettingInfo {
        let default = self.default_words.map(str::to_owned).or_else(|| self.default.text());
        SettingInfo {
            name: self.name,
            help: self.help,
            value_name: self.value_name.unwrap_or(match T::KIND {
                SettingKind::Count => "N",
                SettingKind::Number => "X",
                SettingKind::Choice => "HOW",
            }),
            kind: T::KIND,
            bounds: self.bounds,
            default: default.unwrap_or_default(),
            choices: T::choices(),
            search: self.search,
            only_with: self.only_with,
        }
    }
}

impl ModelSettings {
    /// Whether this setting is given.
    pub(crate) fn has<T>(&self, setting: &Setting<T>) -> bool {
        self.value(setting.name).is_some()
    }

    /// The given value of a setting, or its default.
    pub(crate) fn get<T: SettingValue>(&self, setting: &Setting<T>) -> T {
        self.value(setting.name).and_then(T::read).unwrap_or(setting.default)
    }
}

/// A setting of any type.
#[derive(Clone, Debug)]
pub(crate) struct SettingInfo {
    /// As in a config file.
    pub(crate) name: &'static str,
    /// What it does, for `--help`.
    pub(crate) help: &'static str,
    /// What stands for a value in `--help`.
    pub(crate) value_name: &'static str,
    /// What values it has.
    pub(crate) kind: SettingKind,
    /// What they have to be.
    pub(crate) bounds: Bounds,
    /// The default, for `--help`.
    pub(crate) default: String,
    /// The names that can be chosen, with what they mean.
    pub(crate) choices: Vec<PossibleValue>,
    /// Where `marquee tune` searches it; none where it does not.
    pub(crate) search: Option<SearchRange>,
    /// The settings that it goes with.
    pub(crate) only_with: Option<Condition>,
}

impl SettingInfo {
    /// As on the command line.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    /// The value as one of the setting's kind; whole numbers are numbers, too.
    ///
    /// # Errors
    /// What it is not.
    pub(crate) fn of_its_kind(&self, value: Value) -> Result<Value, String> {
        match (self.kind, value) {
            (SettingKind::Number, Value::Count(count)) => Ok(Value::Number(count as f64)),
            (SettingKind::Count, value @ Value::Count(_))
            | (SettingKind::Number, value @ Value::Number(_))
            | (SettingKind::Choice, value @ Value::Choice(_)) => Ok(value),
            (SettingKind::Count, value) => Err(format!("{value} is no whole number")),
            (SettingKind::Number, value) => Err(format!("{value} is no number")),
            (SettingKind::Choice, value) => Err(format!("{value} is no name")),
        }
    }

    /// Refuses a value of another kind or out of bounds; `model` is whose setting it is.
    fn check(&self, model: &str, value: &Value) -> Result<(), TrainError> {
        let problem = match self.of_its_kind(value.clone()) {
            Err(problem) => Some(problem),
            Ok(Value::Count(count)) => self.problem_of_count(count),
            Ok(Value::Number(number)) => problem_of_number(self.bounds, number),
            Ok(Value::Choice(name)) => self.problem_of_choice(model, &name),
        };
        match problem {
            Some(problem) => Err(TrainError::option(self.flag(), problem)),
            None => Ok(()),
        }
    }

    fn problem_of_count(&self, count: i64) -> Option<String> {
        let Bounds::Counts(low, high) = self.bounds else { return None };
        let is_in = u64::try_from(count).is_ok_and(|n| (low..=high).contains(&n));
        (!is_in).then(|| format!("{count} is not in {low} to {high}"))
    }

    fn problem_of_choice(&self, model: &str, name: &str) -> Option<String> {
        let known: Vec<&str> = self.choices.iter().map(PossibleValue::get_name).collect();
        let is_known = known.contains(&name);
        (!is_known).then(|| format!("{name} is not for --model {model}: take {}", either(&known)))
    }

    /// Whether the settings that it goes with have the values that it goes with.
    fn suits(&self, table: &[SettingInfo], settings: &ModelSettings) -> bool {
        let Some(condition) = self.only_with else { return true };
        let other = match settings.value(condition.setting) {
            Some(value) => value.to_string(),
            None => table
                .iter()
                .find(|other| other.name == condition.setting)
                .map(|other| other.default.clone())
                .unwrap_or_default(),
        };
        condition.values.contains(&other.as_str())
    }
}

/// What is wrong with a number.
fn problem_of_number(bounds: Bounds, x: f64) -> Option<String> {
    let (is_in, wanted) = match bounds {
        Bounds::AtLeastZero => (x.is_finite() && x >= 0.0, "a finite number of at least 0".into()),
        Bounds::AboveZero => (x.is_finite() && x > 0.0, "a finite number above 0".into()),
        Bounds::AboveZeroTo(high) => (x > 0.0 && x <= high, format!("above 0 and at most {high}")),
        Bounds::Within(low, high) => ((low..=high).contains(&x), format!("in {low} to {high}")),
        Bounds::Counts(..) | Bounds::Choices => return None,
    };
    (!is_in).then(|| format!("{x} is not {wanted}"))
}

/// Refuses settings that a family does not have, that are out of bounds, or that do not go together.
///
/// # Errors
/// The first such setting.
pub(crate) fn check_settings(
    model: &str,
    table: &[SettingInfo],
    settings: &ModelSettings,
) -> Result<(), TrainError> {
    for (name, value) in settings.iter() {
        let Some(setting) = table.iter().find(|setting| setting.name == name) else {
            let flags: Vec<String> = table.iter().map(SettingInfo::flag).collect();
            let taken = if flags.is_empty() {
                "takes no flags of its own".into()
            } else {
                format!("takes {}", flags.join(", "))
            };
            let problem = format!("--model {model} has no use for it and {taken}");
            return Err(TrainError::option(format!("--{name}"), problem));
        };
        setting.check(model, value)?;
    }
    for setting in table.iter().filter(|setting| settings.value(setting.name).is_some()) {
        if let Some(condition) = setting.only_with.filter(|_| !setting.suits(table, settings)) {
            let (other, values) = (condition.setting, either(condition.values));
            let problem = format!("it goes with --{other} {values} only: leave it out");
            return Err(TrainError::option(setting.flag(), problem));
        }
    }
    Ok(())
}

/// Settings at random, of those that are searched on such data. As many random numbers are drawn whatever their
/// values, so a draw depends on those before it only by their number.
pub(crate) fn draw_settings(
    table: &[SettingInfo],
    has_times: bool,
    random: &mut crate::random::Random,
) -> ModelSettings {
    let mut drawn = ModelSettings::default();
    for setting in table {
        if let Some(search) = setting.search.filter(|search| search.is_for(has_times)) {
            drawn.insert(setting.name, search.draw(setting.kind, &setting.choices, random));
        }
    }
    let all = drawn.clone();
    for setting in table.iter().filter(|setting| !setting.suits(table, &all)) {
        drawn.remove(setting.name);
    }
    drawn
}

/// `a, b or c`.
pub(crate) fn either(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The name of a choice, as on the command line.
pub(crate) fn choice_name<E: ValueEnum>(choice: E) -> String {
    choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Makes an enum with `ValueEnum` the type of a setting.
macro_rules! choice_value {
    ($choice:ty) => {
        impl $crate::settings::setting::SettingValue for $choice {
            const KIND: $crate::settings::values::SettingKind =
                $crate::settings::values::SettingKind::Choice;

            fn read(value: &$crate::settings::values::Value) -> Option<Self> {
                match value {
                    $crate::settings::values::Value::Choice(name) => {
                        <Self as clap::ValueEnum>::from_str(name, false).ok()
                    }
                    _ => None,
                }
            }

            fn text(self) -> Option<String> {
                Some($crate::settings::setting::choice_name(self))
            }

            fn choices() -> Vec<clap::builder::PossibleValue> {
                let all = <Self as clap::ValueEnum>::value_variants();
                all.iter().filter_map(clap::ValueEnum::to_possible_value).collect()
            }
        }
    };
}
pub(crate) use choice_value;

/// Makes a type of numbers the type of a setting.
macro_rules! number_value {
    ($number:ty, $kind:ident) => {
        impl SettingValue for $number {
            const KIND: SettingKind = SettingKind::$kind;

            fn read(value: &Value) -> Option<Self> {
                match *value {
                    Value::Count(count) => Some(count as Self),
                    Value::Number(number) => Some(number as Self),
                    Value::Choice(_) => None,
                }
            }

            fn text(self) -> Option<String> {
                Some(self.to_string())
            }
        }
    };
}
number_value!(usize, Count);
number_value!(u32, Count);
number_value!(f32, Number);
number_value!(f64, Number);

impl<T: SettingValue> SettingValue for Option<T> {
    const KIND: SettingKind = T::KIND;

    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn text(self) -> Option<String> {
        self.and_then(T::text)
    }

    fn choices() -> Vec<PossibleValue> {
        T::choices()
    }
}
