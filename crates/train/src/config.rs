//! Settings of a model in a file: what `marquee tune` writes and `marquee train --config` reads.
//!
//! A file names a family (`model = "ease"`) and settings as the flags of `marquee train` are named; a hybrid's has
//! the same of each member in `[[members]]`.

use crate::error::TrainError;
use crate::family::{ModelConfig, ModelKind};
use crate::settings::{ModelSettings, SettingInfo, Value};
use clap::ValueEnum as _;
use marquee_bundle::read_text_input;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of a file of settings: it has a few dozen lines.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A file as TOML, before its names are checked.
#[derive(Deserialize)]
struct RawConfig {
    model: Option<String>,
    #[serde(default)]
    members: Vec<RawConfig>,
    #[serde(flatten)]
    settings: BTreeMap<String, RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawValue {
    Count(i64),
    Number(f64),
    Name(String),
}

impl Serialize for ModelConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &self.model)?;
        for (name, value) in self.settings.iter() {
            map.serialize_entry(name, value)?;
        }
        // Tables come last in TOML.
        if !self.members.is_empty() {
            map.serialize_entry("members", &self.members)?;
        }
        map.end()
    }
}

impl ModelConfig {
    /// Reads the settings from a file.
    ///
    /// # Errors
    /// A file that can't be read or is no TOML, a setting that is unknown or of another kind.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let length = fs_err::metadata(path).map_err(TrainError::io(path))?.len();
        if length > MAX_CONFIG_BYTES {
            let problem = format!("{length} bytes: at most {MAX_CONFIG_BYTES} are allowed");
            return Err(TrainError::format(path, problem));
        }
        let text = read_text_input(path, MAX_CONFIG_BYTES).map_err(TrainError::io(path))?;
        Self::parse(&text).map_err(|problem| {
            let problem = format!("{}: see what `marquee tune` writes", problem.trim());
            TrainError::format(path, problem)
        })
    }

    /// Parses the text of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        known(raw)
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
}

/// A config of known names, each with a value of its kind.
fn known(raw: RawConfig) -> Result<ModelConfig, String> {
    let model = match &raw.model {
        None => ModelKind::default(),
        Some(name) => ModelKind::from_str(name, false).map_err(|_| {
            let all: Vec<&str> = ModelKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("{name} is no model: take one of {}", all.join(", "))
        })?,
    };
    let all: Vec<SettingInfo> =
        ModelKind::ALL.iter().flat_map(|kind| kind.family().settings()).collect();
    let mut settings = ModelSettings::default();
    for (name, value) in raw.settings {
        let value = match value {
            RawValue::Count(count) => Value::Count(count),
            RawValue::Number(number) => Value::Number(number),
            RawValue::Name(name) => Value::Choice(name),
        };
        // The model's own first: families may give one name different choices.
        let own = model.family().settings();
        let Some(setting) = own.iter().chain(&all).find(|setting| setting.name == name) else {
            let own: Vec<&str> = own.iter().map(|setting| setting.name).collect();
            let taken = format!("{} takes {}", model.name(), own.join(", "));
            return Err(format!("{name} is no setting: {taken}"));
        };
        settings.insert(&name, setting.of_its_kind(value).map_err(|e| format!("{name}: {e}"))?);
    }
    let members = raw.members.into_iter().map(known).collect::<Result<Vec<_>, _>>()?;
    Ok(ModelConfig { model, settings, members, weight: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TrainArgs;

    fn read(text: &str) -> Result<ModelConfig, TrainError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        ModelConfig::read(file.path())
    }

    #[test]
    fn a_file_says_what_it_was_written_from() {
        let config = ModelConfig::of(ModelKind::UserKnn)
            .with("similarity", "pearson")
            .with("by", "histories")
            .with("neighbours", 50)
            .with("decay", 0.85);
        let text = config.to_text("from a test").expect("text");
        assert!(text.starts_with("# from a test\n"), "{text}");
        assert_eq!(read(&text).expect("read"), config);
        let args = TrainArgs {
            settings: ModelSettings::default().with("decay", 0.5),
            ..TrainArgs::new("a", "b")
        };
        let filled = args.or_config(&config);
        assert_eq!(filled.model, ModelKind::UserKnn);
        assert_eq!(filled.model_config(), config.with("decay", 0.5));
        // A whole number is a number.
        let whole = read("model = \"ease\"\nregularization = 3").expect("read");
        assert_eq!(whole, ModelConfig::of(ModelKind::Ease).with("regularization", 3.0));
    }

    #[test]
    fn a_hybrid_has_members() {
        let of = ModelConfig::of;
        let members = vec![of(ModelKind::Mf).with("factors", 24), of(ModelKind::Ease)];
        let config = ModelConfig { members, ..of(ModelKind::Hybrid) };
        let text = config.to_text("from a test").expect("text");
        assert!(text.contains("[[members]]\nmodel = \"mf\"\nfactors = 24"), "{text}");
        assert_eq!(read(&text).expect("read"), config);
        let filled = TrainArgs::new("a", "b").or_config(&config);
        filled.validate().expect("fine");
        assert_eq!(filled.model_config(), config);
        for (members, model, says) in [
            (vec![of(ModelKind::Ease)], ModelKind::Mf, "with model hybrid"),
            (vec![of(ModelKind::Bpr)], ModelKind::Hybrid, "bpr is no member"),
            (vec![of(ModelKind::Ease); 2], ModelKind::Hybrid, "ease twice"),
            (vec![of(ModelKind::Ease).with("factors", 3)], ModelKind::Hybrid, "--factors"),
            (vec![of(ModelKind::Ease).with("decay", 3.0)], ModelKind::Hybrid, "--decay"),
            (vec![config.clone()], ModelKind::Hybrid, "hybrid is no member"),
        ] {
            let config = ModelConfig { members, ..of(model) };
            let args = TrainArgs::new("a", "b").or_config(&config);
            let said = args.validate().expect_err("refused").to_string();
            assert!(said.contains(says), "{said} does not say {says}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (text, says) in [
            ("model = \"ease\"\nlambda = 3", "lambda"),
            ("model = \"easy\"", "easy"),
            ("factors = \"many\"", "factors"),
            ("neighbours = 2.5", "neighbours"),
            ("decay = \"slow\"", "decay"),
            ("model = \"item-knn\"\nsimilarity = 3", "similarity"),
            ("members = [{ model = \"ease\", lambda = 3 }]", "lambda"),
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
        let said = args.with_config_file().expect_err("refused").to_string();
        assert!(said.contains("it is of ease, and --model says bpr"), "{said}");
    }
}
