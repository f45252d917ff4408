//! What every command of `marquee ctl` is given.

use marquee_client::{Address, ControlClient, Credentials};

/// The cluster that a command operates, and how it prints.
pub(super) struct Context {
    /// The client of the control nodes.
    pub(super) client: ControlClient,
    /// The addresses of the control nodes, as given on the command line.
    pub(super) addresses: Vec<Address>,
    /// How the commands prove who gives them.
    pub(super) credentials: Credentials,
    /// Whether JSON is printed instead of tables.
    pub(super) json: bool,
}
