//! Processes of the binary: started, watched, killed and ended.

use super::PATIENCE;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The binary under test.
pub(crate) const MARQUEE: &str = env!("CARGO_BIN_EXE_marquee");

/// Runs `marquee ARGS` and waits for its end.
pub(crate) fn marquee<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(MARQUEE).args(args).stdin(Stdio::null()).output().expect("the binary starts")
}

/// Runs `marquee ARGS`, which must succeed, and returns what it printed.
pub(crate) fn marquee_ok<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let output = marquee(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\nstdout: {out}\nstderr: {err}", output.status);
    out
}

/// Bytes as text, for messages.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that nothing listens on, below the range that the system hands out by itself, given out
/// once in this process.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = (std::process::id() as u16).wrapping_mul(64);
        let port = FIRST + offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A process of the binary that serves, killed when it is dropped. Its log must not have an ERROR, unless the
/// test has failed already.
pub(crate) struct Server {
    name: String,
    /// The program that starts the binary, and its arguments; none starts it directly.
    launcher: Vec<String>,
    args: Vec<String>,
    log: PathBuf,
    child: Child,
    expects_errors: bool,
}

impl Server {
    /// Starts `marquee ARGS` with its log at `dir/NAME.log`.
    pub(crate) fn start(dir: &Path, name: &str, args: Vec<String>) -> Self {
        Self::start_by(Vec::new(), dir, name, args)
    }

    /// The same by another program, which must become the binary and not start it as a child.
    pub(crate) fn start_by(
        launcher: Vec<String>,
        dir: &Path,
        name: &str,
        args: Vec<String>,
    ) -> Self {
        let log = dir.join(format!("{name}.log"));
        let args = with_own_metrics_address(args);
        let child = spawn(&launcher, &args, &log);
        Self { name: name.into(), launcher, args, log, child, expects_errors: false }
    }

    /// The same with so many files that the process may have open.
    pub(crate) fn start_with_files(dir: &Path, name: &str, args: Vec<String>, limit: u32) -> Self {
        // Both limits, so that the process cannot raise its own.
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        Self::start_by(vec!["sh".into(), "-c".into(), script], dir, name, args)
    }

    /// Its log may have an ERROR from now on: something is done to it that it must log.
    pub(crate) fn expect_errors(&mut self) {
        self.expects_errors = true;
    }

    /// Whether the process has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// The number of the process.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Starts it again, after [`kill`](Self::kill) or [`stop`](Self::stop).
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.launcher, &self.args, &self.log);
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Ends the process with SIGTERM and returns its exit status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// Stops the process where it is, with all its connections open, by SIGSTOP.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Sends SIGHUP, as a terminal does that is closed.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Lets a frozen process go on, by SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(sent.success());
    }

    /// Waits for the end of the process and returns its exit status.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < end, "{} does not end\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The log of the process so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.expects_errors && !std::thread::panicking() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("---- log of {}\n{}", self.name, self.log());
        } else if let Some(line) = self.log().lines().find(|line| line.contains("ERROR")) {
            panic!("{} logged an error: {line}", self.name);
        }
    }
}

/// The arguments of a node, without metrics unless they say where: the default address follows from the port of the services,
/// and may be one that another test has reserved.
fn with_own_metrics_address(mut args: Vec<String>) -> Vec<String> {
    let serves = args.first().is_some_and(|command| command == "serve");
    if serves && !args.iter().any(|arg| arg == "--metrics-listen") {
        args.extend(["--metrics-listen".into(), "off".into()]);
    }
    args
}

fn spawn(launcher: &[String], args: &[String], log: &Path) -> Child {
    let file = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
    let mut command = match launcher.split_first() {
        None => Command::new(MARQUEE),
        Some((program, given)) => {
            let mut command = Command::new(program);
            command.args(given).arg(MARQUEE);
            command
        }
    };
    command
        .args(args)
        .env("NO_COLOR", "1")
        .env("MARQUEE_LOG_FORMAT", "text")
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .spawn()
        .expect("the binary starts")
}
