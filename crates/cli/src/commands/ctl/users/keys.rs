//! `marquee ctl users keys`.

use super::user_privacy::user_privacy;
use crate::commands::ctl::context::Context;
use crate::output;
use anyhow::Context as _;
use clap::Args;
use marquee_proto::convert::privacy::privacy_from_pb;
use marquee_train::read::UserKeysFile;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee ctl users keys --out users.json
  marquee train --interactions train.parquet --forgotten users.json --name films --out bundles/films-v3

Who has the file and a list of ids can tell whose an exposure is. It is written for your eyes only (0600): delete it when
the training is done, and write it anew for the next, since it also says who is forgotten by then.")]
pub(in crate::commands::ctl) struct KeysArgs {
    /// The file to write; one that exists is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn run(context: &mut Context, args: KeysArgs) -> anyhow::Result<ExitCode> {
    let answer = user_privacy(context).await?;
    let privacy = privacy_from_pb(answer.privacy.unwrap_or_default())?;
    let file = UserKeysFile::of(&privacy)
        .context("the cluster has drawn no keys yet: try again in some seconds")?;
    write_private(&args.out, &serde_json::to_string_pretty(&file)?)?;
    let (keys, forgotten) = (privacy.keys.iter().count(), privacy.tombstones.len());
    if context.json {
        output::json(&serde_json::json!({
            "out": args.out, "keys": keys, "forgotten": forgotten, "newest": privacy.tombstones.newest(),
        }))?;
    } else {
        output::line(format!(
            "{} and {} who are forgotten, written to {}",
            output::count(keys as u64, "key"),
            output::count(forgotten as u64, "user"),
            args.out.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that only its owner can read, at no moment anybody else.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
        .with_context(|| format!("--out: cannot write beside {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.persist(path).with_context(|| format!("--out: cannot write {}", path.display()))?;
    Ok(())
}
