//! When a disk has too little room, and when it is too slow.

/// Free bytes below which a disk is short of room: minutes of events, and room for a plan and for the log of control to be
/// rewritten.
pub const LOW_DISK_BYTES: u64 = 256 << 20;
/// A disk with at least one part in so many free is not short of room, however small it is.
const LOW_DISK_SHARE: u64 = 20;
/// A small synced write that takes so many milliseconds is slow: a commit of control waits for one on each of two voters.
pub const SLOW_WRITE_MS: u64 = 500;

/// The room on the disk of a directory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this user may still write.
    pub free_bytes: u64,
    /// What the disk has in all.
    pub total_bytes: u64,
}

impl DiskSpace {
    /// Whether there is little room left.
    pub fn is_low(&self) -> bool {
        self.free_bytes < LOW_DISK_BYTES && self.free_bytes < self.total_bytes / LOW_DISK_SHARE
    }
}
