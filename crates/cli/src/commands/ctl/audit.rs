//! `marquee ctl audit`: the log of changes, listed and verified.

use super::context::Context;
use crate::output;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use marquee_client::{Address, CallError, ControlClient};
use marquee_core::audit::{AuditEntry, ChainError, ChainPosition, check_chain};
use marquee_proto::control::v1::{ListAuditRequest, ListAuditResponse};
use marquee_proto::convert::audit::{audit_entry_from_pb, hash_from_pb};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List who changed what, oldest first
    List(ListArgs),
    /// Check that no entry was altered, left out or cut off; exits 0 if so
    Verify(VerifyArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl audit list
  marquee ctl audit list --after 200 --json | jq .change")]
pub(super) struct ListArgs {
    /// Only entries after this number
    #[arg(long, default_value_t = 0)]
    after: u64,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl audit verify
  marquee ctl audit verify --file /var/lib/marquee/audit.jsonl
Each control node that --endpoint names is asked for its own log. A file is compared with the end of the cluster's log.")]
pub(super) struct VerifyArgs {
    /// Verify this copy of a control node's file instead of what the nodes answer
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(context: &mut Context, command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::List(args) => list(context, args.after).await,
        AuditCommand::Verify(args) => verify(context, args.file.as_deref()).await,
    }
}

/// A page of the log.
async fn page(
    client: &mut ControlClient,
    after_number: u64,
) -> Result<ListAuditResponse, CallError> {
    let request = ListAuditRequest { after_number, max_entries: 0 };
    client
        .call(request, |mut control, request| async move { control.list_audit(request).await })
        .await
}

async fn list(context: &mut Context, first_after: u64) -> anyhow::Result<ExitCode> {
    let mut table = output::table(&["NUMBER", "TIME", "WHO", "FROM", "CHANGE", "EPOCH", "OUTCOME"]);
    let mut after = first_after;
    loop {
        let answer = page(&mut context.client, after).await?;
        let Some(last) = answer.entries.last().map(|entry| entry.number) else { break };
        for entry in answer.entries {
            let entry = audit_entry_from_pb(entry)?;
            if context.json {
                output::json_line(&entry)?;
            } else {
                table.add_row(row(&entry));
            }
        }
        after = last;
    }
    if !context.json {
        output::line(output::lines_of(&table))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let AuditEntry { number, time_ms, actor, change, epoch_before, epoch_after, outcome, .. } =
        entry;
    let who = match (actor.name.as_str(), actor.roles.as_str()) {
        ("", _) => "-".to_owned(),
        (name, "") => name.to_owned(),
        (name, roles) => format!("{name} ({roles})"),
    };
    let epoch = if epoch_before == epoch_after {
        epoch_after.to_string()
    } else {
        format!("{epoch_before} → {epoch_after}")
    };
    vec![
        number.to_string(),
        output::moment(*time_ms),
        who,
        actor.from.clone(),
        change.clone(),
        epoch,
        outcome.clone(),
    ]
}

/// What came of verifying one log.
struct Verified {
    of: String,
    result: Result<ChainPosition, ChainError>,
}

async fn verify(context: &mut Context, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut all = Vec::new();
    match file {
        Some(path) => {
            let found = chain_of_file(path)?;
            let head = head(&page(&mut context.client, u64::MAX).await?)?;
            let result = found.and_then(|found| compared(found, head));
            all.push(Verified { of: path.display().to_string(), result });
        }
        None => {
            for address in context.addresses.clone() {
                let result = chain_of_node(context, &address).await?;
                all.push(Verified { of: address.to_string(), result });
            }
        }
    }
    if context.json {
        let list: Vec<_> = all
            .iter()
            .map(|Verified { of, result }| match result {
                Ok(at) => {
                    serde_json::json!({ "log": of, "entries": at.number, "lastHash": at.hash })
                }
                Err(error) => serde_json::json!({ "log": of, "broken": error.to_string() }),
            })
            .collect();
        output::json(&list)?;
    } else {
        for Verified { of, result } in &all {
            output::line(match result {
                Ok(at) => format!("{of}: {} entries, none altered or missing", at.number),
                Err(error) => format!("{of}: BROKEN: {error}"),
            })?;
        }
    }
    let is_whole = all.iter().all(|log| log.result.is_ok());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How far the replicated log is.
fn head(answer: &ListAuditResponse) -> anyhow::Result<ChainPosition> {
    let hash = hash_from_pb("last_hash", &answer.last_hash)?;
    Ok(ChainPosition { number: answer.last_number, hash })
}

fn compared(found: ChainPosition, head: ChainPosition) -> Result<ChainPosition, ChainError> {
    if found == head {
        return Ok(found);
    }
    Err(ChainError::End { expected: head.number, found: found.number })
}

/// The chain of one node's log, compared with the end of the replicated log that it answered with.
async fn chain_of_node(
    context: &Context,
    address: &Address,
) -> anyhow::Result<Result<ChainPosition, ChainError>> {
    let mut client = ControlClient::new(std::slice::from_ref(address), &context.credentials);
    let mut at = ChainPosition::default();
    loop {
        let answer =
            page(&mut client, at.number).await.with_context(|| format!("asking {address}"))?;
        let end = head(&answer)?;
        if answer.entries.is_empty() {
            return Ok(compared(at, end));
        }
        for entry in answer.entries {
            match check_chain(at, &audit_entry_from_pb(entry)?) {
                Ok(next) => at = next,
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

/// The chain of a file.
fn chain_of_file(path: &Path) -> anyhow::Result<Result<ChainPosition, ChainError>> {
    let mut at = ChainPosition::default();
    for (n, line) in (1..).zip(BufReader::new(fs_err::File::open(path)?).lines()) {
        let Ok(entry) = serde_json::from_str::<AuditEntry>(&line?) else {
            bail!("{}:{n} is no entry of a log of changes", path.display());
        };
        match check_chain(at, &entry) {
            Ok(next) => at = next,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(at))
}
