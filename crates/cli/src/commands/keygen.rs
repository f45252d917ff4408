//! `marquee keygen`: a pair of keys to sign bundles with.

use crate::output;
use clap::Args;
use marquee_bundle::{KeyKind, generate_keys};
use std::path::PathBuf;
use std::process::ExitCode;

/// `marquee keygen …`
#[derive(Args, Debug)]
#[command(after_help = "Example:
  marquee keygen --secret release.key --public release.pub
Then sign bundles with release.key and name release.pub in bundles.trusted_keys of the nodes' configs. The program
model_signing verifies these signatures, too:
  model_signing verify key --public_key release.pub --signature bundles/films-v2/model.sig bundles/films-v2")]
pub struct KeygenArgs {
    /// Where the secret key goes, a new file that only you can read
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// Where the public key goes, a new file
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    /// Make an Ed25519 key, whose signatures are in Marquee's own form, manifest.sig. Without this the key is an ECDSA key on
    /// P-256 in PEM, whose signatures, model.sig, are in the OpenSSF model-signing form
    #[arg(long)]
    ed25519: bool,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Makes a pair of keys and writes each to its file.
pub fn run(args: &KeygenArgs) -> anyhow::Result<ExitCode> {
    let kind = if args.ed25519 { KeyKind::Ed25519 } else { KeyKind::P256 };
    let name = generate_keys(&args.secret, &args.public, kind)?;
    if args.json {
        output::json(&serde_json::json!({ "publicKey": name }))?;
    } else {
        output::line(format!(
            "wrote the secret key to {} (keep it) and the public key {name} to {}",
            args.secret.display(),
            args.public.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
