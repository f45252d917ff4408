//! `marquee demo`: the whole story on one machine.
//!
//! Get data, train three versions, start a cluster in this process, publish the first version, answer a
//! request, publish the second and move live traffic onto it step by step while measuring what callers
//! see; then publish the third, which the gates roll back; then ask what else there is to ask ([`more`]). Everything uses the public interfaces: training is
//! [`marquee_train`], the cluster is [`marquee_node::serve`], publishing and rolling out are gRPC calls, and
//! the requests are those of [`load`](crate::commands::load).
//!
//! Deliberately missing: anything that only a demo could do.

mod args;
mod data;
mod generated;
mod more;
mod page;
mod rollout;
mod scenario;
mod users;

pub use args::DemoArgs;

use crate::output::{self, stderr_has_colours};
use marquee_node::config::{LogFormat, LogSection};
use marquee_node::log;
use marquee_node::serve::until_told_to_end;
use std::path::Path;
use std::process::ExitCode;

/// Runs the demo, and serves until a signal unless `--exit` is given.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let warnings = LogSection { filter: "warn".into(), format: LogFormat::Text };
    log::start(&warnings, stderr_has_colours());
    if let Some(directory) = &args.write_data {
        return write_data(directory);
    }
    let end = until_told_to_end()?;
    tokio::pin!(end);
    let mut page = page::Page::default();
    let scratch = tempfile::Builder::new().prefix("marquee-demo-").tempdir()?;
    tokio::select! {
        finished = scenario::run(&args, scratch.path(), &mut page) => {
            let Some(finished) = finished? else { return Ok(ExitCode::SUCCESS) };
            if !args.exit {
                page.note("serving; press Ctrl-C to end")?;
                end.await;
            }
            finished.node.shutdown().await;
            let all_answered = finished.failed_requests == 0;
            Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        () = &mut end => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the generated catalogue, unless one of its files exists.
fn write_data(directory: &Path) -> anyhow::Result<ExitCode> {
    for name in generated::FILES {
        let path = directory.join(name);
        if path.exists() {
            anyhow::bail!("--write-data: {} exists: name another directory", path.display());
        }
    }
    generated::write(directory)?;
    output::line(format!("wrote {} into {}", generated::FILES.join(", "), directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
