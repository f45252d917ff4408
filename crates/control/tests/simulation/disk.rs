//! A disk in memory that forgets what was not synced when its machine crashes.

use redb::StorageBackend;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

/// What happens at a sync that a crash was planned for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrashAtSync {
    /// Syncs that still succeed before it.
    pub(crate) after: u32,
    /// Whether the bytes reach the disk all the same.
    pub(crate) keeps: bool,
}

#[derive(Debug, Default)]
struct Image {
    durable: Vec<u8>,
    current: Vec<u8>,
    crash: Option<CrashAtSync>,
    /// Opened handles; older ones belong to a crashed process and have no effect.
    generation: u64,
}

/// The disk, which outlives the processes that use it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Image>>);

/// One process's open file.
#[derive(Debug)]
pub(crate) struct Handle {
    disk: Disk,
    generation: u64,
}

impl Disk {
    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Opens the file anew; every older handle is dead from now on.
    pub(crate) fn open(&self) -> Handle {
        let mut image = self.image();
        image.generation += 1;
        image.current = image.durable.clone();
        image.crash = None;
        Handle { disk: self.clone(), generation: image.generation }
    }

    /// Plans a crash at a sync to come.
    pub(crate) fn crash_at_sync(&self, crash: CrashAtSync) {
        self.image().crash = Some(crash);
    }

    /// The power goes: what was not synced is gone, and the process with it.
    pub(crate) fn crash(&self) {
        let mut image = self.image();
        image.generation += 1;
        image.current = image.durable.clone();
    }
}

impl Handle {
    fn image(&self) -> Result<MutexGuard<'_, Image>, Error> {
        let image = self.disk.image();
        if image.generation == self.generation {
            Ok(image)
        } else {
            Err(Error::new(ErrorKind::BrokenPipe, "the process has crashed"))
        }
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.image()?.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let image = self.image()?;
        let at = offset as usize;
        let bytes = image.current.get(at..at + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.image()?.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut image = self.image()?;
        if let Some(CrashAtSync { after, keeps }) = &mut image.crash {
            if *after == 0 {
                let keeps = *keeps;
                image.crash = None;
                if keeps {
                    image.durable = image.current.clone();
                }
                image.generation += 1;
                return Err(Error::new(ErrorKind::StorageFull, "the machine crashed in a sync"));
            }
            *after -= 1;
        }
        image.durable = image.current.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut image = self.image()?;
        let at = offset as usize;
        let bytes = image.current.get_mut(at..at + data.len()).ok_or(ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(data);
        Ok(())
    }
}
