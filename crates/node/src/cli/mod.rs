//! The command line (being written).
pub mod output;
pub use output::stderr_has_colours;
