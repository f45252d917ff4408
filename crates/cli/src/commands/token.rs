//! `marquee token`: a bearer token, and its hash for the nodes.

use crate::output;
use anyhow::{Context as _, bail};
use clap::Args;
use marquee_core::access::AccessRole;
use marquee_core::id::check_name;
use marquee_node::access::{HashedToken, TokenFile, hash_of_token};
use std::path::PathBuf;
use std::process::ExitCode;

/// Random bytes of a token: as hard to guess as an AES-256 key.
const TOKEN_BYTES: usize = 32;
/// The longest validity in days: a token that no one replaces is forgotten somewhere.
const MAX_DAYS: i64 = 3_650;

/// `marquee token …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee token --name web --roles caller,events --tokens-file tokens.toml >web.token
  marquee token --name deploys --roles operator --days 30 --tokens-file tokens.toml >deploys.token
Name the file in auth.tokens_file of the nodes' configs; it has hashes only. To replace a token, make another of the
same name, bring it to its users, and delete the entry of the old one.")]
pub struct TokenArgs {
    /// Whose token it is, as a name in logs
    #[arg(long)]
    name: String,
    /// What it is for: caller, events, operator, publisher, admin
    #[arg(long, value_delimiter = ',', required = true)]
    roles: Vec<AccessRole>,
    /// Days until it expires, 1 to 3650
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=MAX_DAYS))]
    days: i64,
    /// The file that its hash is added to; it is made if it is not there
    #[arg(long, value_name = "FILE")]
    tokens_file: PathBuf,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Makes a token, adds its hash to the file, and prints the token, which is nowhere else.
pub fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let TokenArgs { name, roles, days, tokens_file, json } = args;
    check_name("--name", name)?;
    if let Some(role) = roles.iter().find(|role| role.of_node().is_some()) {
        bail!("--roles: {role} is a node's, which has a certificate: `marquee certs` makes one");
    }
    let mut file = match fs_err::read_to_string(tokens_file) {
        Ok(text) => TokenFile::parse(&text)
            .with_context(|| format!("--tokens-file {}", tokens_file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => TokenFile::default(),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    let token = format!("mrq_{}", hex::encode(bytes));
    let hours = days.saturating_mul(24);
    let expires = jiff::Timestamp::now().saturating_add(jiff::SignedDuration::from_hours(hours))?;
    let expires = expires.round(jiff::Unit::Second)?.to_string();
    file.token.push(HashedToken {
        name: name.clone(),
        roles: roles.iter().map(ToString::to_string).collect(),
        blake3: hash_of_token(&token),
        expires: expires.clone(),
    });
    let text = format!(
        "# Hashes of bearer tokens, written by `marquee token`. Delete an entry to withdraw its token.\n{}",
        toml::to_string(&file)?
    );
    crate::commands::certs::replace_file(tokens_file, &text, 0o600)?;
    if *json {
        output::json(&serde_json::json!({ "token": token, "expires": expires }))?;
    } else {
        output::line(token)?;
    }
    Ok(ExitCode::SUCCESS)
}
