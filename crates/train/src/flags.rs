//! The flags of models on the command line, made from the settings of all families.

use crate::family::ModelKind;
use crate::settings::{ModelSettings, SettingInfo, SettingKind, Value};
use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

/// A flag of one or several families.
struct Flag {
    /// The setting as the first of the families has it.
    setting: SettingInfo,
    /// What can be chosen in any of the families.
    choices: Vec<PossibleValue>,
    /// The defaults, each with the families that have it.
    defaults: Vec<(String, Vec<&'static str>)>,
}

/// The flags of all families, in the order in which families have them.
fn flags() -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for kind in ModelKind::ALL {
        for setting in kind.family().settings() {
            match flags.iter_mut().find(|flag| flag.setting.name == setting.name) {
                Some(flag) => flag.add(kind.name(), &setting),
                None => flags.push(Flag::new(kind.name(), setting)),
            }
        }
    }
    flags
}

impl Flag {
    fn new(family: &'static str, setting: SettingInfo) -> Self {
        let mut flag = Self { choices: Vec::new(), defaults: Vec::new(), setting };
        let first = flag.setting.clone();
        flag.add(family, &first);
        flag
    }

    /// Adds another family's setting of the same name.
    fn add(&mut self, family: &'static str, setting: &SettingInfo) {
        for choice in &setting.choices {
            if self.choices.iter().all(|known| known.get_name() != choice.get_name()) {
                self.choices.push(choice.clone());
            }
        }
        match self.defaults.iter_mut().find(|(default, _)| *default == setting.default) {
            Some((_, families)) => families.push(family),
            None => self.defaults.push((setting.default.clone(), vec![family])),
        }
    }

    /// `help [default: mf and bpr 64; content 50]`
    fn help(&self) -> String {
        let defaults: Vec<String> = self
            .defaults
            .iter()
            .map(|(default, families)| format!("{} {default}", families.join(", ")))
            .collect();
        format!("{} [default: {}]", self.setting.help, defaults.join("; "))
    }

    fn argument(&self) -> Arg {
        let parser: ValueParser = match self.setting.kind {
            SettingKind::Count => value_parser!(i64).into(),
            SettingKind::Number => value_parser!(f64).into(),
            SettingKind::Choice => PossibleValuesParser::new(self.choices.clone()).into(),
        };
        Arg::new(self.setting.name)
            .long(self.setting.name)
            .value_name(self.setting.value_name)
            .help(self.help())
            .help_heading("Model")
            .value_parser(parser)
    }

    /// The value that was given.
    fn value(&self, matches: &ArgMatches) -> Option<Value> {
        let name = self.setting.name;
        match self.setting.kind {
            SettingKind::Count => matches.get_one(name).copied().map(Value::Count),
            SettingKind::Number => matches.get_one(name).copied().map(Value::Number),
            SettingKind::Choice => matches.get_one(name).cloned().map(Value::Choice),
        }
    }
}

impl Args for ModelSettings {
    fn augment_args(command: Command) -> Command {
        command.args(flags().iter().map(Flag::argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ModelSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flag in flags() {
            if let Some(value) = flag.value(matches) {
                self.insert(flag.setting.name, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TrainArgs;

    fn command() -> Command {
        TrainArgs::augment_args(Command::new("train"))
    }

    /// One flag is of one kind, whichever family it is given for, and says the same of all.
    #[test]
    fn families_agree_about_a_flag() {
        command().debug_assert();
        let flags = flags();
        for kind in ModelKind::ALL {
            for setting in kind.family().settings() {
                let name = format!("{} of {}", setting.name, kind.name());
                let flag = flags.iter().find(|flag| flag.setting.name == setting.name);
                let first = &flag.expect("every setting is a flag").setting;
                assert_eq!((first.kind, first.help), (setting.kind, setting.help), "{name}");
                assert_eq!(first.value_name, setting.value_name, "{name}");
            }
        }
    }

    #[test]
    fn flags_become_settings() {
        let line =
            "train --interactions a.csv --out b --factors 8 --regularization 0.5 --by vectors";
        let matches = command().try_get_matches_from(line.split(' ')).expect("parsed");
        let args = TrainArgs::from_arg_matches(&matches).expect("arguments");
        let expected = ModelSettings::default()
            .with("factors", 8)
            .with("regularization", 0.5)
            .with("by", "vectors");
        assert_eq!(args.settings, expected);
        for wrong in ["--factors many", "--by magic", "--alpha"] {
            let line = format!("train --interactions a.csv --out b {wrong}");
            assert!(command().try_get_matches_from(line.split(' ')).is_err(), "{wrong}");
        }
    }

    #[test]
    fn help_has_the_defaults_of_families() {
        let help = command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for says in [
            "Components of a factor vector [default: mf, mf-sgd, bpr, user-knn 64; content 50]",
            "[default: item-knn, user-knn, ease, rp3beta, rules all; transitions 50]",
            "[default: trending 21]",
            "[default: mf-sgd with adam 0.005, with sgd 0.01; bpr 0.05]",
        ] {
            assert!(help.contains(says), "{says} is not in:\n{help}");
        }
    }
}
