//! The URI by which a cluster finds a bundle.

use std::path::{Path, PathBuf};

/// Why a path has no URI.
#[derive(Debug, thiserror::Error)]
pub enum BundleUriError {
    /// The directory has no manifest.
    #[error(
        "{path} is no bundle: there is no {manifest}; make one with `marquee train` or `marquee import`",
        path = path.display(), manifest = manifest.display()
    )]
    NoManifest {
        /// The path as given.
        path: PathBuf,
        /// The file that is missing.
        manifest: PathBuf,
    },
    /// The path cannot be written into a URI.
    #[error("{path} is not UTF-8: move the bundle to a plain path", path = path.display())]
    NotUtf8 {
        /// The absolute path.
        path: PathBuf,
    },
    /// The path has no absolute form.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The URI that shards are told: `bundle` itself if it is a URI, and an absolute `file://` URI if it is
/// a path, without `..` and links, which nodes refuse. A path must hold a bundle here, so that a typing error is found
/// before the cluster hears of it.
pub fn bundle_uri(bundle: &str) -> Result<String, BundleUriError> {
    if bundle.contains("://") {
        return Ok(bundle.into());
    }
    let path = Path::new(bundle);
    let directory = std::path::absolute(path)?;
    let manifest = directory.join("manifest.json");
    if !manifest.is_file() {
        return Err(BundleUriError::NoManifest { path: path.into(), manifest });
    }
    let directory = directory.canonicalize()?;
    match directory.to_str() {
        Some(text) => Ok(format!("file://{text}")),
        None => Err(BundleUriError::NotUtf8 { path: directory }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_uris_and_uris_stay() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_str().expect("UTF-8");
        let error = bundle_uri(path).expect_err("no manifest").to_string();
        assert!(error.contains("no bundle") && error.contains("manifest.json"), "{error}");
        fs_err::write(directory.path().join("manifest.json"), "{}").expect("written");
        assert_eq!(bundle_uri(path).expect("a bundle"), format!("file://{path}"));
        let around = format!(
            "{path}/../{}",
            directory.path().file_name().and_then(|it| it.to_str()).expect("UTF-8")
        );
        assert_eq!(bundle_uri(&around).expect("a bundle"), format!("file://{path}"));
        assert_eq!(bundle_uri("s3://b/x").expect("a URI"), "s3://b/x");
    }
}
