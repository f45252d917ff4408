//! The last plan on disk, with which a router restarts while every control node is down.
//!
//! ```text
//! offset  bytes  content
//!      0      8  "MQPLAN01"
//!      8      8  length n of the plan, little-endian
//!     16     32  BLAKE3 of the plan
//!     48      n  marquee.control.v1.Plan, protobuf
//! ```
//!
//! Written to a temporary name, synced and renamed, so that a crash leaves the old plan or the new
//! one. A file that cannot be read is ignored with a warning, and the next plan replaces it.

use marquee_core::plan::Plan;
use marquee_proto::control::v1 as wire;
use marquee_proto::convert::plan::{plan_from_pb, plan_to_pb};
use prost::Message as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const MAGIC: &[u8; 8] = b"MQPLAN01";
const HEADER_BYTES: usize = 48;
/// Upper bound of the bytes of a plan file: those of a message of a control node.
const MAX_BYTES: u64 = marquee_client::MAX_CONTROL_MESSAGE_BYTES as u64;

/// The file that holds a node's last plan.
#[derive(Clone, Debug)]
pub struct PlanCache {
    path: PathBuf,
    /// Why the last plan could not be written; none if it was.
    failure: Arc<Mutex<Option<String>>>,
}

/// Why a file cannot be read as a plan.
#[derive(Debug, thiserror::Error)]
enum CacheError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is cut short")]
    Short,
    #[error("it has {0} bytes, more than any plan")]
    Long(u64),
    #[error("it does not begin with the marker of a plan")]
    Magic,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it is not a plan: {0}")]
    Content(String),
}

impl PlanCache {
    /// The cache in a node's data directory, which must exist when a plan is written.
    pub fn in_directory(data_dir: &Path) -> Self {
        Self { path: data_dir.join("last.plan"), failure: Arc::default() }
    }

    /// The plan of the last run, if there is a valid one.
    pub fn read(&self) -> Option<Plan> {
        match self.try_read() {
            Ok(plan) => plan,
            Err(error) => {
                tracing::warn!(
                    path = %self.path.display(),
                    %error,
                    "the plan on disk is ignored; the next one from control replaces it"
                );
                None
            }
        }
    }

    fn try_read(&self) -> Result<Option<Plan>, CacheError> {
        let length = match fs_err::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if length > MAX_BYTES {
            return Err(CacheError::Long(length));
        }
        decode(&fs_err::read(&self.path)?).map(Some)
    }

    /// Why the last plan could not be written; none if it was.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the plan on disk.
    pub fn write(&self, plan: &Plan) -> io::Result<()> {
        let written = self.try_write(plan);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) =
            written.as_ref().err().map(|error| error.to_string());
        written
    }

    fn try_write(&self, plan: &Plan) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&encode(plan))?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        fs_err::File::open(directory)?.sync_all()
    }
}

fn encode(plan: &Plan) -> Vec<u8> {
    let plan = plan_to_pb(plan).encode_to_vec();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + plan.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(plan.len() as u64).to_le_bytes());
    bytes.extend_from_slice(blake3::hash(&plan).as_bytes());
    bytes.extend_from_slice(&plan);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Plan, CacheError> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(CacheError::Short)?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or(CacheError::Short)?;
    let (checksum, plan) = rest.split_first_chunk::<32>().ok_or(CacheError::Short)?;
    if magic != MAGIC {
        return Err(CacheError::Magic);
    }
    if u64::from_le_bytes(*length) != plan.len() as u64 {
        return Err(CacheError::Short);
    }
    if blake3::hash(plan).as_bytes() != checksum {
        return Err(CacheError::Checksum);
    }
    let plan = wire::Plan::decode(plan).map_err(|e| CacheError::Content(e.to_string()))?;
    plan_from_pb(plan).map_err(|e| CacheError::Content(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::{Node, Role};
    use std::collections::BTreeSet;

    fn plan() -> Plan {
        let node = Node {
            address: "http://127.0.0.1:50071".into(),
            roles: BTreeSet::from([Role::Shard]),
            draining: false,
            memory_budget_bytes: 0,
            alive: true,
        };
        Plan {
            epoch: 17,
            replication_factor: 2,
            nodes: [("shard-1".to_owned(), node)].into(),
            next_rollout: 3,
            ..Plan::default()
        }
    }

    #[test]
    fn the_last_plan_reads_back() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cache = PlanCache::in_directory(directory.path());
        assert_eq!(cache.read(), None, "nothing is there before the first plan");
        for epoch in [17, 18] {
            let plan = Plan { epoch, ..plan() };
            cache.write(&plan).expect("written");
            assert_eq!(cache.read(), Some(plan));
        }
        let files = fs_err::read_dir(directory.path()).expect("listed").count();
        assert_eq!(files, 1, "no temporary file stays behind");
    }

    #[test]
    fn every_flipped_byte_and_every_truncation_is_ignored() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cache = PlanCache::in_directory(directory.path());
        let good = encode(&plan());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode(&bad).is_err(), "flipped byte {at}");
            assert!(decode(&good[..at]).is_err(), "cut at {at}");
        }
        fs_err::write(&cache.path, &good[..good.len() - 1]).expect("written");
        assert_eq!(cache.read(), None, "a broken file is a warning, not an error");
        cache.write(&plan()).expect("a broken file is replaced");
        assert_eq!(cache.read(), Some(plan()));
    }
}
