//! `marquee ctl ensemble`: store, list and delete ensembles.

use super::context::Context;
use crate::message;
use crate::output;
use clap::Subcommand;
use marquee_client::request_id;
use marquee_proto::control::v1::{
    DeleteEnsembleRequest, Ensemble, EnsembleNode, Fusion, ListEnsemblesRequest, ProductForm,
    PutEnsembleRequest, ensemble_node::Kind,
};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum EnsembleCommand {
    /// Validate and store an ensemble; a stored one never changes
    #[command(after_help = "Example:
  marquee ctl ensemble put blend.yaml

where blend.yaml is
  name: blend
  root:
    parallel:
      fusion: FUSION_RECIPROCAL_RANK
      members:
        - node: { model: { model: films, version: 2 } }
          weight: 0.7
        - node: { model: { model: films, version: 1 } }
          weight: 0.3
          timeout_ms: 30

or, for films that go with the best of films@2
  name: around-your-best
  root:
    product:
      form: PRODUCT_FORM_CHAIN
      members:
        - model: { model: films, version: 2 }
        - model: { model: films-alike, version: 1 }

or, for a diverse list of films@2 with at most two documentaries
  name: something-for-all
  root:
    diversify:
      node: { model: { model: films, version: 2 } }
      mmr_lambda: 0.7
      max_per_tag: 4
      tag_caps:
        - { tag: Documentary, max_items: 2 }")]
    Put {
        /// A YAML, JSON or TOML file with the fields of marquee.control.v1.Ensemble
        file: PathBuf,
    },
    /// List stored ensembles
    #[command(after_help = "Example:
  marquee ctl ensemble list")]
    List,
    /// Forget a stored ensemble, and free its name; one that is in use is refused
    #[command(after_help = "Example:
  marquee ctl ensemble delete blend")]
    Delete {
        /// The ensemble's name
        name: String,
    },
}

pub(super) async fn run(
    context: &mut Context,
    command: EnsembleCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        EnsembleCommand::Put { file } => {
            let ensemble: Ensemble = message::read_file(&file, "marquee.control.v1.Ensemble")?;
            let request = PutEnsembleRequest { request_id: request_id(), ensemble: Some(ensemble) };
            let stored = context
                .client
                .call(
                    request,
                    |mut control, request| async move { control.put_ensemble(request).await },
                )
                .await?;
            if context.json {
                let name = "marquee.control.v1.PutEnsembleResponse";
                output::json(&message::to_json(name, &stored))?;
            } else {
                let ensemble = stored.ensemble.unwrap_or_default();
                output::line(format!("stored {}: {}", ensemble.name, expression(&ensemble)))?;
            }
        }
        EnsembleCommand::Delete { name } => {
            let request = DeleteEnsembleRequest { request_id: request_id(), name: name.clone() };
            let deleted = context
                .client
                .call(request, |mut control, request| async move {
                    control.delete_ensemble(request).await
                })
                .await?;
            if context.json {
                let name = "marquee.control.v1.DeleteEnsembleResponse";
                output::json(&message::to_json(name, &deleted))?;
            } else {
                output::line(format!("deleted {name}"))?;
            }
        }
        EnsembleCommand::List => {
            let list = context
                .client
                .call(ListEnsemblesRequest {}, |mut control, request| async move {
                    control.list_ensembles(request).await
                })
                .await?;
            if context.json {
                let name = "marquee.control.v1.ListEnsemblesResponse";
                output::json(&message::to_json(name, &list))?;
            } else if list.ensembles.is_empty() {
                output::line(
                    "no ensembles: a single model version needs none; store one with `marquee ctl ensemble put FILE`",
                )?;
            } else {
                let mut table = output::table(&["NAME", "EXPRESSION"]);
                for ensemble in &list.ensembles {
                    table.add_row([ensemble.name.clone(), expression(ensemble)]);
                }
                output::line(output::lines_of(&table))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An ensemble as an expression: `parallel(0.7 films@2, 0.3 films@1; reciprocal rank)`.
fn expression(ensemble: &Ensemble) -> String {
    node(ensemble.root.as_ref())
}

/// One node of the expression.
fn node(part: Option<&EnsembleNode>) -> String {
    let list = |members: &[EnsembleNode]| {
        members.iter().map(|member| node(Some(member))).collect::<Vec<_>>().join(", ")
    };
    match part.and_then(|part| part.kind.as_ref()) {
        None => "?".into(),
        Some(Kind::Model(version)) => format!("{}@{}", version.model, version.version),
        Some(Kind::Ensemble(name)) => name.clone(),
        Some(Kind::Sequence(sequence)) => format!("sequence({})", list(&sequence.members)),
        Some(Kind::Product(product)) => {
            let name = if product.form() == ProductForm::Chain { "chain" } else { "product" };
            format!("{name}({})", list(&product.members))
        }
        Some(Kind::Parallel(parallel)) => {
            let members: Vec<String> = parallel
                .members
                .iter()
                .map(|member| {
                    let within = member.timeout_ms.map(|ms| format!(" within {ms} ms"));
                    let within = within.unwrap_or_default();
                    format!("{} {}{within}", member.weight, node(member.node.as_ref()))
                })
                .collect();
            let fusion = match parallel.fusion() {
                Fusion::Unspecified => "default fusion",
                Fusion::ReciprocalRank => "reciprocal rank",
                Fusion::WeightedScore => "weighted score",
            };
            format!("parallel({}; {fusion})", members.join(", "))
        }
        Some(Kind::Diversify(spread)) => {
            let mut how: Vec<String> = Vec::new();
            how.extend(spread.mmr_lambda.map(|lambda| format!("λ {lambda}")));
            how.extend((spread.max_per_tag > 0).then(|| format!("{} a tag", spread.max_per_tag)));
            how.extend(spread.tag_caps.iter().map(|cap| format!("{} {}", cap.max_items, cap.tag)));
            format!("diversify({}; {})", node(spread.node.as_deref()), how.join(", "))
        }
        Some(Kind::Split(split)) => {
            let members: Vec<String> = split
                .members
                .iter()
                .map(|member| {
                    let share = output::percent(member.weight_basis_points);
                    format!("{share} {}", node(member.node.as_ref()))
                })
                .collect();
            format!("split({}; salt {})", members.join(", "), split.salt)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_proto::convert::ensemble::ensemble_from_pb;

    /// The expression of the ensemble in a file, or why it is refused.
    fn read(name: &str, text: &str) -> Result<String, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(name);
        fs_err::write(&path, text).expect("written");
        let read: Result<Ensemble, _> = message::read_file(&path, "marquee.control.v1.Ensemble");
        let ensemble = read.map_err(|error| error.to_string())?;
        ensemble_from_pb(ensemble.clone()).map_err(|error| error.to_string())?;
        Ok(expression(&ensemble))
    }

    #[test]
    fn files_of_every_kind_say_the_same() {
        let yaml = "
name: evening
root:
  diversify:
    mmr_lambda: 0.7
    max_per_tag: 4
    tag_caps:
      - { tag: Documentary, max_items: 2 }
    node:
      parallel:
        fusion: FUSION_RECIPROCAL_RANK
        members:
          - { node: { model: { model: films, version: 2 } }, weight: 2 }
          - weight: 1
            timeout_ms: 30
            node:
              product:
                form: PRODUCT_FORM_CHAIN
                members:
                  - { model: { model: films, version: 2 } }
                  - { ensemble: alike }
";
        let toml = r#"
name = "evening"
[root.diversify]
mmr_lambda = 0.7
max_per_tag = 4
tag_caps = [{ tag = "Documentary", max_items = 2 }]
[root.diversify.node.parallel]
fusion = "FUSION_RECIPROCAL_RANK"
[[root.diversify.node.parallel.members]]
node = { model = { model = "films", version = 2 } }
weight = 2.0
[[root.diversify.node.parallel.members]]
weight = 1.0
timeout_ms = 30
[root.diversify.node.parallel.members.node.product]
form = "PRODUCT_FORM_CHAIN"
members = [{ model = { model = "films", version = 2 } }, { ensemble = "alike" }]
"#;
        let says = "diversify(parallel(2 films@2, 1 chain(films@2, alike) within 30 ms; reciprocal rank); \
                    λ 0.7, 4 a tag, 2 Documentary)";
        assert_eq!(read("e.yaml", yaml).as_deref(), Ok(says));
        assert_eq!(read("e.toml", toml).as_deref(), Ok(says));
        let unknown = yaml.replace("timeout_ms", "timeout");
        let refused = read("e.yaml", &unknown).expect_err("no such field");
        assert!(refused.contains("timeout"), "{refused}");
        let form = yaml.replace("PRODUCT_FORM_CHAIN", "CHAIN");
        assert!(read("e.yaml", &form).is_err(), "no such form");
    }
}
