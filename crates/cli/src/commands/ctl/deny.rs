//! `marquee ctl deny`: which items are never recommended on a surface.

use super::context::Context;
use super::plan::get_plan;
use super::units::MAX_ID_FILE_BYTES;
use crate::message;
use crate::output;
use clap::{Args, Subcommand};
use marquee_bundle::read_text_input;
use marquee_client::{Connection, request_id};
use marquee_core::bounds::MAX_DENIED_ITEMS;
use marquee_core::plan::DEFAULT_SURFACE;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_proto::control::v1::{ChangeDenyListRequest, Surface};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum DenyCommand {
    /// Add items to the deny list
    #[command(after_help = "Examples:
  marquee ctl deny add 1193 661
  marquee ctl deny add --surface kids --file not-for-kids.txt")]
    Add(DeniedItems),
    /// Remove items from the deny list
    #[command(after_help = "Example:
  marquee ctl deny remove 1193 --surface kids")]
    Remove(DeniedItems),
    /// Empty the deny list
    #[command(after_help = "Example:
  marquee ctl deny clear --surface kids")]
    Clear(SurfaceArgs),
    /// List the denied items
    #[command(after_help = "Example:
  marquee ctl deny list --surface kids")]
    List(SurfaceArgs),
}

#[derive(Args, Debug)]
pub(super) struct SurfaceArgs {
    /// The surface; it need not be live
    #[arg(long, default_value = DEFAULT_SURFACE, value_name = "NAME")]
    surface: String,
}

#[derive(Args, Debug)]
pub(super) struct DeniedItems {
    /// The items' ids
    #[arg(value_name = "ITEM", required_unless_present = "file")]
    item_ids: Vec<String>,
    /// A file with one id a line, for more of them
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    surface: SurfaceArgs,
}

impl DeniedItems {
    /// All ids of the command line and the file, and the surface.
    fn read(self) -> anyhow::Result<(Vec<String>, String)> {
        let Self { mut item_ids, file, surface: SurfaceArgs { surface } } = self;
        if let Some(path) = file {
            let text = read_text_input(&path, MAX_ID_FILE_BYTES)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            item_ids.extend(lines.map(String::from));
        }
        if item_ids.is_empty() {
            anyhow::bail!("no ids: name items, or give a file with one id a line");
        }
        Ok((item_ids, surface))
    }
}

pub(super) async fn run(context: &mut Context, command: DenyCommand) -> anyhow::Result<ExitCode> {
    let request = ChangeDenyListRequest { request_id: request_id(), ..Default::default() };
    let request = match command {
        DenyCommand::Add(items) => {
            let (add_item_ids, surface) = items.read()?;
            ChangeDenyListRequest { surface, add_item_ids, ..request }
        }
        DenyCommand::Remove(items) => {
            let (remove_item_ids, surface) = items.read()?;
            ChangeDenyListRequest { surface, remove_item_ids, ..request }
        }
        DenyCommand::Clear(SurfaceArgs { surface }) => {
            ChangeDenyListRequest { surface, clear: true, ..request }
        }
        DenyCommand::List(SurfaceArgs { surface }) => {
            let found = find(context, &surface).await?;
            if context.json {
                output::json(&message::to_json("marquee.control.v1.Surface", &found))?;
            } else if found.denied_item_ids.is_empty() {
                output::line(format!("no items are denied on {surface}"))?;
            } else {
                output::line(found.denied_item_ids.join("\n"))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let surface = request.surface.clone();
    let change = |mut control: ControlServiceClient<Connection>, request| async move {
        control.change_deny_list(request).await
    };
    context.client.call(request, change).await?;
    let found = find(context, &surface).await?;
    if context.json {
        output::json(&message::to_json("marquee.control.v1.Surface", &found))?;
    } else {
        let items = output::count(found.denied_item_ids.len() as u64, "item");
        output::line(format!("{items} denied on {surface} (at most {MAX_DENIED_ITEMS})"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The surface in the current plan; an empty one if the plan has none of this name.
async fn find(context: &mut Context, name: &str) -> anyhow::Result<Surface> {
    let plan = get_plan(context).await?;
    let found = plan.surfaces.into_iter().find(|surface| surface.name == name);
    Ok(found.unwrap_or_else(|| Surface { name: name.into(), ..Surface::default() }))
}
