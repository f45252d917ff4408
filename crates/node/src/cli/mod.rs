//! The command line: arguments in, exit code out.
//!
//! Each command has its own arguments and its own `run`, in the module that does the work; here
//! they meet, and here alone an error becomes a line on stderr and an exit code: 0 when the command
//! did what it was asked, 1 when it could not, 2 when it was asked wrongly.

pub mod output;

use crate::{ctl, demo, eval, export, keys, load, log, offline, serve};
use clap::{Parser, Subcommand};
use std::io::ErrorKind;
use std::process::ExitCode;

pub use output::{stderr_has_colours, stdout_has_colours};

/// Exit code of a command that was asked wrongly, as clap has it.
const USAGE: u8 = 2;
/// Worker threads of a command that only talks: one suffices, and less is resident.
const CLIENT_THREADS: usize = 1;
/// Most worker threads of the servers' runtime. They move messages; searches have threads of their
/// own. More would only hold more memory.
const MOST_SERVER_THREADS: usize = 16;

/// A recommendation cluster: trains models, serves them, and moves traffic to new ones step by step
#[derive(Parser, Debug)]
#[command(
    name = "marquee",
    version,
    propagate_version = true,
    after_help = "Examples:
  marquee demo
  marquee train --interactions ratings.csv --items movies.csv --model mf --out bundles/v1
  marquee serve --standalone --bundle bundles/v1
  marquee ctl status"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Tell the whole story on this machine, on real data
    Demo(demo::DemoArgs),
    /// Learn a model from interactions and write a bundle
    Train(Box<offline::TrainCommand>),
    /// Search good settings of a model within a time, on a validation split
    Tune(offline::TuneCommand),
    /// Make a bundle of factors that were trained elsewhere
    Import(offline::ImportCommand),
    /// Cut interactions into files to learn from and files to evaluate on
    Split(offline::SplitCommand),
    /// Score a bundle or a live endpoint on held-out interactions, or compare two
    Eval(marquee_train::EvalArgs),
    /// List what the texts of a bundle's items are about
    Topics(offline::TopicsCommand),
    /// Write recorded events, or what was shown, to a file for the next training
    Export(export::ExportArgs),
    /// Run a node: as its config says, or all roles in this process
    Serve(serve::ServeArgs),
    /// Operate a cluster: publish models, steer rollouts, look at nodes
    Ctl(ctl::CtlArgs),
    /// Send requests at a fixed rate and measure the answers
    Load(load::LoadArgs),
    /// Make a pair of keys to sign bundles with
    Keygen(keys::KeygenArgs),
    /// Sign a bundle
    Sign(keys::SignArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Prints help, version and usage errors itself, and exits 2 for the latter.
    let Cli { command } = Cli::parse();
    match run(command) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            match error.downcast_ref::<marquee_train::TrainError>() {
                Some(marquee_train::TrainError::Option { .. }) => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => runtime(server_threads())?.block_on(demo::run(args)),
        Command::Train(args) => quietly(|| offline::train(*args)),
        Command::Tune(args) => quietly(|| offline::tune(&args)),
        Command::Topics(args) => quietly(|| offline::topics(&args)),
        Command::Import(args) => quietly(|| offline::import(args)),
        Command::Split(args) => quietly(|| offline::split(args)),
        Command::Eval(args) => quietly(|| eval::run(&args)),
        Command::Export(args) => quietly(|| export::run(&args)),
        Command::Serve(args) => serve::run(args),
        Command::Ctl(args) => quietly(|| runtime(CLIENT_THREADS)?.block_on(ctl::run(args))),
        Command::Load(args) => quietly(|| runtime(server_threads())?.block_on(load::run(args))),
        Command::Keygen(args) => keys::keygen(&args),
        Command::Sign(args) => keys::sign(&args),
    }
}

/// Runs a command that reports by itself and logs only what is worth a warning.
fn quietly<R>(command: impl FnOnce() -> R) -> R {
    log::start(&crate::config::LogSection { filter: "warn".into(), ..Default::default() });
    command()
}

/// Threads for a runtime that serves: one a core, within reason.
pub(crate) fn server_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_SERVER_THREADS))
}

/// A tokio runtime with so many workers.
pub(crate) fn runtime(workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(serve::IO_THREADS)
        .enable_all()
        .build()
}

/// The error and its causes in one line. Many messages quote their cause already; it is not said
/// twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.contains(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} says nothing about itself");
            let children: Vec<_> = command.get_subcommands().collect();
            children.iter().for_each(|child| check(child, &path));
            if children.is_empty() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{path} has no example");
            }
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn causes_are_said_once_and_in_one_line() {
        let cause = std::io::Error::other("disk\n  full");
        let error = anyhow::Error::new(cause).context("cannot write a.txt");
        assert_eq!(one_line(&error), "cannot write a.txt: disk full");
        let error = anyhow::Error::new(std::io::Error::other("disk full"))
            .context("cannot write a.txt: disk full");
        assert_eq!(one_line(&error), "cannot write a.txt: disk full");
    }
}
