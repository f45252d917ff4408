//! Disks of control that are lost: one is replaced while the group goes on, all come back from a backup.

use crate::support::eventually;
use crate::support::process::{Server, free_port, marquee, marquee_ok, text};
use std::path::Path;
use tempfile::TempDir;

/// Three control nodes without TLS, and nothing else.
struct Group {
    dir: TempDir,
    ports: [u16; 3],
    nodes: Vec<Server>,
}

impl Group {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ports = [(); 3].map(|()| free_port());
        let voters = (1..)
            .zip(ports)
            .map(|(id, port)| format!("{{ id = {id}, address = \"http://127.0.0.1:{port}\" }}"));
        let voters = voters.collect::<Vec<_>>().join(", ");
        for (id, port) in (1..).zip(ports) {
            let config = format!(
                "[node]\nid = \"control-{id}\"\nroles = [\"control\"]\nlisten = \"127.0.0.1:{port}\"\n\
                 data_dir = \"disk-{id}\"\n[cluster]\nname = \"disks\"\n[control]\nid = {id}\nvoters = [{voters}]\n"
            );
            std::fs::write(dir.path().join(format!("control-{id}.toml")), config).expect("ours");
        }
        let mut group = Self { dir, ports, nodes: Vec::new() };
        for id in 1..=3 {
            let server = Server::start(group.path(), &format!("control-{id}"), group.serve(id));
            group.nodes.push(server);
        }
        group
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self, id: usize) -> String {
        self.path().join(format!("control-{id}.toml")).display().to_string()
    }

    fn serve(&self, id: usize) -> Vec<String> {
        vec!["serve".into(), "--config".into(), self.config(id)]
    }

    /// The node with this id is killed, and its disk emptied.
    fn lose_disk(&mut self, id: usize) {
        self.nodes[id - 1].kill();
        std::fs::remove_dir_all(self.path().join(format!("disk-{id}"))).expect("it was there");
    }

    /// The arguments of a command that any of the nodes may answer.
    fn ctl<'a>(&self, args: &[&'a str]) -> Vec<std::borrow::Cow<'a, str>> {
        let endpoints = self.ports.map(|port| format!("http://127.0.0.1:{port}")).join(",");
        let mut all = vec!["ctl".into(), "--endpoint".into(), endpoints.into()];
        all.extend(args.iter().map(|&arg| arg.into()));
        all
    }

    fn run(&self, args: &[&str]) -> String {
        marquee_ok(self.ctl(args).iter().map(AsRef::as_ref).collect::<Vec<&str>>())
    }

    /// The id of the disk of a voter.
    fn disk_of(&self, id: usize) -> String {
        let listed = self.run(&["voters", "list"]);
        let line = listed.lines().nth(id).expect("a line for each voter");
        line.split_whitespace().last().expect("the disk is last").to_owned()
    }

    /// Waits until each node says that three members vote, and none with this disk. Each says what it knows itself.
    async fn all_know_three_voters_without(&self, disk: &str) {
        for port in self.ports {
            let endpoint = format!("http://127.0.0.1:{port}");
            eventually(&format!("{endpoint} knows three voters without {disk}"), || async {
                let output = marquee(["ctl", "--endpoint", &endpoint, "voters", "list"]);
                let listed = text(&output.stdout);
                listed.matches(" VOTER").count() == 3 && !listed.contains(disk)
            })
            .await;
        }
    }

    /// Waits until a command that may fail at first prints these words so often.
    async fn prints(&self, args: &[&str], words: &str, times: usize) {
        eventually(&format!("{args:?} prints {words:?} {times} times"), || async {
            let output = marquee(self.ctl(args).iter().map(AsRef::as_ref).collect::<Vec<&str>>());
            text(&output.stdout).matches(words).count() == times
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_control_disk_is_replaced() {
    let mut group = Group::start();
    group.prints(&["voters", "list"], " VOTER", 3).await;
    group.run(&["segments", "set", "region=de", "--surface", "home"]);
    let old_disk = group.disk_of(3);
    group.lose_disk(3);
    group.nodes[2].expect_errors();
    group.nodes[2].restart();
    group.prints(&["status"], "run `marquee ctl voters replace 3`", 1).await;
    let status = marquee(group.ctl(&["status"]).iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    assert_eq!(status.status.code(), Some(1), "something is wrong");
    // The other two go on meanwhile.
    group.run(&["segments", "set", "device=tv", "--surface", "kids"]);
    // Until a moment after its end the leader takes the old disk for one that answers.
    group.prints(&["voters", "replace", "3"], "voter 3 is expected", 1).await;
    group.all_know_three_voters_without(&old_disk).await;
    group.prints(&["status"], "nothing is wrong", 1).await;
    // The new disk is worth as much as the old one: with it, one of the others may be gone.
    group.nodes[0].kill();
    group.prints(&["segments", "list", "--surface", "kids"], "device=tv", 1).await;
    group.prints(&["segments", "set", "device=ios", "--surface", "kids"], "device=ios", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_comes_back_from_a_backup_when_all_disks_are_lost() {
    let mut group = Group::start();
    group.prints(&["voters", "list"], " VOTER", 3).await;
    group.run(&["segments", "set", "region=de", "--surface", "home"]);
    let backup = group.path().join("control.backup").display().to_string();
    group.run(&["backup", "--out", &backup]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&backup).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it has secrets");
    }
    for id in 1..=3 {
        group.lose_disk(id);
    }
    let config = group.config(1);
    let restore =
        |file: &str| marquee(["ctl", "restore", "--backup", file, "--config", config.as_str()]);
    let bytes = std::fs::read(&backup).expect("written");
    let damaged = group.path().join("damaged.backup").display().to_string();
    std::fs::write(&damaged, [&bytes[..100], b"x", &bytes[101..]].concat()).expect("ours");
    let refused = restore(&damaged);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("its checksum does not fit"), "{refused:?}");
    let restored = restore(&backup);
    assert!(restored.status.success(), "{restored:?}");
    let again = restore(&backup);
    assert!(text(&again.stderr).contains("is there already"), "{again:?}");
    for node in &mut group.nodes {
        node.restart();
    }
    group.prints(&["voters", "list"], " VOTER", 3).await;
    group.prints(&["segments", "list", "--surface", "home"], "region=de", 1).await;
    group.prints(&["status"], "nothing is wrong", 1).await;
}
