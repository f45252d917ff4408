//! The types that are generated from the protos, one module for each package.

/// What callers see (`marquee.v1`).
#[allow(missing_docs, unreachable_pub, clippy::all)] // generated
pub mod v1 {
    tonic::include_proto!("marquee.v1");
}

/// What operators see (`marquee.control.v1`).
pub mod control {
    #[allow(missing_docs, unreachable_pub, clippy::all)] // generated
    pub mod v1 {
        tonic::include_proto!("marquee.control.v1");
    }
}

/// Between router and shards (`marquee.shard.v1`).
pub mod shard {
    #[allow(missing_docs, unreachable_pub, clippy::all)] // generated
    pub mod v1 {
        tonic::include_proto!("marquee.shard.v1");
    }
}

/// Between control nodes and on their disks (`marquee.raft.v1`).
pub mod raft {
    #[allow(missing_docs, unreachable_pub, clippy::all)] // generated
    pub mod v1 {
        tonic::include_proto!("marquee.raft.v1");
    }
}

/// What every node says of itself (`marquee.node.v1`).
pub mod node {
    #[allow(missing_docs, unreachable_pub, clippy::all)] // generated
    pub mod v1 {
        tonic::include_proto!("marquee.node.v1");
    }
}
