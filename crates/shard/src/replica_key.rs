//! What names a replica on this node.

use marquee_core::id::ModelVersion;
use std::fmt;

/// One shard of one version. Displayed as `films@3/0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaKey {
    /// The model and the number of the version.
    pub version: ModelVersion,
    /// The number of the shard, from 0.
    pub shard: u32,
}

impl ReplicaKey {
    /// The key of this shard of this version.
    pub fn new(version: ModelVersion, shard: u32) -> Self {
        Self { version, shard }
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.version, self.shard)
    }
}
