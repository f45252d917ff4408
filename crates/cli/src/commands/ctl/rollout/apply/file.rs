//! A rollout as a file says it, in the words of the command line.

use crate::commands::ctl::rollout::{external, gate, steps};
use crate::commands::ctl::units::{parse_seconds, parse_share};
use anyhow::{Context as _, bail};
use marquee_core::rollout::{
    DEFAULT_HOLDOUT_SECONDS, DEFAULT_PREPARE_SECONDS, Holdout, Pace, Safety,
};
use marquee_proto::control::v1::StartRolloutRequest;
use marquee_proto::convert::external::external_gate_to_pb;
use marquee_proto::convert::gate::gate_to_pb;
use marquee_proto::convert::rollout::{
    interleave_to_pb, pace_to_pb, safety_to_pb, shadow_to_pb, step_to_pb,
};
use serde::Deserialize;
use std::path::Path;

/// The most bytes of a file: room for all lists of users.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A rollout as written. Each field is the flag of `rollout start` with its name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RolloutFile {
    candidate: String,
    #[serde(default = "default_surface")]
    surface: String,
    #[serde(default)]
    steps: Vec<String>,
    exponential: Option<String>,
    #[serde(default)]
    gates: Vec<String>,
    #[serde(default)]
    no_gates: bool,
    #[serde(default)]
    promql: Vec<String>,
    #[serde(default)]
    webhooks: Vec<String>,
    shadow: Option<String>,
    interleave: Option<String>,
    #[serde(default)]
    as_fast_as_evidence_allows: bool,
    prepare_within: Option<String>,
    watch_for: Option<String>,
    holdout: Option<String>,
    holdout_for: Option<String>,
    #[serde(default)]
    allow_no_traffic: bool,
    #[serde(default)]
    always_candidate: Vec<String>,
    #[serde(default)]
    never_candidate: Vec<String>,
}

fn default_surface() -> String {
    "default".into()
}

/// Reads a YAML, JSON or TOML file.
pub(super) fn read(path: &Path) -> anyhow::Result<StartRolloutRequest> {
    let bytes = fs_err::metadata(path)?.len();
    if bytes > MAX_FILE_BYTES {
        bail!("{} has {bytes} bytes: at most {MAX_FILE_BYTES} are allowed", path.display());
    }
    let text = fs_err::read_to_string(path)?;
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    request(&text, extension).with_context(|| path.display().to_string())
}

/// The request that a text says. `extension`: of its file.
fn request(text: &str, extension: &str) -> anyhow::Result<StartRolloutRequest> {
    let file: RolloutFile = match extension {
        "yaml" | "yml" | "json" => serde_yaml_ng::from_str(text)?,
        "toml" => toml::from_str(text)?,
        _ => bail!("the name must end in .yaml, .yml, .json or .toml"),
    };
    file.into_request().map_err(anyhow::Error::msg)
}

/// Reads a field by the parser of its flag.
fn field<T>(
    name: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    parse(text).map_err(|why| format!("{name}: {why}"))
}

impl RolloutFile {
    fn into_request(self) -> Result<StartRolloutRequest, String> {
        let optional = |name, text: &Option<String>| {
            text.as_deref().map(|text| field(name, text, parse_seconds)).transpose()
        };
        let steps = match (&self.exponential, self.steps.is_empty()) {
            (Some(text), true) => field("exponential", text, steps::parse_exponential)?,
            (Some(_), false) => {
                return Err("exponential and steps: leave one of the two out".into());
            }
            (None, true) => Vec::new(),
            (None, false) => field("steps", &self.steps.join(","), steps::parse_steps)?,
        };
        let gates = self.gates.iter().map(|text| field("gates", text, gate::parse));
        let promql = self.promql.iter().map(|text| field("promql", text, external::parse_promql));
        let webhooks =
            self.webhooks.iter().map(|text| field("webhooks", text, external::parse_webhook));
        let share = self.holdout.as_deref().map(|text| field("holdout", text, parse_share));
        let holdout_for = optional("holdout_for", &self.holdout_for)?;
        let holdout = share.transpose()?.map(|share_basis_points| Holdout {
            share_basis_points,
            hold_seconds: holdout_for.unwrap_or(DEFAULT_HOLDOUT_SECONDS),
        });
        if holdout.is_none() && holdout_for.is_some() {
            return Err("holdout_for: there is no holdout".into());
        }
        let safety = Safety {
            prepare_seconds: optional("prepare_within", &self.prepare_within)?
                .unwrap_or(DEFAULT_PREPARE_SECONDS),
            allows_no_traffic: self.allow_no_traffic,
            watch_seconds: optional("watch_for", &self.watch_for)?.unwrap_or(0),
            holdout,
        };
        let shadow = self.shadow.as_deref().map(|text| field("shadow", text, steps::parse_shadow));
        let stage = self.interleave.as_deref();
        let stage = stage.map(|text| field("interleave", text, steps::parse_interleave));
        let pace = if self.as_fast_as_evidence_allows { Pace::Evidence } else { Pace::Fixed };
        let external = promql.chain(webhooks).collect::<Result<Vec<_>, _>>()?;
        Ok(StartRolloutRequest {
            request_id: String::new(),
            surface: self.surface.clone(),
            candidate: self.candidate.clone(),
            steps: steps.iter().map(step_to_pb).collect(),
            gates: gates.map(|gate| gate.map(|it| gate_to_pb(&it))).collect::<Result<_, _>>()?,
            without_gates: self.no_gates,
            shadow: shadow.transpose()?.map(shadow_to_pb),
            pace: pace_to_pb(pace) as i32,
            safety: Some(safety_to_pb(safety)),
            always_candidate_user_ids: self.always_candidate.clone(),
            never_candidate_user_ids: self.never_candidate.clone(),
            interleave: stage.transpose()?.map(interleave_to_pb),
            external_gates: external.iter().map(external_gate_to_pb).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "
surface: home
candidate: films@2
steps: ['1%:60s:500', '50%:1h!']
gates: ['error_rate<=1.2x', 'latency_p99<=50ms,pause']
promql: ['errors,every=10s http://p:9090 sum(e) <= 0.5']
webhooks: ['slo https://checks/rollouts']
shadow: 5%:10m
watch_for: 2h
holdout: 5%
always_candidate: [user-1]
";

    #[test]
    fn files_of_every_kind_say_the_same() {
        let yaml = request(YAML, "yaml").expect("valid");
        let toml = request(
            r#"
            surface = "home"
            candidate = "films@2"
            steps = ["1%:60s:500", "50%:1h!"]
            gates = ["error_rate<=1.2x", "latency_p99<=50ms,pause"]
            promql = ["errors,every=10s http://p:9090 sum(e) <= 0.5"]
            webhooks = ["slo https://checks/rollouts"]
            shadow = "5%:10m"
            watch_for = "2h"
            holdout = "5%"
            always_candidate = ["user-1"]
            "#,
            "toml",
        );
        assert_eq!(yaml, toml.expect("valid"));
        assert_eq!((yaml.steps.len(), yaml.gates.len(), yaml.external_gates.len()), (2, 2, 2));
        assert_eq!(yaml.safety.and_then(|it| it.holdout).expect("there").share_basis_points, 500);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        for (text, extension, says) in [
            ("candidate: films@2\nstep: ['1%:60s']", "yaml", "unknown field `step`"),
            ("surface: home", "yaml", "missing field `candidate`"),
            ("candidate: f@2\nsteps: ['1%']", "yaml", "steps: step \"1%\" has no hold"),
            ("candidate: f@2\ngates: ['errors<=1']", "yaml", "gates: there is no metric"),
            ("candidate: f@2\nholdout_for: 1d", "yaml", "there is no holdout"),
            ("candidate = 'f@2'\nsteps = ['1%:1s']\nexponential = '1%:3:1s'", "toml", "leave one"),
            ("candidate = 3", "toml", "string"),
            ("candidate: f@2", "txt", "must end in"),
        ] {
            let said = format!("{:#}", request(text, extension).expect_err(says));
            assert!(said.contains(says), "{text:?}: {said:?} does not say {says:?}");
        }
    }
}
