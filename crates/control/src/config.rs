//! The config of a control node.

use crate::consensus::store::Identity;
use crate::outbound::{OutboundConfig, OutboundConfigError};
use marquee_bundle::{BundleRoots, TrustedKeys};
use marquee_core::bounds::VOTER_COUNTS;
use marquee_core::hash::{Purpose, stable_hash};
use marquee_core::id::{IdError, check_name};
use marquee_net::Connector;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The log and the state, inside the data directory.
const STORE_FILE: &str = "control.redb";

/// The file of the log and the state in a data directory.
pub(crate) fn store_in(data_dir: &Path) -> PathBuf {
    data_dir.join(STORE_FILE)
}

/// How one control node runs. All nodes of a group must agree on everything but `id`, `data_dir`,
/// `trusted_keys`, `bundle_roots` and `min_index_recall`.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// The cluster's name: nodes of differently named clusters refuse each other.
    pub cluster_name: String,
    /// This node's raft id, from 1.
    pub id: u64,
    /// The voters that the group is founded with: id and `http://host:port` or `https://host:port`. 1, 3 or 5 of them, this
    /// one among them unless `join`. Who is a voter after that, and where, is part of the replicated state.
    pub voters: Vec<(u64, String)>,
    /// Whether this node joins a group that is there already, with an id that is none of `voters`.
    pub join: bool,
    /// Where the log and the state are kept. One directory a node, on a disk that keeps its word.
    pub data_dir: PathBuf,
    /// Replicas wanted of each shard, at least 1. Part of the group's identity: it cannot be
    /// changed later.
    pub replication_factor: u32,
    /// Keys that bundles must be signed with to be published; none: unsigned ones may be.
    pub trusted_keys: TrustedKeys,
    /// The directories below which bundles may be published from, and deleted.
    pub bundle_roots: BundleRoots,
    /// A bundle whose index finds less than this share of the best 100 is not published, 0 to 1.
    pub min_index_recall: f64,
    /// Whom control may ask, and whom it tells of rollouts.
    pub outbound: OutboundConfig,
    /// The node ids of voters, as their certificates have them. A voter that is not listed may be any node with
    /// the control role.
    pub node_ids: BTreeMap<u64, String>,
    /// How other voters are reached.
    pub connector: Connector,
}

/// The recall@100 that an index must have, unless told otherwise: what bundles are built for.
pub const DEFAULT_MIN_INDEX_RECALL: f64 = 0.95;

/// Why a config is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlConfigError {
    /// The cluster's name is malformed.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The group has a size that is not allowed.
    #[error("control.voters has {0} entries: a group has 1, 3 or 5 voters")]
    VoterCount(usize),
    /// An id is 0 or there twice.
    #[error("control.voters: id {0} is 0 or there twice; give each voter its own, from 1")]
    VoterId(u64),
    /// This node is not among the voters.
    #[error(
        "control.id is {id}, but control.voters has only {voters:?}: add it, correct the id, or set control.join if this \
         node joins a group that is there already"
    )]
    NotAVoter {
        /// This node's id.
        id: u64,
        /// The ids of the voters.
        voters: Vec<u64>,
    },
    /// An address is malformed.
    #[error(
        "control.voters: the address {address:?} of voter {id} is not one: {why}; write http://host:port, or https://host:port with TLS"
    )]
    Address {
        /// The voter's id.
        id: u64,
        /// The address that was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// No replicas would be kept.
    #[error("control.replication_factor is 0: at least 1 replica of each shard is needed")]
    ReplicationFactor,
    /// What goes out is malformed.
    #[error(transparent)]
    Outbound(#[from] OutboundConfigError),
}

impl ControlConfig {
    /// Checks everything that does not need the network or the disk.
    pub fn validate(&self) -> Result<(), ControlConfigError> {
        check_name("cluster_name", &self.cluster_name)?;
        if !VOTER_COUNTS.contains(&self.voters.len()) {
            return Err(ControlConfigError::VoterCount(self.voters.len()));
        }
        let mut seen = BTreeSet::new();
        for (id, _) in &self.voters {
            if *id == 0 || !seen.insert(*id) {
                return Err(ControlConfigError::VoterId(*id));
            }
        }
        if self.id == 0 {
            return Err(ControlConfigError::VoterId(0));
        }
        if !seen.contains(&self.id) && !self.join {
            return Err(ControlConfigError::NotAVoter { id: self.id, voters: self.voter_ids() });
        }
        if self.replication_factor == 0 {
            return Err(ControlConfigError::ReplicationFactor);
        }
        self.outbound.validate()?;
        Ok(())
    }

    /// Ids of all voters, ascending.
    pub fn voter_ids(&self) -> Vec<u64> {
        let ids: BTreeSet<u64> = self.voters.iter().map(|(id, _)| *id).collect();
        ids.into_iter().collect()
    }

    /// The file of the log and the state.
    pub(crate) fn store_path(&self) -> PathBuf {
        store_in(&self.data_dir)
    }

    /// Which voter of which group this node's store belongs to.
    pub(crate) fn identity(&self) -> Identity {
        Identity { id: self.id, cluster: self.cluster(), voters: self.voter_ids() }
    }

    /// A number that nodes of the same group have in common and others do not. Addresses are no part
    /// of it, since nodes may see each other under different ones.
    pub fn cluster(&self) -> u64 {
        let ids: Vec<u8> = self.voter_ids().iter().flat_map(|id| id.to_le_bytes()).collect();
        let factor = self.replication_factor.to_le_bytes();
        stable_hash(Purpose::Cluster, &[self.cluster_name.as_bytes(), &ids, &factor])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ids: &[u64]) -> ControlConfig {
        ControlConfig {
            cluster_name: "films".into(),
            id: 1,
            voters: ids.iter().map(|id| (*id, format!("http://127.0.0.1:70{id:02}"))).collect(),
            join: false,
            data_dir: "/tmp".into(),
            replication_factor: 2,
            trusted_keys: TrustedKeys::none(),
            bundle_roots: BundleRoots::anywhere(),
            min_index_recall: DEFAULT_MIN_INDEX_RECALL,
            outbound: OutboundConfig::default(),
            node_ids: BTreeMap::new(),
            connector: Connector::plain(),
        }
    }

    #[test]
    fn groups_that_make_no_sense_are_refused() {
        assert_eq!(config(&[1, 2, 3]).validate(), Ok(()));
        assert_eq!(config(&[1, 2]).validate(), Err(ControlConfigError::VoterCount(2)));
        assert_eq!(config(&[]).validate(), Err(ControlConfigError::VoterCount(0)));
        assert_eq!(config(&[1, 2, 2]).validate(), Err(ControlConfigError::VoterId(2)));
        assert_eq!(config(&[0, 1, 2]).validate(), Err(ControlConfigError::VoterId(0)));
        let not_a_voter = ControlConfigError::NotAVoter { id: 1, voters: vec![2, 3, 4] };
        assert_eq!(config(&[4, 3, 2]).validate(), Err(not_a_voter));
        let joins = ControlConfig { join: true, ..config(&[4, 3, 2]) };
        assert_eq!(joins.validate(), Ok(()));
        assert_eq!(
            ControlConfig { id: 0, ..joins }.validate(),
            Err(ControlConfigError::VoterId(0))
        );
        let nothing = ControlConfig { replication_factor: 0, ..config(&[1]) };
        assert_eq!(nothing.validate(), Err(ControlConfigError::ReplicationFactor));
    }

    #[test]
    fn a_group_is_known_by_its_name_voters_and_factor() {
        let films = config(&[1, 2, 3]);
        assert_eq!(films.cluster(), ControlConfig { id: 2, ..config(&[3, 1, 2]) }.cluster());
        let others = [
            config(&[1, 2, 4]),
            ControlConfig { cluster_name: "games".into(), ..films.clone() },
            ControlConfig { replication_factor: 3, ..films.clone() },
        ];
        assert!(others.iter().all(|other| other.cluster() != films.cluster()));
    }
}
