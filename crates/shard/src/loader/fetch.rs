//! Where a bundle's URI leads: for now, to a directory that this machine can read in place.

use std::path::PathBuf;

/// Why a bundle can't be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot fetch the bundle at {uri:?}: {reason}")]
pub(crate) struct FetchError {
    uri: String,
    reason: &'static str,
}

/// The directory that a URI means: an absolute path, or `file://` and one, taken literally.
pub(crate) fn directory_of(uri: &str) -> Result<PathBuf, FetchError> {
    let refused = |reason| FetchError { uri: uri.into(), reason };
    let path = match uri.split_once("://") {
        None => uri,
        Some(("file", path)) if path.starts_with('/') => path,
        Some(("file", _)) => {
            return Err(refused("it names a host: give file:// and an absolute path"));
        }
        Some(("s3" | "gs" | "az", _)) => {
            return Err(refused(
                "object stores can't be read yet: copy the bundle to a path that all shard nodes have, \
                 and publish that",
            ));
        }
        Some(_) => {
            return Err(refused("its scheme is unknown: publish an absolute path or file://"));
        }
    };
    if !path.starts_with('/') {
        return Err(refused("it is not absolute: publish an absolute path or file://"));
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_used_in_place_and_other_stores_refused_with_a_reason() {
        assert_eq!(directory_of("/bundles/films"), Ok("/bundles/films".into()));
        assert_eq!(directory_of("file:///bundles/100%25"), Ok("/bundles/100%25".into()));
        for (uri, says) in [
            ("s3://bucket/films", "object stores"),
            ("http://host/films", "scheme"),
            ("file://host/films", "host"),
            ("films", "not absolute"),
            ("", "not absolute"),
        ] {
            let error = directory_of(uri).expect_err("refused").to_string();
            assert!(error.contains(says) && error.contains(&format!("{uri:?}")), "{error}");
        }
    }
}
