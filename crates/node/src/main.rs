//! The `marquee` binary. Everything is in the library, see [`marquee_node`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    marquee_node::cli::main()
}
