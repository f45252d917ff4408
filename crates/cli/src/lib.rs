//! The command line of Marquee, as a library behind the `marquee` binary.
//!
//! [`command_line`] reads the arguments, runs one of the [`commands`], and turns errors into a line on stderr
//! and an exit code. [`output`] and [`message`] are what commands print with: tables, and JSON for
//! scripts.
//!
//! Deliberately missing: anything that serves. A node is `marquee-node`; connections to one are
//! `marquee-client`.

#![forbid(unsafe_code)]

mod clock;
pub mod command_line;
pub mod commands;
mod credentials;
pub mod message;
pub mod output;
mod runtime;
