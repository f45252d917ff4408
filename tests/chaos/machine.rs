//! What the machine allows: network namespaces joined by a bridge, and disks of memory. Without the rights for them all
//! processes share the machine's loopback and its disk.

use crate::support::process::free_port;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes of a disk of memory.
const DISK_MIB: u64 = 48;
/// The port of every node that has a network of its own.
const PORT: u16 = 7_000;

/// Networks and disks of the nodes, taken down when dropped.
pub(crate) struct Machine {
    /// The number that names of namespaces and addresses begin with; none on loopback.
    network: Option<u8>,
    nodes: Vec<String>,
    mounts: Vec<PathBuf>,
    has_disks: bool,
}

/// Runs a program, and says whether it succeeded.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn must(program: &str, args: &[&str]) {
    assert!(succeeds(program, args), "{program} {}", args.join(" "));
}

impl Machine {
    /// A machine for nodes of these names, with disks of memory for some of them below `dir`.
    pub(crate) fn new(nodes: &[&str], dir: &Path, with_disks: &[&str]) -> Self {
        let number = (std::process::id() % 250) as u8;
        let bridge = format!("mqc{number}");
        let wants = std::env::var_os("CHAOS_LOOPBACK").is_none();
        let can = wants
            && succeeds("ip", &["link", "add", &bridge, "type", "bridge"])
            && succeeds("ip", &["netns", "add", &format!("{bridge}-0")]);
        let mut machine = Self {
            network: can.then_some(number),
            nodes: nodes.iter().map(|name| (*name).to_owned()).collect(),
            mounts: Vec::new(),
            has_disks: false,
        };
        if can {
            must("ip", &["netns", "del", &format!("{bridge}-0")]);
            must("ip", &["addr", "add", &format!("10.77.{number}.254/24"), "dev", &bridge]);
            must("ip", &["link", "set", &bridge, "up"]);
            for (index, name) in nodes.iter().enumerate() {
                machine.join(&bridge, index, name);
            }
        } else {
            let _ = succeeds("ip", &["link", "del", &bridge]);
        }
        for name in with_disks {
            let at = dir.join(format!("data-{name}"));
            std::fs::create_dir_all(&at).expect("a directory");
            let size = format!("size={DISK_MIB}m");
            let path = at.display().to_string();
            if succeeds("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &path]) {
                machine.mounts.push(at);
                machine.has_disks = true;
            }
        }
        machine
    }

    /// Makes the namespace of a node and joins it to the bridge.
    fn join(&self, bridge: &str, index: usize, name: &str) {
        let (space, host, own) =
            (self.space(name), format!("{bridge}h{index}"), format!("{bridge}n{index}"));
        must("ip", &["netns", "add", &space]);
        must("ip", &["link", "add", &host, "type", "veth", "peer", "name", &own]);
        must("ip", &["link", "set", &own, "netns", &space]);
        must("ip", &["link", "set", &host, "master", bridge, "up"]);
        let ip = format!("{}/24", self.ip(name));
        must("ip", &["-n", &space, "addr", "add", &ip, "dev", &own]);
        must("ip", &["-n", &space, "link", "set", &own, "up"]);
        must("ip", &["-n", &space, "link", "set", "lo", "up"]);
    }

    /// Whether each node has a network of its own.
    pub(crate) fn has_networks(&self) -> bool {
        self.network.is_some()
    }

    /// Whether some nodes have disks of their own.
    pub(crate) fn has_disks(&self) -> bool {
        self.has_disks
    }

    fn space(&self, name: &str) -> String {
        format!("mqc{}-{name}", self.network.unwrap_or_default())
    }

    fn ip(&self, name: &str) -> String {
        let index = self.nodes.iter().position(|node| node == name).expect("a node");
        format!("10.77.{}.{}", self.network.unwrap_or_default(), index + 1)
    }

    /// Where a node listens, `host:port`.
    pub(crate) fn listen(&self, name: &str) -> String {
        match self.network {
            Some(_) => format!("{}:{PORT}", self.ip(name)),
            None => format!("127.0.0.1:{}", free_port()),
        }
    }

    /// The program by which a node's process is started. A write beyond a limit of file sizes is an error to it, and not
    /// its end.
    pub(crate) fn launcher(&self, name: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        if self.has_networks() {
            words.extend(["ip", "netns", "exec"].map(str::to_owned));
            words.push(self.space(name));
        }
        let ignoring = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
        words.extend(ignoring.map(str::to_owned));
        words
    }

    /// Drops all that `from` sends to `to` from now on, and nothing of what `to` sends.
    pub(crate) fn cut(&self, from: &str, to: &str) {
        let target = format!("{}/32", self.ip(to));
        must("ip", &["-n", &self.space(from), "route", "add", "blackhole", &target]);
    }

    /// Lets it through again.
    pub(crate) fn join_again(&self, from: &str, to: &str) {
        let target = format!("{}/32", self.ip(to));
        must("ip", &["-n", &self.space(from), "route", "del", "blackhole", &target]);
    }

    /// Makes a node's disk read-only, or writable again. Fails where a file is open for writing.
    pub(crate) fn set_read_only(&self, data_dir: &Path, is_read_only: bool) {
        let option = if is_read_only { "remount,ro" } else { "remount,rw" };
        must("mount", &["-o", option, &data_dir.display().to_string()]);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for at in &self.mounts {
            let _ = succeeds("umount", &["-l", &at.display().to_string()]);
        }
        if let Some(number) = self.network {
            for name in &self.nodes {
                let _ = succeeds("ip", &["netns", "del", &self.space(name)]);
            }
            let _ = succeeds("ip", &["link", "del", &format!("mqc{number}")]);
        }
    }
}
