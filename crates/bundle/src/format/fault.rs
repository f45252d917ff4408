//! What becomes of a mapped page that cannot be read: its file is marked as failed, and the process goes on.
//!
//! Reading a page of a file that was cut short, or that the disk cannot give, raises SIGBUS on the thread that
//! reads. By default that ends the process with all its roles. [`watch`] registers a mapping; the handler finds
//! the mapping that the address lies in, marks it, and puts pages of zeros in place of the rest of it, so that
//! the thread goes on. Whatever is computed from then on is wrong, so what answers from a shard asks
//! [`faults`] before and after, and [`BundleShard::has_failed`](crate::BundleShard::has_failed).
//!
//! The handler runs between any two instructions of any thread. It does only what may be done there: it loads
//! and stores atomics of a static table, which take no lock, and calls `mmap`, a bare system call on Linux that
//! takes no lock of the C library, keeping `errno`. It allocates nothing, logs nothing and panics nowhere. A
//! signal that is not of a mapping of ours goes to the handler that was there before: that of Rust's runtime,
//! which ends the process as without us. The table has a fixed size; where it is full a file is not mapped.
//!
//! Elsewhere than on Linux nothing is watched.

use crate::error::BundleError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files that may be mapped at once: a thousand shards of sixteen files.
const MAX_MAPPINGS: usize = 16_384;
/// What a slot's start is while it is being filled.
const RESERVED: usize = 1;

/// A mapping that the handler knows.
struct Slot {
    /// The first address; 0: the slot is free.
    start: AtomicUsize,
    /// The address after the last.
    end: AtomicUsize,
    has_failed: AtomicBool,
}

static SLOTS: [Slot; MAX_MAPPINGS] = [const {
    Slot {
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        has_failed: AtomicBool::new(false),
    }
}; MAX_MAPPINGS];
/// Mappings that have failed since the process began.
static FAULTS: AtomicU64 = AtomicU64::new(0);
/// The files of the slots. The handler does not look at it.
static PATHS: Mutex<Vec<(usize, PathBuf)>> = Mutex::new(Vec::new());

/// How many mapped files have turned out to be unreadable since the process began. An answer between two equal counts
/// was computed from bytes that were read.
pub fn faults() -> u64 {
    FAULTS.load(Ordering::SeqCst)
}

/// Whether a mapped file below this directory is unreadable.
pub(crate) fn has_failed_below(directory: &Path) -> bool {
    if FAULTS.load(Ordering::Relaxed) == 0 {
        return false;
    }
    let paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    paths.iter().any(|(slot, path)| {
        SLOTS[*slot].has_failed.load(Ordering::SeqCst) && path.starts_with(directory)
    })
}

/// Keeps a mapping registered. It must be dropped before the mapping is.
#[derive(Debug)]
pub(crate) struct Watched(usize);

impl Drop for Watched {
    fn drop(&mut self) {
        SLOTS[self.0].start.store(0, Ordering::SeqCst);
        let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
        paths.retain(|(slot, _)| *slot != self.0);
    }
}

/// Registers a mapping of a file, before it is read.
pub(crate) fn watch(path: &Path, mapping: &[u8]) -> Result<Watched, BundleError> {
    handler::install()?;
    let start = mapping.as_ptr() as usize;
    let free = SLOTS.iter().position(|slot| {
        let taken = slot.start.compare_exchange(0, RESERVED, Ordering::SeqCst, Ordering::SeqCst);
        taken.is_ok()
    });
    let Some(at) = free else {
        let what = format!("{}: {MAX_MAPPINGS} files are mapped already", path.display());
        return Err(std::io::Error::other(what).into());
    };
    let slot = &SLOTS[at];
    slot.has_failed.store(false, Ordering::SeqCst);
    slot.end.store(start + mapping.len(), Ordering::SeqCst);
    slot.start.store(start.max(RESERVED + 1), Ordering::SeqCst);
    PATHS.lock().unwrap_or_else(PoisonError::into_inner).push((at, path.into()));
    Ok(Watched(at))
}

#[cfg(target_os = "linux")]
mod handler {
    use super::{FAULTS, RESERVED, SLOTS};
    use std::io::{Error, Result};
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering;

    /// What was done with SIGBUS before, and the size of a page.
    struct Before {
        action: libc::sigaction,
        page_bytes: usize,
    }

    static BEFORE: OnceLock<Option<Before>> = OnceLock::new();

    /// Installs the handler once.
    pub(super) fn install() -> Result<()> {
        let installed = BEFORE.get_or_init(|| {
            // SAFETY: sysconf reads a constant.
            let page_bytes = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
            // SAFETY: all zeros is a valid sigaction: no flags, an empty mask, the default action.
            let (mut action, mut before) =
                unsafe { (std::mem::zeroed::<libc::sigaction>(), std::mem::zeroed()) };
            action.sa_sigaction = on_bus_error as *const () as usize;
            // On the alternate stack where there is one, as Rust's own handler.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: both point to valid structures, and the handler does only what is allowed in one.
            let set = unsafe { libc::sigaction(libc::SIGBUS, &action, &mut before) };
            (set == 0).then_some(Before { action: before, page_bytes })
        });
        match installed {
            Some(_) => Ok(()),
            None => Err(Error::other("the system does not let SIGBUS be handled")),
        }
    }

    extern "C" fn on_bus_error(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // It is being set while the handler is installed: a signal in that moment is not of a mapping of ours.
        let before = BEFORE.get().and_then(Option::as_ref);
        // SAFETY: the system hands out a valid siginfo, which has an address for SIGBUS.
        let address = unsafe { (*info).si_addr() } as usize;
        if let Some(before) = before
            && replace_pages(address, before.page_bytes)
        {
            return;
        }
        pass_on(before, signal, info, context);
    }

    /// Marks the mapping that has this address, and puts zeros from this page to its end. Whether there was one.
    fn replace_pages(address: usize, page_bytes: usize) -> bool {
        for slot in &SLOTS {
            let (start, end) = (slot.start.load(Ordering::SeqCst), slot.end.load(Ordering::SeqCst));
            if start <= RESERVED || address < start || address >= end {
                continue;
            }
            let page = address & !(page_bytes - 1);
            let bytes = (end - page).next_multiple_of(page_bytes);
            // Marked first: no reader of a zero may find the mapping whole.
            slot.has_failed.store(true, Ordering::SeqCst);
            FAULTS.fetch_add(1, Ordering::SeqCst);
            // SAFETY: errno is this thread's own, and kept as it was for the code that was interrupted.
            let errno = unsafe { *libc::__errno_location() };
            // SAFETY: the pages are of a mapping of ours, which is registered for as long as it is mapped; they stay
            // readable, and nothing writes to them.
            let mapped = unsafe {
                libc::mmap(
                    page as *mut libc::c_void,
                    bytes,
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            // SAFETY: as above.
            unsafe { *libc::__errno_location() = errno };
            return mapped != libc::MAP_FAILED;
        }
        false
    }

    /// Does what was done before: calls the handler of before, or lets the instruction fail again by the default.
    fn pass_on(
        before: Option<&Before>,
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        let action = before.map(|before| &before.action);
        match action {
            Some(action) if ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) => {
                if action.sa_flags & libc::SA_SIGINFO != 0 {
                    // SAFETY: an action with SA_SIGINFO is a function of these three arguments.
                    let call: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                        unsafe { std::mem::transmute(action.sa_sigaction) };
                    call(signal, info, context);
                } else {
                    // SAFETY: an action without SA_SIGINFO is a function of the signal alone.
                    let call: extern "C" fn(libc::c_int) =
                        unsafe { std::mem::transmute(action.sa_sigaction) };
                    call(signal);
                }
            }
            // SAFETY: restoring the default action is allowed in a handler.
            _ => unsafe {
                libc::signal(signal, libc::SIG_DFL);
            },
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod handler {
    /// Does nothing: no signal is handled here.
    pub(super) fn install() -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use memmap2::MmapOptions;

    #[test]
    fn a_file_that_is_cut_short_reads_as_zeros_and_has_failed() {
        const BYTES: usize = 64 << 10;
        let dir = tempfile::tempdir().expect("a directory");
        let (cut, whole) = (dir.path().join("cut"), dir.path().join("other/whole"));
        fs_err::create_dir(dir.path().join("other")).expect("ours");
        for path in [&cut, &whole] {
            fs_err::write(path, vec![7; BYTES]).expect("ours");
        }
        let map = |path: &Path| {
            let file = fs_err::File::open(path).expect("ours");
            // SAFETY: what happens when the file changes is what the test is about.
            unsafe { MmapOptions::new().map(file.file()) }.expect("mapped")
        };
        let (first, second) = (map(&cut), map(&whole));
        let _watched = [watch(&cut, &first), watch(&whole, &second)];
        let before = faults();
        let file = fs_err::OpenOptions::new().write(true).open(&cut).expect("ours");
        file.set_len(4_096).expect("cut");
        let sum = |map: &[u8]| map.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        assert_eq!(sum(&first), 7 * 4_096, "this thread goes on");
        let other = std::thread::spawn(move || sum(&first)).join();
        assert_eq!(other.expect("and others do"), 7 * 4_096);
        assert_eq!(faults(), before + 1);
        assert!(has_failed_below(dir.path()));
        assert!(!has_failed_below(&dir.path().join("other")));
        assert_eq!(sum(&second), 7 * BYTES as u64);
    }
}
