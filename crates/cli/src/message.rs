//! Protobuf messages as text: JSON for scripts, and files that users write.
//!
//! Both directions follow the protos by reflection: a field that is added to a proto is at once in `--json`
//! and in files. JSON follows protobuf's own mapping, as grpcurl prints it (`weightBasisPoints`), except that
//! 64-bit numbers are numbers. Files may use those names or the ones of the protos (`weight_basis_points`).

use marquee_bundle::read_text_input;
use marquee_proto::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Upper bound of the bytes of a file: an ensemble has at most a few dozen nodes.
const MAX_FILE_BYTES: u64 = 1 << 20;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET)
        .expect("the build made the descriptors from valid protos")
});

/// Why a file cannot be read as a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageFileError {
    /// It could not be read; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Its name has no known extension.
    #[error("{path}: the name must end in .yaml, .yml, .json or .toml", path = path.display())]
    Extension {
        /// The path of the file.
        path: PathBuf,
    },
    /// It is too long.
    #[error("{path} has {bytes} bytes: at most {MAX_FILE_BYTES} are allowed", path = path.display())]
    TooLong {
        /// The path of the file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
    },
    /// It does not fit the proto.
    #[error("{path}: {reason}; the fields are those of {message} in proto/", path = path.display())]
    Content {
        /// The path of the file.
        path: PathBuf,
        /// The message that it should be.
        message: &'static str,
        /// What is wrong, with the place.
        reason: String,
    },
}

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).expect("callers name messages that the protos define")
}

/// The JSON of `message`, which is a `name` such as `marquee.control.v1.Plan`.
pub fn to_json(name: &'static str, message: &impl Message) -> serde_json::Value {
    let mut dynamic = DynamicMessage::new(descriptor(name));
    dynamic.transcode_from(message).expect("a message decodes by its own descriptor");
    let options =
        SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("every message has a JSON form")
}

/// Reads a YAML, JSON or TOML file, told apart by its name, that holds one message called `name`.
/// Unknown fields are refused.
pub fn read_file<M: Message + Default>(
    path: &Path,
    name: &'static str,
) -> Result<M, MessageFileError> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    if !["yaml", "yml", "json", "toml"].contains(&extension.as_str()) {
        return Err(MessageFileError::Extension { path: path.into() });
    }
    let bytes = fs_err::metadata(path)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(MessageFileError::TooLong { path: path.into(), bytes });
    }
    let text = read_text_input(path, MAX_FILE_BYTES)?;
    parse(&extension, &text, name).map_err(|reason| MessageFileError::Content {
        path: path.into(),
        message: name,
        reason,
    })
}

fn parse<M: Message + Default>(
    extension: &str,
    text: &str,
    name: &'static str,
) -> Result<M, String> {
    let descriptor = descriptor(name);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let dynamic = match extension {
        "json" => {
            let mut json = serde_json::Deserializer::from_str(text);
            DynamicMessage::deserialize_with_options(descriptor, &mut json, &options)
                .and_then(|message| json.end().map(|()| message))
                .map_err(|e| e.to_string())?
        }
        "toml" => toml::Deserializer::parse(text)
            .and_then(|toml| DynamicMessage::deserialize_with_options(descriptor, toml, &options))
            .map_err(|e| toml_reason(text, &e))?,
        _ => {
            let yaml = serde_yaml_ng::Deserializer::from_str(text);
            DynamicMessage::deserialize_with_options(descriptor, yaml, &options)
                .map_err(|e| e.to_string())?
        }
    };
    dynamic.transcode_to().map_err(|e| e.to_string())
}

fn toml_reason(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
    format!("{} at line {line}", error.message().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_proto::control::v1::{Ensemble, Fusion, ensemble_node::Kind};

    const ENSEMBLE: &str = "marquee.control.v1.Ensemble";
    const YAML: &str = "
name: blend
root:
  parallel:
    fusion: FUSION_RECIPROCAL_RANK
    members:
      - node: { model: { model: films, version: 2 } }
        weight: 0.7
      - node: { ensemble: classics }
";

    fn read(extension: &str, text: &str) -> Result<Ensemble, String> {
        parse(extension, text, ENSEMBLE)
    }

    #[test]
    fn yaml_json_and_toml_are_equal_to_the_proto() {
        let ensemble = read("yaml", YAML).expect("valid");
        assert_eq!(ensemble.name, "blend");
        let Some(Kind::Parallel(parallel)) = ensemble.root.clone().and_then(|root| root.kind)
        else {
            panic!("{ensemble:?} is not parallel");
        };
        assert_eq!(parallel.fusion(), Fusion::ReciprocalRank);
        assert_eq!(parallel.members[0].weight, 0.7);
        let json = to_json(ENSEMBLE, &ensemble).to_string();
        assert_eq!(read("json", &json), Ok(ensemble.clone()), "{json}");
        let toml = "
            name = 'blend'
            [root.parallel]
            fusion = 'FUSION_RECIPROCAL_RANK'
            [[root.parallel.members]]
            node.model = { model = 'films', version = 2 }
            weight = 0.7
            [[root.parallel.members]]
            node.ensemble = 'classics'
        ";
        assert_eq!(read("toml", toml), Ok(ensemble));
    }

    #[test]
    fn json_has_grpcurls_names_and_plain_numbers() {
        let version = marquee_proto::v1::ModelVersion { model: "films".into(), version: 3 };
        let json = to_json("marquee.v1.ModelVersion", &version).to_string();
        assert_eq!(json, r#"{"model":"films","version":3}"#);
        let step = marquee_proto::control::v1::RolloutStep::default();
        let json = to_json("marquee.control.v1.RolloutStep", &step).to_string();
        assert!(json.contains(r#""weightBasisPoints":0"#), "defaults are written too: {json}");
    }

    #[test]
    fn errors_name_the_field_and_the_line() {
        for (extension, text, says) in [
            ("yaml", YAML.replace("weight", "wait"), "wait"),
            ("yaml", YAML.replace("weight", "wait"), "line"),
            ("json", "{\"name\": 3}".into(), "line 1"),
            ("json", "{} x".into(), "line 1"),
            ("json", "{\"root\":{\"ensemble\":\"a\",\"model\":{}}}".into(), "kind"),
            ("toml", "name = 'x'\nruut = 1\n".into(), "ruut"),
            ("toml", "name = \n".into(), "line 1"),
        ] {
            let said = read(extension, &text).expect_err(&text);
            assert!(said.contains(says), "{said:?} does not say {says:?}");
        }
        let error =
            read_file::<Ensemble>(Path::new("ensemble.txt"), ENSEMBLE).expect_err("no type");
        assert!(error.to_string().contains(".yaml"), "{error}");
    }
}
