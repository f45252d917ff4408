//! A disk for tests: it fails when told to, and a crash keeps any part of what was not synced.

use redb::StorageBackend;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard};

/// A disk that can lose any of the writes since the last sync.
#[derive(Clone, Debug, Default)]
pub(crate) struct TornDisk(Arc<Mutex<Image>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    durable: Vec<u8>,
    pub(crate) current: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Writes and syncs that still succeed.
    pub(crate) left: Option<u64>,
    /// Writes and syncs so far.
    pub(crate) done: u64,
}

impl TornDisk {
    /// What is on it.
    pub(crate) fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn spend(&self) -> Result<MutexGuard<'_, Image>, std::io::Error> {
        let mut image = self.image();
        image.done += 1;
        match &mut image.left {
            Some(0) => return Err(std::io::Error::new(ErrorKind::StorageFull, "disk full")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(image)
    }

    /// The disk after a crash in which only the unsynced writes that `keeps` names arrived.
    pub(crate) fn crashed(&self, keeps: impl Fn(usize) -> bool) -> Self {
        let image = self.image();
        let mut durable = image.durable.clone();
        durable.resize(image.current.len().max(durable.len()), 0);
        for (_, (at, data)) in image.unsynced.iter().enumerate().filter(|(n, _)| keeps(*n)) {
            if let Some(bytes) = durable.get_mut(*at..at + data.len()) {
                bytes.copy_from_slice(data);
            }
        }
        let image = Image { current: durable.clone(), durable, ..Image::default() };
        Self(Arc::new(Mutex::new(image)))
    }
}

impl StorageBackend for TornDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.image().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let at = offset as usize;
        let image = self.image();
        let bytes = image.current.get(at..at + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.spend()?.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut image = self.spend()?;
        image.durable = image.current.clone();
        image.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let at = offset as usize;
        let mut image = self.spend()?;
        let bytes = image.current.get_mut(at..at + data.len()).ok_or(ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(data);
        image.unsynced.push((at, data.to_vec()));
        Ok(())
    }
}
