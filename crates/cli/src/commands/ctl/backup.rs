//! `marquee ctl backup`: everything that control keeps, in one file.

use super::context::Context;
use crate::output;
use anyhow::{Context as _, ensure};
use clap::Args;
use marquee_node::backup::{Backup, MAX_BACKUP_BYTES};
use marquee_proto::control::v1::BackUpRequest;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee ctl backup --out control.backup

The file has the keys that recommendation ids are signed with and users are named with: keep it where secrets are kept.
Only its owner can read it. `marquee ctl restore` makes a new group of it.")]
pub(super) struct BackupArgs {
    /// The file to write; one that is there is replaced once the new one is whole
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes a backup and says what is in it.
pub(super) async fn run(context: &mut Context, args: BackupArgs) -> anyhow::Result<ExitCode> {
    let mut parts = context
        .client
        .call(
            BackUpRequest {},
            |mut control, request| async move { control.back_up(request).await },
        )
        .await?;
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await.context("the backup was cut off: try again")? {
        bytes.extend(part.part);
        ensure!(bytes.len() <= MAX_BACKUP_BYTES, "control sent more than a backup can have");
    }
    let backup = Backup::decode(&bytes).context("control sent a backup that cannot be read")?;
    write_private(&args.out, &bytes)?;
    let (index, size) = (backup.copy.position.index, bytes.len() as u64);
    if context.json {
        output::json(&serde_json::json!({ "index": index, "bytes": size, "file": args.out }))?;
    } else {
        output::line(format!(
            "wrote {}: {} as of entry {index}",
            args.out.display(),
            output::bytes(size)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that only its owner can read, at no moment anybody else, and that is on the disk when this returns.
fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
        .with_context(|| format!("--out: cannot write beside {}", path.display()))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).with_context(|| format!("--out: cannot write {}", path.display()))?;
    Ok(())
}
