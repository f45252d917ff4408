//! Prefetching: memory is fetched before it is needed.

#[cfg(target_arch = "x86_64")]
use super::x86;

/// Prefetches a slice, so that it is in the cache when it is read soon after. It is a hint only.
#[inline]
pub(crate) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(slice.as_ptr().cast(), size_of_val(slice));
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}
