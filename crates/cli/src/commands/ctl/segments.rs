//! `marquee ctl segments`: which kinds of requests rollouts and experiments are reported by.

use super::context::Context;
use super::effects::{effect_columns, measure_name};
use super::plan::get_plan;
use crate::message;
use crate::output;
use clap::{Args, Subcommand};
use marquee_client::{Connection, request_id};
use marquee_core::plan::{DEFAULT_SURFACE, SegmentedAttribute, Segments};
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{SegmentReport, SetSegmentsRequest, Surface};
use marquee_proto::convert::plan::{segmented_from_pb, segmented_to_pb};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum SegmentsCommand {
    /// Set the segments of a surface, in the place of those that there are
    #[command(
        after_help = "Callers send the attributes in user_attributes or context of their requests.
Each attribute also has a segment for all other values: region=other.

Examples:
  marquee ctl segments set region=de,at,ch
  marquee ctl segments set --surface home device=ios,android,web new-user=yes"
    )]
    Set {
        /// An attribute and the values that are segments of their own
        #[arg(required = true, value_name = "NAME=VALUE,…", value_parser = parse_attribute)]
        attributes: Vec<SegmentedAttribute>,
        #[command(flatten)]
        surface: SurfaceArgs,
    },
    /// Report by no segments any more
    #[command(after_help = "Example:
  marquee ctl segments clear --surface home")]
    Clear(SurfaceArgs),
    /// List the segments of a surface
    #[command(after_help = "Example:
  marquee ctl segments list --surface home --json")]
    List(SurfaceArgs),
}

#[derive(Args, Debug)]
pub(super) struct SurfaceArgs {
    /// The surface; it need not be live
    #[arg(long, default_value = DEFAULT_SURFACE, value_name = "NAME")]
    surface: String,
}

/// Reads an attribute and its values from `name=value,value`.
pub(super) fn parse_attribute(text: &str) -> Result<SegmentedAttribute, String> {
    let (name, values) = text.split_once('=').ok_or_else(|| {
        format!("{text:?} is not of the form name=value,value, such as region=de,at")
    })?;
    let values = values.split(',').map(str::trim).filter(|value| !value.is_empty());
    Ok(SegmentedAttribute { name: name.into(), values: values.map(Into::into).collect() })
}

pub(super) async fn run(
    context: &mut Context,
    command: SegmentsCommand,
) -> anyhow::Result<ExitCode> {
    let (attributes, surface) = match command {
        SegmentsCommand::Set { attributes, surface: SurfaceArgs { surface } } => {
            // What is wrong is said before anybody is asked.
            Segments::new(&attributes)?;
            (attributes, surface)
        }
        SegmentsCommand::Clear(SurfaceArgs { surface }) => (Vec::new(), surface),
        SegmentsCommand::List(SurfaceArgs { surface }) => return list(context, &surface).await,
    };
    let request = SetSegmentsRequest {
        request_id: request_id(),
        surface: surface.clone(),
        attributes: attributes.iter().map(segmented_to_pb).collect(),
    };
    let set = |mut control: ControlServiceClient<Connection>, request| async move {
        control.set_segments(request).await
    };
    context.client.call(request, set).await?;
    list(context, &surface).await
}

/// Prints the segments that the surface has in the current plan.
async fn list(context: &mut Context, surface: &str) -> anyhow::Result<ExitCode> {
    let plan = get_plan(context).await?;
    let known = plan.surfaces.into_iter().find(|known| known.name == surface);
    let found = known.unwrap_or_else(|| Surface { name: surface.into(), ..Surface::default() });
    if context.json {
        output::json(&message::to_json("marquee.control.v1.Surface", &found))?;
        return Ok(ExitCode::SUCCESS);
    }
    let attributes: Vec<_> = found.segments.into_iter().map(segmented_from_pb).collect();
    let names = Segments::new(&attributes)?.names();
    if names.is_empty() {
        output::line(format!(
            "no segments on {surface}: set some with `marquee ctl segments set`"
        ))?;
    } else {
        output::line(format!("segments of {surface}: {}", output::shown(&names.join(", "))))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The arms compared within each segment, as a table; none where there are no segments.
pub(super) fn table(segments: &[SegmentReport], arms: &[&str]) -> Option<String> {
    if segments.is_empty() {
        return None;
    }
    let mut table =
        output::table(&["SEGMENT", "MEASURE", "ARM", "ANSWERS", "MEAN", "EFFECT", "95 %", "P"]);
    for segment in segments {
        for found in &segment.effects {
            let mut row = vec![output::shown(&segment.name).to_string()];
            row.push(measure_name(found.measure()).to_owned());
            row.extend(effect_columns(found, arms));
            table.add_row(row);
        }
    }
    Some(format!("by segment:\n{}", output::lines_of(&table)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_proto::control::v1::{Effect, Measure};

    #[test]
    fn attributes_are_read_from_the_command_line() {
        let parsed = parse_attribute("region=de, at,").expect("read");
        let values = vec!["de".to_owned(), "at".to_owned()];
        assert_eq!(parsed, SegmentedAttribute { name: "region".into(), values });
        assert!(parse_attribute("region").expect_err("no values").contains("region=de,at"));
    }

    #[test]
    fn each_segment_has_its_effects() {
        let effect = |arm, mean, effect| Effect {
            measure: Measure::Clicks as i32,
            arm,
            samples: 1_234,
            mean,
            effect,
            low: effect.map(|it| it - 0.1),
            high: effect.map(|it| it + 0.1),
            ..Effect::default()
        };
        let effects = vec![effect(0, 0.2, None), effect(1, 0.1, Some(-0.5))];
        let segments = [SegmentReport { name: "region=de\u{1b}".into(), effects }];
        let shown = table(&segments, &["films@1", "films@2"]).expect("there are segments");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let last = shown.lines().last().expect("a line");
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(words[1..4], ["clicks", "films@2", "1,234"], "{last}");
        assert!(last.contains("-50.0 %") && last.contains("-60.0 % to -40.0 %"), "{last}");
        assert_eq!(table(&[], &[]), None);
    }
}
