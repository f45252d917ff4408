//! The tokio runtimes of commands.

use marquee_node::serve::IO_THREADS;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// Worker threads of a command that is a client only: one suffices, and less memory is resident.
pub(crate) const CLIENT_THREADS: usize = 1;
/// Upper bound of the worker threads of a server's runtime. They move messages; searches have threads of
/// their own, so more would only hold more memory.
const MAX_SERVER_THREADS: usize = 16;

/// The worker threads of a runtime that serves: one a core, at most [`MAX_SERVER_THREADS`].
pub(crate) fn server_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_SERVER_THREADS))
}

/// A tokio runtime with so many worker threads.
pub(crate) fn runtime(workers: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(workers).thread_name(IO_THREADS).enable_all().build()
}
