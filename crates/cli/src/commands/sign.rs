//! `marquee sign`: a signature under a bundle's manifest.

use crate::output;
use clap::Args;
use marquee_bundle::sign_bundle;
use std::path::PathBuf;
use std::process::ExitCode;

/// `marquee sign …`
#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee sign --bundle bundles/films-v2 --key release.key")]
pub struct SignArgs {
    /// The bundle's directory
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// The secret key that `marquee keygen` made
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Signs a bundle and prints the digest of its manifest.
pub fn run(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let digest = sign_bundle(&args.bundle, &args.key)?;
    if args.json {
        output::json(&serde_json::json!({ "manifestDigest": digest.to_string() }))?;
    } else {
        output::line(format!("signed {} (manifest {digest})", args.bundle.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
