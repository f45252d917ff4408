//! `marquee keygen`: a pair of keys to sign bundles with.

use crate::output;
use clap::Args;
use marquee_bundle::generate_keys;
use std::path::PathBuf;
use std::process::ExitCode;

/// `marquee keygen …`
#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee keygen --secret release.key --public release.pub
Then sign bundles with release.key and name release.pub in bundles.trusted_keys of the nodes' configs.")]
pub struct KeygenArgs {
    /// Where the secret key goes, a new file that only you can read
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// Where the public key goes, a new file
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Makes a pair of keys and writes each to its file.
pub fn run(args: &KeygenArgs) -> anyhow::Result<ExitCode> {
    let public = generate_keys(&args.secret, &args.public)?;
    if args.json {
        output::json(&serde_json::json!({ "publicKey": public }))?;
    } else {
        output::line(format!(
            "wrote the secret key to {} (keep it) and the public key {public} to {}",
            args.secret.display(),
            args.public.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
