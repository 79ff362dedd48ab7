//! Debian's `pebble`: an authority that keeps to the letter of ACME.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use super::{Ordering, Settings};
use crate::fixtures::tls::{Authority as Clients, ask, session};
use crate::fixtures::{Authority, PATIENCE, Running, Scratch, eventually, get, refusing_address};

/// Where pebble looks for the proxy, whose port is known later: leads on to it.
struct Door {
    address: SocketAddr,
    to: Arc<(Mutex<Option<SocketAddr>>, Condvar)>,
}

impl Door {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            to: Arc::default(),
        };
        let to = Arc::clone(&this.to);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let closed = to.0.lock().unwrap();
                let open = to.1.wait_timeout_while(closed, PATIENCE, |to| to.is_none());
                let (Ok(client), Some(to)) = (client, *open.unwrap().0) else {
                    return;
                };
                let Ok(proxy) = TcpStream::connect(to) else {
                    continue;
                };
                let (from, into) = (client.try_clone().unwrap(), proxy.try_clone().unwrap());
                std::thread::spawn(move || carry(from, into));
                std::thread::spawn(move || carry(proxy, client));
            }
        });
        this
    }

    fn lead(&self, to: Option<SocketAddr>) {
        *self.to.0.lock().unwrap() = to;
        self.to.1.notify_all();
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A running pebble, which finds every name at 127.0.0.1.
struct Pebble {
    scratch: Scratch,
    address: SocketAddr,
    ca: String,
    process: Option<Running>,
    encrypted: Door,
    plain: Door,
    dns: SocketAddr,
    more: Value,
}

impl Pebble {
    /// With more of its configuration.
    fn start(more: Value) -> Self {
        let authority = Authority::new();
        let scratch = Scratch::new();
        let own = authority.sign(&["localhost"]);
        scratch.write("pebble.pem", own.certificate);
        scratch.write("pebble.key", own.key);
        let mut this = Self {
            scratch,
            address: ([127, 0, 0, 1], 0).into(),
            ca: authority.pem,
            process: None,
            encrypted: Door::new(),
            plain: Door::new(),
            dns: name_server(),
            more,
        };
        // Between the choice of a port and its use another process may take it.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            this.address = free.local_addr().unwrap();
            drop(free);
            if this.run() {
                return this;
            }
        }
        panic!("pebble does not start; is it installed? (Debian: apt install pebble)");
    }

    /// Starts it on its port, with nothing of what it knew; false if that fails.
    fn run(&mut self) -> bool {
        self.process = None;
        let mut pebble = json!({
            "listenAddress": self.address.to_string(),
            "managementListenAddress": "",
            "certificate": "pebble.pem",
            "privateKey": "pebble.key",
            "httpPort": self.plain.address.port(),
            "tlsPort": self.encrypted.address.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        });
        let all = pebble.as_object_mut().unwrap();
        all.extend(self.more.as_object().unwrap().clone());
        let config = json!({ "pebble": pebble }).to_string();
        self.scratch.write("pebble.json", config);
        let mut command = Command::new("pebble");
        command
            .args([
                "-config",
                "pebble.json",
                "-dnsserver",
                &self.dns.to_string(),
            ])
            .current_dir(self.scratch.path())
            .env("PEBBLE_VA_NOSLEEP", "1")
            // Three refusals in a row, which it would give now and then, end an order.
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let process = Running::start(&mut command);
        let listens = process
            .stdout
            .find(|line| line.contains("ACME directory available").then_some(()));
        if listens.is_none() {
            return false;
        }
        self.process = Some(process);
        eventually("pebble listens", || TcpStream::connect(self.address).ok());
        true
    }

    fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.address.port())
    }

    fn proxy(&self, scratch: Scratch, acme: &str) -> Ordering {
        self.encrypted.lead(None);
        self.plain.lead(None);
        let proxy = Ordering::start_in(
            scratch,
            &Settings {
                directory: &self.directory(),
                ca: &self.ca,
                acme,
                plain: "redirect-to-https = true",
                ..Settings::default()
            },
        );
        self.encrypted.lead(Some(proxy.encrypted()));
        self.plain.lead(Some(proxy.plain()));
        proxy
    }

    fn log(&self) -> String {
        self.process.as_ref().unwrap().stdout.text()
    }
}

/// Says that every name is at 127.0.0.1.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut query) {
            // The question follows a head of 12 bytes: a name, a type and a class.
            let Some(name) = query[12..n].iter().position(|byte| *byte == 0) else {
                continue;
            };
            let question = &query[12..12 + name + 5];
            let is_v4 = question[name + 1..name + 3] == [0, 1];
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
            answer.extend(question);
            if is_v4 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

impl Ordering {
    /// Waits for a certificate of pebble, other than this one.
    #[track_caller]
    fn issued(&self, before: &[u8]) -> Vec<u8> {
        eventually("a certificate is issued", || {
            let shown = self.presented("www.edge.test").to_vec();
            let is_pebbles = shown.windows(6).any(|bytes| bytes == b"Pebble");
            (is_pebbles && shown != before).then_some(shown)
        })
    }

    /// Ends it, and keeps its folder.
    fn stop(mut self) -> Scratch {
        self.proxy.signal("TERM");
        assert_eq!(self.proxy.exit_code(), 0);
        std::mem::replace(&mut self.proxy.scratch, Scratch::new())
    }
}

/// The files that are kept, with their modes.
fn kept(scratch: &Scratch) -> Vec<(std::path::PathBuf, u32)> {
    let folder = scratch.path().join("state/.acme");
    let authority = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    let files = std::fs::read_dir(authority.path()).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    files
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), mode(&path) & 0o777))
        .collect()
}

#[test]
fn a_certificate_is_issued_by_either_challenge_and_a_restart_serves_it_without_an_order() {
    for acme in ["", "challenge = \"http-01\""] {
        let mut pebble = Pebble::start(json!({}));
        let this = pebble.proxy(Scratch::new(), acme);
        let issued = this.issued(&[]);
        eventually("nothing is left to say", || {
            (!this.notes().contains("notes")).then_some(())
        });
        assert_eq!(this.metric("waypost_acme_orders_total{"), 1.0);
        assert_eq!(this.metric("waypost_certificate_refused{"), 0.0);
        let issued_and_served = "for edge.test and 1 more was issued and is served";
        this.proxy.stderr.says(issued_and_served);
        let files = kept(&this.proxy.scratch);
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files.iter().all(|(_, mode)| *mode == 0o600), "{files:?}");
        let scratch = this.stop();
        // Not even asked.
        pebble.process = None;
        let again = pebble.proxy(scratch, acme);
        assert_eq!(again.presented("edge.test").to_vec(), issued);
        assert!(!again.notes().contains("notes"), "{}", again.notes());
        assert_eq!(again.metric("waypost_acme_order_failures_total{"), 0.0);
    }
}

/// Takes two thirds of the certificate's life, which has whole seconds.
#[test]
fn a_certificate_is_renewed_under_open_connections() {
    let pebble = Pebble::start(json!({ "certificateValidityPeriod": 6 }));
    let this = pebble.proxy(Scratch::new(), "");
    let first = this.issued(&[]);
    let config = Arc::new(Clients::trusting(&["http/1.1"]));
    let mut open = session(this.encrypted(), &config, "edge.test").unwrap();
    ask(&mut open, &get("edge.test", "/"), "hello");
    this.issued(&first);
    ask(&mut open, &get("edge.test", "/"), "hello");
    assert!(this.metric("waypost_acme_orders_total{") >= 2.0);
    assert_eq!(this.metric("waypost_acme_order_failures_total{"), 0.0);
}

#[test]
fn an_account_that_the_authority_has_forgotten_is_made_again() {
    let mut pebble = Pebble::start(json!({}));
    let this = pebble.proxy(Scratch::new(), "");
    let issued = this.issued(&[]);
    let scratch = this.stop();
    for (path, _) in kept(&scratch) {
        if path.extension().is_some_and(|e| e == "pem") {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert!(pebble.run(), "on the same port, without its memory");
    let again = pebble.proxy(scratch, "");
    again.issued(&issued);
    again.proxy.stderr.says("does not know our account");
}

#[test]
fn an_account_is_bound_to_an_external_one_where_the_authority_wants_that() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let more = json!({
        "externalAccountBindingRequired": true,
        "externalAccountMACKeys": { "kid-1": key },
    });
    let pebble = Pebble::start(more);
    let scratch = Scratch::new();
    scratch.write("eab.key", format!("{key}\n"));
    let account = "external-account = { key-id = \"kid-1\", key-file = \"eab.key\" }";
    let this = pebble.proxy(scratch, account);
    this.issued(&[]);
    drop(this);
    let without = pebble.proxy(Scratch::new(), "");
    eventually("it is refused", || {
        without
            .notes()
            .contains("externalAccountRequired")
            .then_some(())
    });
}

#[test]
fn a_name_that_does_not_lead_here_is_refused_with_the_reason_of_the_authority() {
    // Nothing listens where it looks.
    let (_held, nowhere) = refusing_address();
    let pebble = Pebble::start(json!({ "tlsPort": nowhere.port() }));
    let this = pebble.proxy(Scratch::new(), "");
    let notes = eventually("it is refused", || {
        let notes = this.notes();
        notes.contains("the next order is on").then_some(notes)
    });
    assert!(
        notes.contains("edge.test: ") && notes.contains("connect"),
        "{notes}"
    );
    let next = this.next_order();
    assert!((50.0..=76.0).contains(&next), "{next}: {}", pebble.log());
}
