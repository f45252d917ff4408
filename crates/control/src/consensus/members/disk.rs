//! The identity of a control data directory.

use bytes::Bytes;
use std::fmt;

/// Bytes of an id: enough that two are never the same by chance.
const BYTES: usize = 16;

/// The identity of one control data directory: drawn when it is made, and never changed. Not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId([u8; BYTES]);

impl DiskId {
    /// Draws a new id. An error means that the system gives no randomness.
    pub fn draw() -> Result<Self, String> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
        Self::from_bytes(&bytes).ok_or_else(|| "the system's randomness is all zeros".into())
    }

    /// The id that has these bytes; none if they are not 16, or all zero.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; BYTES]>::try_from(bytes).ok()?;
        (bytes != [0; BYTES]).then_some(Self(bytes))
    }

    /// An id for a test or a simulation, the same for the same number.
    pub fn of_number(number: u64) -> Self {
        let mut bytes = [0xd1; BYTES];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    /// The 16 bytes of the id.
    pub fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// An id that may be unknown, as messages have it: no bytes if it is.
    pub(crate) fn to_wire(disk: Option<Self>) -> Bytes {
        disk.map_or_else(Bytes::new, |disk| Bytes::copy_from_slice(&disk.0))
    }

    /// Reads an id that may be unknown; none if it is malformed.
    pub(crate) fn from_wire(bytes: &[u8]) -> Option<Option<Self>> {
        if bytes.is_empty() { Some(None) } else { Self::from_bytes(bytes).map(Some) }
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first bytes tell ids apart in logs and test failures.
        f.write_str(&hex::encode(&self.0[..8]))
    }
}
