//! The members of the group: which disks may vote, and how members come and go.
//!
//! To raft, a voter is a number. Here it is a number and a [`DiskId`]: a disk draws its id when it is made, and the
//! group's replicated [`Membership`] has the id of each member's disk. Two disks are two voters, whatever the config
//! calls them. So a voter whose disk was lost cannot give its vote, or its word for an entry, a second time.
//!
//! - [`admission`] decides which messages a voter takes, by the disks that they come from and are for.
//! - [`founding`] is how the voters of a new group come to know each other's disks.
//! - [`change`] is what operators may ask for; [`step`] is what the leader does next on its own.
//!
//! All of it is pure. A change is an entry of the log that has the whole membership after it. It is raft's change of
//! configuration where the votes change, and a plain entry otherwise. The config lists the members that a group is
//! founded with; from then on the log says who is one.

pub(crate) mod admission;
pub mod change;
mod disk;
pub(crate) mod founding;
mod membership;
pub(crate) mod step;

pub use disk::DiskId;
pub(crate) use membership::MAX_MEMBERSHIP_BYTES;
pub use membership::{MAX_MEMBERS, Member, MemberRole, Membership, MembershipError};

#[cfg(test)]
mod tests;
