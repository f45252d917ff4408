//! `marquee certs`: a certificate authority for development, and certificates of nodes and users.
//!
//! Run again in the same directory it keeps the authority and replaces the certificates, which running nodes
//! notice within a second.

mod owner;

use crate::output;
use anyhow::Context as _;
use clap::Args;
use marquee_core::id::check_name;
use marquee_net::issue::{Authority, CertificateOrder, Day, Issued};
use owner::{NodeOwner, Owner, UserOwner};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The longest validity in days: longer ones outlive those who know of them.
const MAX_DAYS: i64 = 3_650;
/// The authority is valid for so many times as long as what it issues.
const AUTHORITY_TIMES: i64 = 10;
/// The list of revoked certificates, among the files.
const REVOKED_FILE: &str = "revoked.pem";
/// Users that are there unless others are named.
const DEFAULT_USERS: [&str; 2] = ["operator:operator,publisher,admin", "caller:caller,events"];

/// `marquee certs …`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marquee certs --out certs --node standalone=127.0.0.1
  marquee certs --out certs --trust-domain films --node control-1:control=10.0.0.1 --node shard-1:shard=10.0.0.2
  marquee certs --out certs --user web:caller,events --user deploys:operator
  marquee certs --out certs --revoke web
Writes ca.pem, ca.key, and NAME.pem and NAME.key of each. Nodes name them in [tls] of their configs, users in --tls-ca,
--cert and --key. Keep ca.key: who has it can make certificates for any role. Run again to replace what is near its
end; running nodes take the new files. --revoke writes revoked.pem, which nodes name in tls.revoked.")]
pub struct CertsArgs {
    /// The directory of the files; one with a ca.pem and ca.key keeps these
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The trust domain of the identities: cluster.name of the nodes' configs, or auth.trust_domain
    #[arg(long, default_value = "marquee")]
    trust_domain: String,
    /// A node: its node.id, its roles unless all three, and the hosts at which others reach it; repeat it for more
    #[arg(long, value_name = "NAME[:ROLES]=HOST,…")]
    node: Vec<NodeOwner>,
    /// A user or service and its roles; repeat it for more [default: operator:operator,publisher,admin and
    /// caller:caller,events]
    #[arg(long, value_name = "NAME:ROLES")]
    user: Vec<UserOwner>,
    /// Revoke the certificate NAME.pem, as it is before a new one is made: it is added to the list in revoked.pem; repeat it
    /// for more. Certificates that were replaced before are not revoked by that
    #[arg(long, value_name = "NAME")]
    revoke: Vec<String>,
    /// Days until the certificates expire, 1 to 3650; the authority lives ten times as long
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=MAX_DAYS))]
    days: i64,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

/// Makes the certificates and writes their files.
pub fn run(args: &CertsArgs) -> anyhow::Result<ExitCode> {
    check_name("--trust-domain", &args.trust_domain)?;
    let mut owners: Vec<Owner> = args.node.iter().map(|NodeOwner(node)| node.clone()).collect();
    let only_revokes = !args.revoke.is_empty() && args.user.is_empty() && args.node.is_empty();
    if !only_revokes && args.user.is_empty() && (args.node.is_empty() || !has_users(&args.out)) {
        for text in DEFAULT_USERS {
            let UserOwner(user) = text.parse().map_err(anyhow::Error::msg)?;
            owners.push(user);
        }
    }
    owners.extend(args.user.iter().map(|UserOwner(user)| user.clone()));
    fs_err::create_dir_all(&args.out)?;
    let authority = authority(&args.out, args.days)?;
    if !args.revoke.is_empty() {
        revoke(&authority, args)?;
    }
    for owner in &owners {
        let Issued { certificate, key } = authority.issue(&CertificateOrder {
            uris: vec![owner.uri(&args.trust_domain)],
            hosts: owner.hosts.clone(),
            from: day_after(-1)?,
            until: day_after(args.days)?,
        })?;
        replace_file(&args.out.join(format!("{}.key", owner.name)), &key, 0o600)?;
        replace_file(&args.out.join(format!("{}.pem", owner.name)), &certificate, 0o644)?;
    }
    if args.json {
        let list: Vec<_> = owners
            .iter()
            .map(|owner| {
                serde_json::json!({
                    "name": owner.name, "identity": owner.uri(&args.trust_domain), "hosts": owner.hosts,
                })
            })
            .collect();
        output::json(&list)?;
    } else {
        for owner in &owners {
            output::line(format!("{}.pem  {}", owner.name, owner.uri(&args.trust_domain)))?;
        }
        for name in &args.revoke {
            output::line(format!("{name}  revoked, in {REVOKED_FILE}"))?;
        }
        output::line(format!("{} certificates in {}", owners.len(), args.out.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds the certificates of these names to the list of revoked ones.
fn revoke(authority: &Authority, args: &CertsArgs) -> anyhow::Result<()> {
    let mut certificates = Vec::new();
    for name in &args.revoke {
        check_name("--revoke", name)?;
        certificates.push(fs_err::read_to_string(args.out.join(format!("{name}.pem")))?);
    }
    let path = args.out.join(REVOKED_FILE);
    let list = match fs_err::read_to_string(&path) {
        Ok(list) => Some(list),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let until = day_after(args.days.saturating_mul(AUTHORITY_TIMES))?;
    let list = authority.revoke(list.as_deref(), &certificates, day_after(0)?, until)?;
    replace_file(&path, &list, 0o644)
}

/// Whether the default users were made before.
fn has_users(directory: &Path) -> bool {
    directory.join("operator.pem").exists()
}

/// The authority of the directory, or a new one in it.
fn authority(directory: &Path, days: i64) -> anyhow::Result<Authority> {
    let (certificate, key) = (directory.join("ca.pem"), directory.join("ca.key"));
    match fs_err::read_to_string(&key) {
        Ok(key) => Ok(Authority::of_pem(&fs_err::read_to_string(&certificate)?, &key)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let until = day_after(days.saturating_mul(AUTHORITY_TIMES))?;
            let authority = Authority::new(day_after(-1)?, until)?;
            replace_file(&key, &authority.key(), 0o600)?;
            replace_file(&certificate, authority.certificate(), 0o644)?;
            Ok(authority)
        }
        Err(error) => Err(error.into()),
    }
}

/// The day so many days after today.
fn day_after(days: i64) -> anyhow::Result<Day> {
    let hours = jiff::SignedDuration::from_hours(days.saturating_mul(24));
    let time = jiff::Timestamp::now().saturating_add(hours)?;
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (month, day) = (u8::try_from(date.month())?, u8::try_from(date.day())?);
    Ok((i32::from(date.year()), month, day))
}

/// Replaces a file as a whole: who reads it meanwhile has the old or the new one. `mode` are its Unix permissions.
pub(crate) fn replace_file(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = mode;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
