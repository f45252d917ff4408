//! Runs the blocks of one page in what looks like a fresh clone.

use crate::ROOT;
use crate::expected::matches;
use crate::page::Block;
use std::fs;
use std::net::TcpListener;
use std::os::unix::{fs::symlink, process::CommandExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The binary under test.
const MARQUEE: &str = env!("CARGO_BIN_EXE_marquee");
/// Ports of 127.0.0.1 that pages and the files in `cluster/` name.
const PRINTED_PORTS: [u16; 9] = [50051, 50052, 7101, 7102, 7103, 7201, 7202, 7203, 7204];
/// What a block may take: far more than it takes, since the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(150);

/// Whether `make test` has fetched a grpcurl.
pub(crate) fn has_grpcurl() -> bool {
    Path::new(ROOT).join("target/tools/grpcurl").exists()
}

/// The directory in which a page's commands run, and what they have started.
pub(crate) struct Clone {
    dir: tempfile::TempDir,
    /// Printed addresses, and those that are used in their place.
    addresses: Vec<(String, String)>,
    /// Process groups of the blocks so far: what they left running is in them.
    groups: Vec<u32>,
    /// Servers that blocks left running.
    servers: Vec<Child>,
    /// Scripts that were started.
    started: usize,
    /// The block before began a server.
    serves: bool,
}

impl Clone {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = |port: u16| format!("127.0.0.1:{port}");
        let addresses = PRINTED_PORTS.map(|port| (at(port), at(free_port()))).into();
        let clone = Self {
            dir,
            addresses,
            groups: Vec::new(),
            servers: Vec::new(),
            started: 0,
            serves: false,
        };
        let (root, into) = (PathBuf::from(ROOT), clone.dir.path());
        fs::create_dir_all(into.join("target/release")).expect("a directory");
        symlink(MARQUEE, into.join("target/release/marquee")).expect("a link to the binary");
        symlink(root.join("proto"), into.join("proto")).expect("a link");
        fs::copy(root.join("Makefile"), into.join("Makefile")).expect("a copy");
        fs::create_dir(into.join("cluster")).expect("a directory");
        for entry in fs::read_dir(root.join("cluster")).expect("cluster/ is there") {
            let path = entry.expect("an entry").path();
            let copy = into.join("cluster").join(path.file_name().expect("a name"));
            if path.is_dir() {
                symlink(&path, copy).expect("a link");
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            fs::write(copy, clone.used(&text)).expect("a copy");
        }
        // Variables that the page's own `export` may change; each block leaves its own for the next.
        let (endpoint, root) = (&clone.addresses[0].1, root.display());
        let binary = Path::new(MARQUEE).parent().expect("a directory").display();
        let environment = format!(
            "export MARQUEE_ENDPOINT=http://{endpoint} CARGO=true NO_COLOR=1\n\
             export PATH={binary}:{root}/target/tools:\"$PATH\"\n"
        );
        fs::write(into.join(".environment"), environment).expect("written");
        clone
    }

    /// Runs a block to its end, or until it serves, and returns what it printed.
    ///
    /// # Errors
    /// What the block said, if it failed, or what it printed, if the page shows something else.
    pub(crate) fn run(&mut self, block: &Block) -> Result<String, String> {
        if std::mem::take(&mut self.serves) {
            self.run_script("marquee ctl health --wait-seconds 60")?;
        }
        let script = self.used(&block.script);
        if script.starts_with("marquee serve") {
            let listen = &self.addresses[0].1;
            let to = format!("marquee serve --standalone --listen {listen}");
            let server = self.start(&script.replace("marquee serve --standalone", &to));
            self.servers.push(server);
            self.serves = true;
            return Ok(String::new());
        }
        let output = self.run_script(&script)?;
        match &block.prints {
            Some(wanted) if !matches(&output, wanted) => Err(format!(
                "the page and the commands differ\n--- the page\n{wanted}\n--- the commands\n{output}"
            )),
            _ => Ok(output),
        }
    }

    /// What a script prints on stdout, with the ports that the page has.
    fn run_script(&mut self, script: &str) -> Result<String, String> {
        let mut child = self.start(script);
        let end = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().expect("a child can be waited for") {
                Some(status) => break Some(status),
                None if Instant::now() > end => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let read = |kind| fs::read_to_string(self.file(kind)).unwrap_or_default();
        let (out, err) = (self.printed(&read("stdout")), self.printed(&read("stderr")));
        match status {
            Some(status) if status.success() => Ok(out),
            Some(status) => Err(format!("{status}\n--- stdout\n{out}\n--- stderr\n{err}")),
            None => {
                Err(format!("not done after {PATIENCE:?}\n--- stdout\n{out}\n--- stderr\n{err}"))
            }
        }
    }

    /// Starts a script in a process group of its own, in the environment that the one before left.
    fn start(&mut self, script: &str) -> Child {
        let script = format!(
            "source .environment\nset -euo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n\
             {script}\nexport -p >.environment\n"
        );
        self.started += 1;
        let file = |kind| fs::File::create(self.file(kind)).expect("a file");
        let child = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.dir.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("bash starts");
        self.groups.push(child.id());
        child
    }

    /// Where the script that was started last writes its `stdout` or `stderr`.
    fn file(&self, kind: &str) -> PathBuf {
        self.dir.path().join(format!(".{}.{kind}", self.started))
    }

    /// A text of the page with the ports that are used.
    fn used(&self, text: &str) -> String {
        self.addresses
            .iter()
            .fold(text.to_owned(), |text, (printed, used)| text.replace(printed, used))
    }

    /// What was printed with the ports that the page has.
    fn printed(&self, text: &str) -> String {
        self.addresses
            .iter()
            .fold(text.to_owned(), |text, (printed, used)| text.replace(used, printed))
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        for group in &self.groups {
            // It has usually ended; then there is nothing to end.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).output();
        }
        for server in &mut self.servers {
            let _ = server.wait();
        }
    }
}

/// A port that nothing listens on, below the range that the system hands out by itself, given only once
/// in this process.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = (std::process::id() as u16).wrapping_mul(64);
        let port = 12_000 + offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 18_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
