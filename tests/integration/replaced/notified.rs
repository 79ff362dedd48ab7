//! What systemd is told.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use super::Replaceable;
use crate::fixtures::{PATIENCE, Request, TestProxy, TestUpstream};

/// A supervisor's socket, which is read all the time.
struct Supervisor(Receiver<Vec<String>>);

impl Supervisor {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let lines = text.lines().map(str::to_owned).collect();
                if sender.send(lines).is_err() {
                    return;
                }
            }
        });
        Self(messages)
    }

    /// The next message that has this line; others are skipped.
    #[track_caller]
    fn hears(&self, line: &str) -> Vec<String> {
        loop {
            let lines = self
                .0
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|e| panic!("{line}: {e}"));
            if lines.iter().any(|l| l == line) {
                return lines;
            }
        }
    }
}

#[test]
fn a_supervisor_hears_of_the_start_of_reloads_of_an_upgrade_and_of_the_stop() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder().host("*", &[upstream.address()]);
    let path = builder.folder().join("notify");
    let supervisor = Supervisor::listen(&path);
    let builder = builder
        .environment("NOTIFY_SOCKET", path.to_str().unwrap())
        .environment("WATCHDOG_USEC", "100000");
    let mut service = Replaceable::start(builder);
    let ready = supervisor.hears("READY=1");
    assert!(
        ready.contains(&format!("MAINPID={}", service.pid())),
        "{ready:?}"
    );
    assert!(
        ready
            .iter()
            .any(|line| line.starts_with("STATUS=serving 1 "))
    );
    supervisor.hears("WATCHDOG=1");
    let reload = Request::new("POST", "/reload").body(b"");
    assert_eq!(service.proxy.admin(reload).status, 200);
    let reloading = supervisor.hears("RELOADING=1");
    assert!(
        reloading
            .iter()
            .any(|line| line.starts_with("MONOTONIC_USEC="))
    );
    supervisor.hears("READY=1");
    service.upgrade();
    // Of the former process first: a supervisor believes the main process alone.
    let pid = format!("MAINPID={}", service.pid());
    assert_eq!(supervisor.hears(&pid), [pid.as_str(), "READY=1"]);
    assert!(supervisor.hears(&pid).contains(&"READY=1".to_owned()));
    service.signal(service.pid(), "TERM");
    supervisor.hears("STOPPING=1");
}
