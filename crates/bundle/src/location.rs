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
    /// It has two spellings of one path, such as `a/../b`.
    #[error("has . or .. in it")]
    Dots,
    /// It leads out of where bundles may be. Whether anything is there is not looked at.
    #[error("is not below one of bundles.roots")]
    OutsideRoots,
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
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err(UriDefect::Dots);
    }
    Ok(path.into())
}

/// The directories below which bundles may be; none: anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleRoots(Vec<PathBuf>);

impl BundleRoots {
    /// Bundles may be anywhere: for a node that only this machine reaches.
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// Bundles may be below these absolute directories.
    pub fn below(roots: Vec<PathBuf>) -> Self {
        Self(roots)
    }

    /// The directory that a URI means, without symbolic links, if it is below a root both as it is written and
    /// where it leads. What is outside is refused by its name alone: no caller learns whether it exists.
    ///
    /// A link that is put in place afterwards is not followed either, because the directory is opened part by part.
    ///
    /// # Errors
    /// What is wrong with the URI.
    pub fn resolve(&self, uri: &str) -> Result<PathBuf, UriDefect> {
        let path = directory_of(uri)?;
        if self.0.is_empty() {
            return Ok(path.canonicalize().unwrap_or(path));
        }
        let real_roots = || self.0.iter().filter_map(|root| root.canonicalize().ok());
        if !self.0.iter().cloned().chain(real_roots()).any(|root| path.starts_with(root)) {
            return Err(UriDefect::OutsideRoots);
        }
        match path.canonicalize() {
            Ok(real) if real_roots().any(|root| real.starts_with(root)) => Ok(real),
            Ok(_) => Err(UriDefect::OutsideRoots),
            // It is absent, which opening it says.
            Err(_) => Ok(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_outside_the_roots_is_refused_by_its_name_alone() {
        let temporary = tempfile::tempdir().expect("a directory");
        let base = temporary.path().canonicalize().expect("there");
        for directory in ["bundles/films", "secret/films", "bundles-2"] {
            fs_err::create_dir_all(base.join(directory)).expect("ours");
        }
        symlink(base.join("secret"), base.join("bundles/link")).expect("ours");
        symlink(base.join("bundles/films"), base.join("bundles/alias")).expect("ours");
        let uri = |path: &str| base.join(path).to_str().expect("plain").to_owned();
        let roots = BundleRoots::below(vec![base.join("bundles")]);
        let films = base.join("bundles/films");
        assert_eq!(roots.resolve(&uri("bundles/films")), Ok(films.clone()));
        assert_eq!(roots.resolve(&uri("bundles/alias")), Ok(films));
        assert_eq!(roots.resolve(&uri("bundles/absent")), Ok(base.join("bundles/absent")));
        for outside in ["secret/films", "secret/absent", "bundles-2", "bundles/link/films"] {
            assert_eq!(roots.resolve(&uri(outside)), Err(UriDefect::OutsideRoots), "{outside}");
        }
        assert!(BundleRoots::anywhere().resolve(&uri("secret/films")).is_ok());
    }

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
            ("/bundles/films/.", UriDefect::Dots),
            ("/bundles/../etc", UriDefect::Dots),
            (&"/".repeat(MAX_URI_BYTES + 1), UriDefect::TooLong),
        ] {
            assert_eq!(directory_of(uri), Err(defect), "{uri:?}");
        }
    }
}
