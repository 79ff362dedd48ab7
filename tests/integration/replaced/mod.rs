//! Another process of the binary takes a proxy's place: what it gets, and what goes wrong.

mod activation;
mod failures;
mod kept;
mod learned;
mod load;
mod notified;
mod soak;
mod watched;

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::fixtures::{
    BINARY, Builder, Client, LONG_PATIENCE, Request, Response, TestProxy, command_of, eventually,
};

/// A proxy that was started by a link, which may lead to another file later, and the processes that
/// have taken over from it.
struct Replaceable {
    proxy: TestProxy,
    /// The processes so far; the last one serves.
    processes: Vec<u32>,
}

impl Replaceable {
    #[track_caller]
    fn start(builder: Builder) -> Self {
        Self::start_by(builder, BINARY.as_ref())
    }

    #[track_caller]
    fn start_by(builder: Builder, binary: &std::path::Path) -> Self {
        let link = builder.folder().join("waypost");
        symlink(binary, &link).unwrap();
        let proxy = builder.start_by(command_of(&link));
        let processes = vec![proxy.process_id()];
        Self { proxy, processes }
    }

    /// The process that serves.
    fn pid(&self) -> u32 {
        *self.processes.last().unwrap()
    }

    /// What comes of `POST /upgrade`.
    #[track_caller]
    fn ask(&self, target: &str) -> Response {
        let mut client = Client::connect(self.proxy.admin_address());
        let patience = Some(LONG_PATIENCE);
        client.wire.stream.set_read_timeout(patience).unwrap();
        let request = Request::new("POST", target).host("localhost");
        client.ask(request.field("Connection", "close").body(b"").bytes())
    }

    /// An upgrade that goes well. Returns the process that has served until then.
    #[track_caller]
    fn upgrade(&mut self) -> u32 {
        let answer = self.ask("/upgrade");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let former = self.pid();
        let pid = answer["pid"].as_u64().unwrap().try_into().unwrap();
        assert_ne!(pid, former);
        self.processes.push(pid);
        former
    }

    /// An upgrade that does not: the reason.
    #[track_caller]
    fn refusal(&self, target: &str, status: u16) -> String {
        let answer = self.ask(target);
        assert_eq!(answer.status, status, "{}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["error"].as_str().unwrap().to_owned()
    }

    /// Puts another program in the place of the binary.
    fn put(&self, script: &str) {
        let path = self
            .proxy
            .scratch
            .write("script", format!("#!/bin/sh\n{script}\n"));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        self.link(&path);
    }

    /// Puts the binary back.
    fn put_back(&self) {
        self.link(BINARY.as_ref());
    }

    fn link(&self, to: &std::path::Path) {
        let folder = self.proxy.scratch.path();
        symlink(to, folder.join("fresh")).unwrap();
        std::fs::rename(folder.join("fresh"), folder.join("waypost")).unwrap();
    }

    fn edit(&self, from: &str, to: &str) {
        let path = self.proxy.scratch.path().join("waypost.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        self.proxy
            .scratch
            .replace("waypost.toml", text.replace(from, to));
    }

    fn signal(&self, pid: u32, name: &str) {
        let (name, pid) = (format!("-{name}"), pid.to_string());
        let sent = Command::new("kill").args([&name, &pid]).status().unwrap();
        assert!(sent.success(), "kill {name} {pid}");
    }

    /// Waits for the end of one of the processes.
    #[track_caller]
    fn wait_for_end(&mut self, pid: u32) {
        if pid == self.proxy.process_id() {
            assert_eq!(self.proxy.exit_code(), 0);
            return;
        }
        eventually("the process ends", || (!is_running(pid)).then_some(()));
    }

    #[track_caller]
    fn logs(&self, words: &str) {
        let found = self
            .proxy
            .stderr
            .find(|line| line.contains(words).then_some(()));
        assert!(found.is_some(), "{words:?} is not in the log");
    }
}

impl Drop for Replaceable {
    fn drop(&mut self) {
        // They hold the log open.
        for pid in &self.processes[1..] {
            if is_running(*pid) {
                let _ = Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .status();
            }
        }
    }
}

/// Whether a process runs; one that waits to be reaped does not.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
