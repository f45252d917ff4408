//! Where a bundle's URI leads: for now, to a directory that this machine can read in place.

use std::path::PathBuf;

/// Bytes of a bundle's URI.
pub const MAX_URI_BYTES: usize = 4_096;

/// Why a URI leads to no bundle that can be read. Messages continue a sentence about the URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriDefect {
    /// It is longer than any path.
    #[error("is longer than {MAX_URI_BYTES} bytes")]
    TooLong,
    /// A `file://` of another machine.
    #[error("names a host")]
    NamesHost,
    /// It leads to S3, Google Cloud Storage or Azure.
    #[error("leads to an object store, which is not supported yet")]
    ObjectStore,
    /// It has a scheme that nothing here knows.
    #[error("has a scheme that is not supported yet")]
    UnknownScheme,
    /// It is a path that depends on where a process was started.
    #[error("is not absolute")]
    NotAbsolute,
    /// It holds a byte that no path can have.
    #[error("has a zero byte")]
    ZeroByte,
}

/// The directory that a URI means: an absolute path, or `file://` and one, taken literally.
///
/// # Errors
/// What is wrong with the URI.
pub fn directory_of(uri: &str) -> Result<PathBuf, UriDefect> {
    if uri.len() > MAX_URI_BYTES {
        return Err(UriDefect::TooLong);
    }
    let path = match uri.split_once("://") {
        None => uri,
        Some(("file", path)) if path.starts_with('/') => path,
        Some(("file", _)) => return Err(UriDefect::NamesHost),
        Some(("s3" | "gs" | "az", _)) => return Err(UriDefect::ObjectStore),
        Some(_) => return Err(UriDefect::UnknownScheme),
    };
    if !path.starts_with('/') {
        return Err(UriDefect::NotAbsolute);
    }
    if path.contains('\0') {
        return Err(UriDefect::ZeroByte);
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_taken_literally_and_others_refused() {
        assert_eq!(directory_of("/bundles/films"), Ok("/bundles/films".into()));
        assert_eq!(directory_of("file:///bundles/100%25"), Ok("/bundles/100%25".into()));
        for (uri, defect) in [
            ("", UriDefect::NotAbsolute),
            ("bundles/films", UriDefect::NotAbsolute),
            ("file://host/films", UriDefect::NamesHost),
            ("s3://bucket/films", UriDefect::ObjectStore),
            ("http://host/films", UriDefect::UnknownScheme),
            ("/a\0b", UriDefect::ZeroByte),
            (&"/".repeat(MAX_URI_BYTES + 1), UriDefect::TooLong),
        ] {
            assert_eq!(directory_of(uri), Err(defect), "{uri:?}");
        }
    }
}
