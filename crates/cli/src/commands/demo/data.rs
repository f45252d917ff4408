//! The data that the demo trains on: given, fetched by an earlier run, fetched now, or generated.
//!
//! Real data shows more, so the demo tries to fetch it: MovieLens 100K is in a Python package that pip
//! downloads, and the MovieLens site has a small data set. Both are for research use and not to be
//! redistributed, which the demo says. Fetched data stays in the user's cache directory. Every download
//! is bounded in time and size.

use super::generated;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The Python package whose wheel contains MovieLens 100K as an example.
const PACKAGE: &str = "recbole==1.2.1";
/// The files that are taken out of it, and their names here.
const PACKAGE_FILES: [(&str, &str); 3] = [
    ("recbole/dataset_example/ml-100k/ml-100k.inter", "ml-100k.inter"),
    ("recbole/dataset_example/ml-100k/ml-100k.item", "ml-100k.item"),
    ("recbole/dataset_example/ml-100k/ml-100k.user", PACKAGE_USERS),
];
/// The name of its file of users.
const PACKAGE_USERS: &str = "ml-100k.user";
/// The address of the small data set on the MovieLens site.
const SITE: &str = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip";
/// The files that are taken out of it, and their names here.
const SITE_FILES: [(&str, &str); 2] =
    [("ml-latest-small/ratings.csv", "ratings.csv"), ("ml-latest-small/movies.csv", "movies.csv")];
/// Upper bound of one attempt to fetch; then the next source is tried.
const FETCH_TIMEOUT: Duration = Duration::from_secs(45);
/// Pause between two looks at a running download.
const FETCH_POLL: Duration = Duration::from_millis(50);
/// Upper bound of the bytes of one file of an archive: twenty times the files of MovieLens.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Ratings of at least this are liked, on MovieLens' scale of up to 5.
const LIKED_AT: f32 = 4.0;
/// The terms of MovieLens, as the demo prints them.
const LICENCE: &str = "MovieLens, research use, not redistributed";

/// File names of interactions and of items in widespread data sets, in pairs.
const KNOWN_NAMES: [(&str, &str); 7] = [
    ("ml-100k.inter", "ml-100k.item"),
    ("ratings.csv", "movies.csv"),
    ("ratings.dat", "movies.dat"),
    ("u.data", "u.item"),
    ("interactions.csv", "items.csv"),
    ("interactions.tsv", "items.tsv"),
    ("interactions.parquet", "items.parquet"),
];

/// The files that the demo trains on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DemoData {
    /// The name of the data set, as it is printed.
    pub(super) name: String,
    /// Where it came from and on what terms, as it is printed.
    pub(super) origin: String,
    /// The file of interactions.
    pub(super) interactions: PathBuf,
    /// The file of items with their titles, if there is one.
    pub(super) items: Option<PathBuf>,
    /// The file of users with their attributes, if there is one.
    pub(super) users: Option<PathBuf>,
    /// Values of at least this are positive; none: all are.
    pub(super) positive_at: Option<f32>,
    /// Whether it was generated; then every line that shows it says so.
    pub(super) generated: bool,
}

/// Why there is no data.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    /// The file system returned an error.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A directory without files of known names.
    #[error(
        "{path} has no interactions of a name the demo knows, such as ratings.csv (with movies.csv), u.data (with u.item) or interactions.csv (with items.csv): name the file itself",
        path = .path.display()
    )]
    Unknown {
        /// The path of the directory.
        path: PathBuf,
    },
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
enum DownloadError {
    #[error("{program} cannot be started: {source}")]
    Start { program: &'static str, source: io::Error },
    #[error("{program} failed: {says}")]
    Failed { program: &'static str, says: String },
    #[error("{program} took longer than {FETCH_TIMEOUT:?}")]
    Slow { program: &'static str },
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{archive} is not what it should be: {reason}")]
    Archive { archive: String, reason: String },
}

/// Finds data: `given` if given, else from `cache` or the network, else generated into `scratch`.
/// `say` gets one line for each step.
pub(super) fn find(
    given: Option<&Path>,
    cache: &Path,
    scratch: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<DemoData, DataError> {
    if let Some(path) = given {
        return of_user(path);
    }
    let package = cache.join("ml-100k");
    let site = cache.join("ml-latest-small");
    if let Some(data) =
        movielens(&package, "MovieLens 100K").or_else(|| movielens(&site, "MovieLens latest small"))
    {
        return Ok(data);
    }
    say("fetching MovieLens 100K with pip …");
    let reason = match fetch_package(&package) {
        Ok(()) => "the files are not there".into(),
        Err(error) => error.to_string(),
    };
    if let Some(data) = movielens(&package, "MovieLens 100K") {
        return Ok(data);
    }
    say(&format!("pip failed ({reason}); fetching from the MovieLens site …"));
    let reason = match fetch_site(&site) {
        Ok(()) => "the files are not there".into(),
        Err(error) => error.to_string(),
    };
    if let Some(data) = movielens(&site, "MovieLens latest small") {
        return Ok(data);
    }
    say(&format!("the MovieLens site failed too ({reason}); using a generated catalogue"));
    let directory = scratch.join("generated");
    generated::write(&directory)
        .map_err(|source| DataError::Io { path: directory.clone(), source })?;
    Ok(DemoData {
        name: "a generated catalogue".into(),
        origin: "real data could not be fetched; give your own with --data".into(),
        interactions: directory.join(generated::INTERACTIONS),
        items: Some(directory.join(generated::ITEMS)),
        users: Some(directory.join(generated::ATTRIBUTES)),
        positive_at: None,
        generated: true,
    })
}

/// The directory in which fetched data is kept, within the user's cache directory.
pub(super) fn cache_directory() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    base.join("marquee")
}

/// The data that the user named: a file, or a directory with files of known names.
fn of_user(path: &Path) -> Result<DemoData, DataError> {
    let metadata =
        std::fs::metadata(path).map_err(|source| DataError::Io { path: path.into(), source })?;
    let (interactions, items) = if metadata.is_dir() {
        in_directory(path).ok_or_else(|| DataError::Unknown { path: path.into() })?
    } else {
        // A file of a known name may have its titles beside it.
        let beside = path.parent().and_then(|directory| {
            let name = path.file_name()?;
            let (_, items) = KNOWN_NAMES.iter().find(|(interactions, _)| name == *interactions)?;
            Some(directory.join(items)).filter(|items| items.is_file())
        });
        (path.to_owned(), beside)
    };
    Ok(DemoData {
        name: path.display().to_string(),
        origin: "given with --data".into(),
        interactions,
        items,
        users: None,
        positive_at: None,
        generated: false,
    })
}

fn in_directory(directory: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    KNOWN_NAMES.iter().find_map(|(interactions, items)| {
        let (interactions, items) = (directory.join(interactions), directory.join(items));
        interactions.is_file().then(|| (interactions, Some(items).filter(|items| items.is_file())))
    })
}

fn movielens(directory: &Path, name: &str) -> Option<DemoData> {
    let (interactions, items) = in_directory(directory)?;
    Some(DemoData {
        name: name.into(),
        origin: format!("{LICENCE}; kept in {}", directory.display()),
        interactions,
        items: Some(items?),
        // An earlier release did not keep it.
        users: Some(directory.join(PACKAGE_USERS)).filter(|users| users.is_file()),
        positive_at: Some(LIKED_AT),
        generated: false,
    })
}

fn fetch_package(into: &Path) -> Result<(), DownloadError> {
    let scratch = tempfile::tempdir()?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--timeout", "15", "--retries", "1", "--dest"])
        .arg(scratch.path())
        .arg(PACKAGE);
    run("pip", pip)?;
    let wheel = fs_err::read_dir(scratch.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| DownloadError::Archive {
            archive: PACKAGE.into(),
            reason: "pip left no wheel".into(),
        })?;
    unpack(&wheel, &PACKAGE_FILES, into)
}

fn fetch_site(into: &Path) -> Result<(), DownloadError> {
    let scratch = tempfile::tempdir()?;
    let archive = scratch.path().join("ml.zip");
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--proto", "=https"])
        .args(["--connect-timeout", "10", "--max-time", "40", "--max-filesize"])
        .arg(MAX_FILE_BYTES.to_string())
        .arg("--output")
        .arg(&archive)
        .arg(SITE);
    run("curl", curl)?;
    unpack(&archive, &SITE_FILES, into)
}

/// Runs a program that fetches something, for at most [`FETCH_TIMEOUT`].
fn run(program: &'static str, mut command: Command) -> Result<(), DownloadError> {
    // To a file and not a pipe: a full pipe without a reader would stop the program.
    let mut errors = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?);
    let mut child = command.spawn().map_err(|source| DownloadError::Start { program, source })?;
    let end = Instant::now() + FETCH_TIMEOUT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > end => {
                child.kill()?;
                child.wait()?;
                return Err(DownloadError::Slow { program });
            }
            None => std::thread::sleep(FETCH_POLL),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut says = String::new();
    io::Seek::rewind(&mut errors)?;
    // Whatever it says, the last line of a screenful is enough.
    let _ = errors.take(64 << 10).read_to_string(&mut says);
    let says = says.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
    let says = says.chars().take(200).collect();
    Err(DownloadError::Failed { program, says })
}

/// Takes `files` out of a zip archive into a directory that appears all at once.
fn unpack(archive: &Path, files: &[(&str, &str)], into: &Path) -> Result<(), DownloadError> {
    let wrong =
        |reason: String| DownloadError::Archive { archive: archive.display().to_string(), reason };
    let mut zip =
        zip::ZipArchive::new(fs_err::File::open(archive)?).map_err(|e| wrong(e.to_string()))?;
    let parent = into.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(parent)?;
    let scratch = tempfile::tempdir_in(parent)?;
    for (member, name) in files {
        let member = zip.by_name(member).map_err(|e| wrong(format!("{member}: {e}")))?;
        if member.size() > MAX_FILE_BYTES {
            return Err(wrong(format!("{name} has {} bytes", member.size())));
        }
        let mut file = fs_err::File::create(scratch.path().join(name))?;
        // The header's size is a claim; this is the bound.
        io::copy(&mut member.take(MAX_FILE_BYTES), &mut file)?;
        file.sync_all()?;
    }
    // What a killed run left, or another one put there meanwhile.
    let _ = fs_err::remove_dir_all(into);
    fs_err::rename(scratch.keep(), into)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_a_user_names_is_taken() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        let error = of_user(directory.path()).expect_err("nothing there").to_string();
        assert!(error.contains("ratings.csv"), "{error}");
        assert!(of_user(&at("absent")).expect_err("absent").to_string().contains("absent"));
        for name in ["ratings.csv", "movies.csv", "other.csv"] {
            fs_err::write(at(name), "x").expect("written");
        }
        let data = of_user(directory.path()).expect("known names");
        assert_eq!((data.interactions, data.items), (at("ratings.csv"), Some(at("movies.csv"))));
        let data = of_user(&at("other.csv")).expect("a file");
        assert_eq!((data.interactions, data.items), (at("other.csv"), None));
        let data = of_user(&at("ratings.csv")).expect("a file");
        assert_eq!(data.items, Some(at("movies.csv")));
    }

    #[test]
    fn archives_are_unpacked_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let archive = directory.path().join("a.zip");
        let mut zip = zip::ZipWriter::new(fs_err::File::create(&archive).expect("created"));
        for (name, text) in [("d/one", "1"), ("d/two", "22"), ("d/other", "3")] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("started");
            zip.write_all(text.as_bytes()).expect("written");
        }
        zip.finish().expect("finished");
        let into = directory.path().join("cache/data");
        let error = unpack(&archive, &[("d/one", "one"), ("d/three", "three")], &into);
        assert!(error.expect_err("no such member").to_string().contains("d/three"));
        assert!(!into.exists(), "nothing half-done is left");
        for _ in 0..2 {
            unpack(&archive, &[("d/one", "one"), ("d/two", "two")], &into).expect("unpacked");
            assert_eq!(fs_err::read_to_string(into.join("two")).expect("there"), "22");
            assert!(!into.join("other").exists());
        }
        fs_err::write(&archive, "no zip").expect("written");
        assert!(unpack(&archive, &[("d/one", "one")], &into).is_err());
    }

    #[test]
    fn a_fetch_that_fails_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo 'no route to host' >&2; exit 3"]);
        let error = run("sh", command).expect_err("exit 3").to_string();
        assert_eq!(error, "sh failed: no route to host");
        let error =
            run("nothing", Command::new("/no/such/program")).expect_err("absent").to_string();
        assert!(error.contains("cannot be started"), "{error}");
    }
}
