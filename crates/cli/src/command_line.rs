//! The command line: arguments in, exit code out.
//!
//! Each command has its own arguments and its own `run`, in [`commands`](crate::commands). Here an error
//! becomes a line on stderr and an exit code: 0 if the command succeeded, 1 if it failed, 2 if its arguments
//! are wrong.

use crate::commands::{
    ask, certs, ctl, data, demo, eval, export, import, keygen, load, metrics, rules, serve, sign,
    split, token, topics, train, tune,
};
use crate::output::{shown, stderr_has_colours};
use crate::runtime::{CLIENT_THREADS, runtime, server_threads};
use clap::{Parser, Subcommand};
use marquee_client::status_in_words;
use marquee_node::config::{LogFormat, LogSection};
use marquee_node::log;
use marquee_train::TrainError;
use std::io::ErrorKind;
use std::process::ExitCode;
use tonic::Status;

/// Exit code of a command with wrong arguments, the same as clap's.
const USAGE: u8 = 2;

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
    /// Show training, serving and gray releases on this machine, on real data
    Demo(demo::DemoArgs),
    /// Train a model on interactions and write a bundle
    Train(Box<train::TrainCommand>),
    /// Search good settings of a model within a time limit, on a validation split
    Tune(tune::TuneCommand),
    /// Make a bundle of factors that were trained elsewhere
    Import(import::ImportCommand),
    /// Split interactions into files to train on and files to evaluate on
    Split(split::SplitCommand),
    /// Evaluate a bundle or a live endpoint on held-out interactions, or compare two
    Eval(Box<eval::EvalCommand>),
    /// Look at data files before anything is trained on them
    Data(data::DataCommand),
    /// List which items go together in a file of interactions
    Rules(rules::RulesCommand),
    /// List the topics of the texts of a bundle's items
    Topics(topics::TopicsCommand),
    /// Write recorded events or exposures to a file for the next training
    Export(export::ExportArgs),
    /// Run a node with the roles of its config, or all roles in one process
    Serve(serve::ServeArgs),
    /// Ask a router as callers do, and show the answer with titles and reasons
    Ask(ask::AskArgs),
    /// Operate a cluster: publish models, steer rollouts, list nodes
    Ctl(ctl::CtlArgs),
    /// Send requests at a fixed rate and measure latencies and errors
    Load(load::LoadArgs),
    /// List the metrics that nodes show to Prometheus, with their types, labels, units and meanings
    Metrics(metrics::MetricsArgs),
    /// Make certificates for the nodes and users of a development cluster
    Certs(certs::CertsArgs),
    /// Make a bearer token, and add its hash to a file of tokens
    Token(token::TokenArgs),
    /// Make a pair of keys to sign bundles with
    Keygen(keygen::KeygenArgs),
    /// Sign a bundle
    Sign(sign::SignArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Prints help, version and usage errors itself, and exits 2 for the latter.
    let Cli { command } = Cli::parse();
    match run(command) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", shown(&one_line(&error)));
            match error.downcast_ref::<TrainError>() {
                Some(TrainError::Option { .. }) => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => runtime(server_threads())?.block_on(demo::run(args)),
        Command::Train(args) => with_warnings(|| train::run(&args)),
        Command::Tune(args) => with_warnings(|| tune::run(&args)),
        Command::Data(args) => with_warnings(|| data::run(&args)),
        Command::Rules(args) => with_warnings(|| rules::run(&args)),
        Command::Topics(args) => with_warnings(|| topics::run(&args)),
        Command::Import(args) => with_warnings(|| import::run(&args)),
        Command::Split(args) => with_warnings(|| split::run(&args)),
        Command::Eval(args) => with_warnings(|| eval::run(&args)),
        Command::Export(args) => with_warnings(|| export::run(&args)),
        Command::Serve(args) => serve::run(&args),
        Command::Ask(args) => with_warnings(|| runtime(CLIENT_THREADS)?.block_on(ask::run(args))),
        Command::Ctl(args) => with_warnings(|| runtime(CLIENT_THREADS)?.block_on(ctl::run(args))),
        Command::Load(args) => {
            with_warnings(|| runtime(server_threads())?.block_on(load::run(args)))
        }
        Command::Metrics(args) => metrics::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Sign(args) => sign::run(&args),
    }
}

/// Runs a command that prints its own results, and logs warnings and errors only.
fn with_warnings<R>(command: impl FnOnce() -> R) -> R {
    let warnings = LogSection { filter: "warn".into(), format: LogFormat::Text };
    log::start(&warnings, stderr_has_colours());
    command()
}

/// The error and its causes in one line. Many messages quote their cause already; it is not printed twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        // Of a status its own words, and not the fields that it is made of.
        let boxed = cause.downcast_ref::<Box<Status>>().map(|status| &**status);
        let cause = match cause.downcast_ref::<Status>().or(boxed) {
            Some(status) => status_in_words(status),
            None => cause.to_string(),
        };
        let cause = cause.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.contains(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text
}

/// Whether the reader of stdout closed it, as `head` does.
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
    use marquee_client::CallError;

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
        for (message, says) in [("", "UNIMPLEMENTED"), ("not here", "UNIMPLEMENTED: not here")] {
            let status = Status::unimplemented(message);
            let refused = CallError::Refused(Box::new(status.clone()));
            assert_eq!(one_line(&anyhow::Error::new(refused)), says);
            let asked = anyhow::Error::new(status).context("cannot ask");
            assert_eq!(one_line(&asked), format!("cannot ask: {says}"));
        }
        let error = anyhow::Error::new(std::io::Error::other("disk full"))
            .context("cannot write a.txt: disk full");
        assert_eq!(one_line(&error), "cannot write a.txt: disk full");
    }
}
