//! What is wrong with this node, gathered each second: of its disk, its logs, its certificates, its voter, the nodes that
//! its router calls, and how much it refuses.
//!
//! [`TroubleSources`] asks each part for its state, [`DiskProbe`] writes a small file now and then on a thread of its own,
//! and [`watch_troubles`] notes since when each trouble lasts (core's tracker) and shows the whole as a report: to control,
//! to the control node of this process, and to operators who ask this node itself.
//!
//! Deliberately missing: what to do about it, and how bad it is. That is `marquee_core::trouble`.

mod disk_probe;
mod file_watch;
mod patience;
mod sources;
mod watching;

pub(crate) use disk_probe::DiskProbe;
pub(crate) use sources::{ControlParts, Following, TroubleMemory, TroubleSources, UnopenedLog};
pub(crate) use watching::watch_troubles;
