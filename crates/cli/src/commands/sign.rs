//! `marquee sign`: a signature of a bundle.

use crate::clock::now_ms;
use crate::output;
use clap::Args;
use marquee_bundle::{SignedTerms, sign_bundle};
use std::path::PathBuf;
use std::process::ExitCode;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// The longest time that a signature is good for: ten years, beyond which it may as well have no limit.
const MAX_VALID_DAYS: u64 = 3_650;

/// `marquee sign …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee sign --bundle bundles/films-v2 --key release.key
  marquee sign --bundle bundles/films-v2 --key release.key --valid-days 14")]
pub struct SignArgs {
    /// The bundle's directory
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// The secret key: one that `marquee keygen` made, or an ECDSA key on P-256 or P-384 in PEM (PKCS #8)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where this signature stands among those of the model: a cluster publishes no bundle that stands before one that it
    /// has published [default: the time, in milliseconds since 1970]
    #[arg(long, value_name = "N")]
    counter: Option<u64>,
    /// Days after which the bundle is not published any more; without it, no limit. What was published stays
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_VALID_DAYS))]
    valid_days: Option<u64>,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Signs a bundle and prints the digest of its manifest.
pub fn run(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let now_ms = now_ms();
    let counter = args.counter.unwrap_or(now_ms);
    let expires_at_ms = args.valid_days.map_or(0, |days| now_ms + days * DAY_MS);
    let digest = sign_bundle(&args.bundle, &args.key, SignedTerms { counter, expires_at_ms })?;
    if args.json {
        output::json(&serde_json::json!({
            "manifestDigest": digest.to_string(), "counter": counter, "expiresAtMs": expires_at_ms,
        }))?;
    } else {
        output::line(format!("signed {} (manifest {digest})", args.bundle.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
