//! The bytes of one input: a seed, and the files that replace or join those of the seed.
//!
//! ```text
//! bytes    what
//! 1        the number of the seed, modulo how many there are
//! then for each file
//! 1        n, the length of its path
//! n        its path within the bundle
//! 4        m, its length, u32, little-endian
//! m        its bytes
//! ```

use std::collections::BTreeMap;

/// Which files of which seed hold other bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Input {
    /// The number of the seed, modulo how many there are.
    pub(crate) seed: u8,
    /// The bytes of files, by path within the bundle.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Input {
    /// Reads one; a file that is cut off ends where the bytes do. None for bytes that are no input.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&seed, mut rest) = bytes.split_first()?;
        let mut files = BTreeMap::new();
        while let Some((&length, after)) = rest.split_first() {
            let (path, after) = after.split_at_checked(length as usize)?;
            let (length, after) = after.split_first_chunk::<4>()?;
            let length = (u32::from_le_bytes(*length) as usize).min(after.len());
            let (content, after) = after.split_at(length);
            files.insert(std::str::from_utf8(path).ok()?.to_owned(), content.to_vec());
            rest = after;
        }
        Some(Self { seed, files })
    }

    /// The bytes that decode to this input.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.seed];
        for (path, content) in &self.files {
            let path = &path.as_bytes()[..path.len().min(u8::MAX as usize)];
            bytes.push(path.len() as u8);
            bytes.extend_from_slice(path);
            bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
            bytes.extend_from_slice(content);
        }
        bytes
    }
}
