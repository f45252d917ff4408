//! `marquee ctl audit`: the log of changes, listed and verified.

use super::context::Context;
use crate::output;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use marquee_client::{Address, CallError, ControlClient};
use marquee_core::audit::{
    AUDIT_DELETED_FILE, AUDIT_FILE, AuditEntry, AuditLine, ChainError, ChainPosition, ChainWalk,
    Gap, MissingEntries, MissingReason, first_of_audit_file, full_audit_file,
};
use marquee_proto::control::v1::{ListAuditRequest, ListAuditResponse};
use marquee_proto::convert::audit::{audit_entry_from_pb, hash_from_pb, missing_entries_from_pb};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List who changed what, oldest first
    List(ListArgs),
    /// Check that no entry was altered, left out or cut off; exits 0 if so. What a node says that it does not have counts as
    /// there if another node has it
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
Each control node that --endpoint names is asked for its own log. A file is verified with the full ones beside it
(audit-*.jsonl), and compared with the end of the cluster's log. Entries that a node does not have because it was away are
looked for on the others: name all control nodes.")]
pub(super) struct VerifyArgs {
    /// Verify this copy of a control node's audit.jsonl, and of the full files beside it, instead of what the nodes answer
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
    result: Result<ChainWalk, ChainError>,
    /// For each gap of it, who else has the entries.
    others: Vec<Option<String>>,
}

async fn verify(context: &mut Context, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut all = Vec::new();
    let addresses = context.addresses.clone();
    match file {
        Some(path) => {
            let found = walk_of_file(path)?;
            let head = head(&page(&mut context.client, u64::MAX).await?)?;
            let result = found.and_then(|walk| walk.end(head).map(|()| walk));
            let others = Vec::new();
            all.push(Verified { of: path.display().to_string(), result, others });
        }
        None => {
            for address in &addresses {
                let result = walk_of_node(context, address).await?;
                all.push(Verified { of: address.to_string(), result, others: Vec::new() });
            }
        }
    }
    find_others(context, &addresses, &mut all).await?;
    if context.json {
        let list: Vec<_> = all.iter().map(Verified::to_json).collect();
        output::json(&list)?;
    } else {
        for verified in &all {
            for line in verified.lines() {
                output::line(line)?;
            }
        }
    }
    let is_whole = all.iter().all(Verified::is_whole);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a gap is the cluster's own doing: files have a bound.
fn is_expected(gap: &Gap) -> bool {
    match gap.missing.reason {
        MissingReason::Deleted => true,
        MissingReason::Away => false,
    }
}

impl Verified {
    /// Whether nothing was altered, and all that is missing is elsewhere, or was deleted when its time was over.
    fn is_whole(&self) -> bool {
        let Ok(walk) = &self.result else { return false };
        walk.gaps().iter().zip(&self.others).all(|(gap, other)| is_expected(gap) || other.is_some())
    }

    fn lines(&self) -> Vec<String> {
        let of = &self.of;
        let walk = match &self.result {
            Err(error) => return vec![format!("{of}: BROKEN: {error}")],
            Ok(walk) => walk,
        };
        let mut lines = Vec::new();
        if walk.gaps().is_empty() {
            lines.push(format!("{of}: {} entries, none altered or missing", walk.number()));
        } else {
            lines.push(format!("{of}: entries up to {}, none altered", walk.number()));
        }
        for (gap, other) in walk.gaps().iter().zip(&self.others) {
            let MissingEntries { missing_from, missing_to, reason } = gap.missing;
            let why = match reason {
                MissingReason::Away => "the node was away",
                MissingReason::Deleted => "the oldest files were deleted",
            };
            let who = match (other, is_expected(gap)) {
                (Some(other), _) => format!("{other} has them, and the same ones before"),
                (None, true) => "no other node that was asked has them".into(),
                (None, false) => {
                    "NO OTHER NODE that was asked has them: name all control nodes in --endpoint"
                        .into()
                }
            };
            lines.push(format!("  {missing_from} to {missing_to} are not there, {why}; {who}"));
        }
        lines
    }

    fn to_json(&self) -> serde_json::Value {
        let of = &self.of;
        let walk = match &self.result {
            Err(error) => {
                return serde_json::json!({ "log": of, "broken": error.to_string() });
            }
            Ok(walk) => walk,
        };
        let gaps = walk.gaps().iter().zip(&self.others).map(|(gap, other)| {
            let MissingEntries { missing_from, missing_to, reason } = gap.missing;
            serde_json::json!({ "from": missing_from, "to": missing_to, "reason": reason, "at": other })
        });
        let gaps: Vec<_> = gaps.collect();
        serde_json::json!({ "log": of, "entries": walk.number(), "missing": gaps })
    }
}

/// Looks for the entries of each gap in the logs of the other nodes, which must have the same entry before it.
async fn find_others(
    context: &Context,
    addresses: &[Address],
    all: &mut [Verified],
) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for verified in all.iter() {
        let gaps = verified.result.as_ref().map_or(&[][..], ChainWalk::gaps);
        let mut others = Vec::new();
        for gap in gaps {
            let mut other = None;
            for address in addresses.iter().filter(|at| at.to_string() != verified.of) {
                if other.is_none() && has_entries(context, address, gap, all).await? {
                    other = Some(address.to_string());
                }
            }
            others.push(other);
        }
        found.push(others);
    }
    for (verified, others) in all.iter_mut().zip(found) {
        verified.others = others;
    }
    Ok(())
}

/// Whether a node's whole log has the entries of a gap, and the same one before it.
async fn has_entries(
    context: &Context,
    address: &Address,
    gap: &Gap,
    all: &[Verified],
) -> anyhow::Result<bool> {
    let known = all.iter().find(|it| it.of == address.to_string());
    let walked;
    let result = match known {
        Some(verified) => &verified.result,
        // A file is verified: no node was asked yet.
        None => {
            walked = walk_of_node(context, address).await?;
            &walked
        }
    };
    let Ok(walk) = result else { return Ok(false) };
    let Gap { missing, before } = gap;
    let overlaps = |other: &Gap| {
        other.missing.missing_from <= missing.missing_to
            && missing.missing_from <= other.missing.missing_to.saturating_add(1)
    };
    if walk.gaps().iter().any(overlaps) {
        return Ok(false);
    }
    if before.number == 0 {
        return Ok(true);
    }
    let mut client = ControlClient::new(std::slice::from_ref(address), &context.credentials);
    let answer = page(&mut client, before.number - 1).await?;
    let Some(entry) = answer.entries.into_iter().next() else { return Ok(false) };
    Ok(audit_entry_from_pb(entry)?.hash() == before.hash)
}

/// How far the replicated log is.
fn head(answer: &ListAuditResponse) -> anyhow::Result<ChainPosition> {
    let hash = hash_from_pb("last_hash", &answer.last_hash)?;
    Ok(ChainPosition { number: answer.last_number, hash })
}

/// One node's log, followed to the end of the replicated log that it answered with.
async fn walk_of_node(
    context: &Context,
    address: &Address,
) -> anyhow::Result<Result<ChainWalk, ChainError>> {
    let mut client = ControlClient::new(std::slice::from_ref(address), &context.credentials);
    let mut walk = ChainWalk::default();
    loop {
        let answer =
            page(&mut client, walk.number()).await.with_context(|| format!("asking {address}"))?;
        let end = head(&answer)?;
        let ListAuditResponse { entries, missing, last_number: _, last_hash: _, answered_by: _ } =
            answer;
        let mut lines = Vec::new();
        for entry in entries {
            lines.push(AuditLine::Entry(Box::new(audit_entry_from_pb(entry)?)));
        }
        for gap in missing {
            lines.push(AuditLine::Missing(missing_entries_from_pb(gap)?));
        }
        if lines.is_empty() {
            return Ok(walk.end(end).map(|()| walk));
        }
        lines.sort_by_key(AuditLine::first_number);
        for line in &lines {
            if let Err(error) = walk.step(line) {
                return Ok(Err(error));
            }
        }
    }
}

/// The log of which this is the newest file: full ones lie beside it.
fn walk_of_file(path: &Path) -> anyhow::Result<Result<ChainWalk, ChainError>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut full = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        full.extend(entry?.file_name().to_str().and_then(first_of_audit_file));
    }
    full.sort_unstable();
    let mut walk = ChainWalk::default();
    let deleted = directory.join(AUDIT_DELETED_FILE);
    let mut files = Vec::new();
    if path.file_name().is_some_and(|name| name == AUDIT_FILE) {
        if deleted.exists() {
            let text = fs_err::read_to_string(&deleted)?;
            let line = serde_json::from_str::<AuditLine>(&text);
            let Ok(line) = line else {
                bail!("{} is no entry of a log of changes", deleted.display())
            };
            if let Err(error) = walk.step(&line) {
                return Ok(Err(error));
            }
        }
        let gone = walk.number();
        files.extend(
            full.iter()
                .filter(|first| **first > gone)
                .map(|first| directory.join(full_audit_file(*first))),
        );
    }
    // A voter that has just filled a file has no newest one yet.
    if files.is_empty() || path.exists() {
        files.push(path.to_owned());
    }
    for file in files {
        for (n, text) in (1..).zip(BufReader::new(fs_err::File::open(&file)?).lines()) {
            let Ok(line) = serde_json::from_str::<AuditLine>(&text?) else {
                bail!("{}:{n} is no entry of a log of changes", file.display());
            };
            if let Err(error) = walk.step(&line) {
                return Ok(Err(error));
            }
        }
    }
    Ok(Ok(walk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::audit::{Actor, AuditTrail};

    fn lines(count: u64) -> (Vec<String>, ChainPosition) {
        let mut trail = AuditTrail::default();
        for n in 0..count {
            trail.add(n, Actor::leader(), format!("change {n}"), (n, n + 1), "done".into());
        }
        let line = |entry| serde_json::to_string(entry).expect("JSON") + "\n";
        (trail.entries.iter().map(line).collect(), trail.head)
    }

    #[test]
    fn a_file_is_verified_with_the_full_ones_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, lines: &[String]| {
            fs_err::write(directory.path().join(name), lines.concat()).expect("written");
        };
        let path = directory.path().join(AUDIT_FILE);
        let (all, head) = lines(9);
        write(&full_audit_file(1), &all[..4]);
        write(&full_audit_file(5), &all[4..7]);
        write(AUDIT_FILE, &all[7..]);
        let walk = walk_of_file(&path).expect("read").expect("a chain");
        assert_eq!((walk.number(), walk.end(head), walk.gaps().len()), (9, Ok(()), 0));

        // The oldest is deleted, which must be said.
        fs_err::remove_file(directory.path().join(full_audit_file(1))).expect("removed");
        assert!(walk_of_file(&path).expect("read").is_err());
        let said = "{\"missing_from\":1,\"missing_to\":4,\"reason\":\"deleted\"}\n";
        write(AUDIT_DELETED_FILE, &[said.to_owned()]);
        let walk = walk_of_file(&path).expect("read").expect("a chain");
        assert_eq!((walk.end(head), walk.gaps().len()), (Ok(()), 1));

        // A line of a full file is altered, and one is cut off at the end.
        let altered = all[5].replace("change 5", "change 6");
        write(&full_audit_file(5), &[all[4].clone(), altered, all[6].clone()]);
        assert!(walk_of_file(&path).expect("read").is_err());
        write(&full_audit_file(5), &all[4..7]);
        write(AUDIT_FILE, &all[7..8]);
        let walk = walk_of_file(&path).expect("read").expect("a chain");
        assert!(walk.end(head).is_err());
    }

    #[test]
    fn what_a_node_lacks_must_be_on_another() {
        let gap = |reason| {
            let (all, _) = lines(9);
            let entry = |n: usize| serde_json::from_str::<AuditLine>(&all[n]).expect("a line");
            let missing = MissingEntries { missing_from: 2, missing_to: 8, reason };
            let mut walk = ChainWalk::default();
            for line in [entry(0), AuditLine::Missing(missing), entry(8)] {
                walk.step(&line).expect("a chain");
            }
            walk
        };
        let verified = |reason, other: Option<&str>| Verified {
            of: "http://a".into(),
            result: Ok(gap(reason)),
            others: vec![other.map(str::to_owned)],
        };
        let alone = verified(MissingReason::Away, None);
        assert!(!alone.is_whole() && alone.lines()[1].contains("NO OTHER NODE"));
        let covered = verified(MissingReason::Away, Some("http://b"));
        assert!(covered.is_whole());
        assert!(covered.lines()[1].contains("2 to 8 are not there, the node was away; http://b"));
        assert!(verified(MissingReason::Deleted, None).is_whole(), "files have a bound");
    }
}
