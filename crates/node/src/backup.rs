//! Backups of control, and the data directory of a control node made of one by its config.

pub use marquee_control::backup::{Backup, MAX_BACKUP_BYTES};

use crate::config::Config;
use anyhow::Context as _;
use marquee_bundle::{BundleRoots, TrustedKeys};
use marquee_control::{ControlConfig, OutboundConfig};

/// Makes the data directory of a control node of a backup: of what is to be a new group. Returns the epoch of its plan.
pub fn restore_control(config: &Config, backup: &[u8]) -> anyhow::Result<u64> {
    let settings = config
        .control
        .as_ref()
        .context("this node has no control role: take the config of one that has")?;
    let epoch = marquee_control::backup::restore(
        &ControlConfig {
            cluster_name: config.cluster_name.clone(),
            id: settings.id,
            voters: settings.voters.iter().map(|(id, at)| (*id, at.to_string())).collect(),
            join: settings.join,
            data_dir: config.data_dir.clone(),
            replication_factor: settings.replication_factor,
            // What is only needed by a node that runs.
            trusted_keys: TrustedKeys::none(),
            bundle_roots: BundleRoots::anywhere(),
            min_index_recall: settings.min_index_recall,
            outbound: OutboundConfig::default(),
            node_ids: settings.node_ids.clone(),
            connector: Default::default(),
        },
        backup,
    )?;
    Ok(epoch)
}
