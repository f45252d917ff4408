//! The `marquee` binary. Everything is in the library, see [`marquee_cli`].

#![forbid(unsafe_code)]

/// An answer is a hundred small strings and a few large lists, made and dropped on one thread: the
/// system's allocator spends a tenth of a request on merging their pieces again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    marquee_cli::command_line::main()
}
