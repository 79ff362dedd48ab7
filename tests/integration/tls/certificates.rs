//! Certificates that change under a running proxy, and those that can't be served.

use std::os::unix::fs::symlink;

use super::{Encrypted, Lines};
use crate::fixtures::tls::{Authority, Issued, ask, session};
use crate::fixtures::{Request, Scratch, TestProxy, eventually, get, waypost};

impl Encrypted {
    /// Whether new clients are presented this certificate.
    fn presents(&self, issued: &Issued) -> bool {
        // A resumed session would present none.
        let config = self.http1();
        let session = session(self.address, &config, "edge.test").unwrap();
        session.conn.peer_certificates().unwrap()[0] == issued.der()
    }

    #[track_caller]
    fn comes_to_present(&self, issued: &Issued) {
        eventually("the new certificate is presented", || {
            self.presents(issued).then_some(())
        });
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.proxy.scratch.path().join(name)
    }

    /// The sentences of `/readyz`.
    fn notes(&self) -> String {
        let answer = self.proxy.admin(Request::new("GET", "/readyz"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let text = self.proxy.admin(Request::new("GET", "/metrics")).text();
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

#[test]
fn a_new_certificate_is_presented_to_new_clients_and_open_connections_stay() {
    let this = Encrypted::start(&Lines::default());
    let mut open = session(this.address, &this.http1(), "edge.test").unwrap();
    ask(&mut open, &get("edge.test", "/"), "hello");
    let next = this.authority.issue_until(&["edge.test"], Some(2050));
    assert!(!this.presents(&next));
    next.replace(&this.file("edge.pem"));
    this.comes_to_present(&next);
    ask(&mut open, &get("edge.test", "/"), "hello");
    let expiry = this.metric("waypost_certificate_expiry_timestamp_seconds{");
    assert_eq!(expiry, Some(2_524_608_000.0), "1 January 2050");
    this.proxy
        .stderr
        .says("the certificate for edge.test was replaced");
}

#[test]
fn a_broken_file_leaves_the_old_certificate_in_use_and_says_so() {
    let this = Encrypted::start(&Lines::default());
    assert!(!this.notes().contains("notes"));
    let failures = || {
        this.metric("waypost_certificate_reload_failures_total{")
            .unwrap()
    };
    assert_eq!(failures(), 0.0);
    let mut config = this.http1();
    let mut open = session(this.address, &config, "edge.test").unwrap();
    let stranger = Authority::new().issue(&["edge.test"]);
    let mismatch = format!(
        "{}{}",
        stranger.certificate,
        this.authority.issue(&["x"]).key
    );
    for (content, reason) in [
        ("nonsense", "has no certificate"),
        (&mismatch, "private key"),
    ] {
        this.proxy.scratch.replace("edge.pem", content);
        let note = eventually("it is said", || {
            let notes = this.notes();
            notes.contains(reason).then_some(notes)
        });
        assert!(
            note.contains("edge.pem") && note.contains("in use stays"),
            "{note}"
        );
        // Only the old one is signed by whom this client trusts.
        config = this.http1();
        assert!(session(this.address, &config, "edge.test").is_ok());
    }
    assert_eq!(failures(), 2.0);
    eventually("it is in the log once for each", || {
        let log = this.proxy.stderr.text();
        (log.matches("in use stays").count() == 2).then_some(())
    });
    ask(&mut open, &get("edge.test", "/"), "hello");
    let next = this.authority.issue(&["edge.test"]);
    next.replace(&this.file("edge.pem"));
    this.comes_to_present(&next);
    eventually("nothing is left to say", || {
        (!this.notes().contains("notes")).then_some(())
    });
}

/// A mounted secret is a link to a link to a folder, and the link in the middle is replaced.
#[test]
fn a_switched_link_is_a_new_certificate() {
    let authority = Authority::new();
    let scratch = Scratch::new();
    let (first, second) = (
        authority.issue(&["edge.test"]),
        authority.issue(&["edge.test"]),
    );
    for (folder, issued) in [("v1", &first), ("v2", &second)] {
        std::fs::create_dir(scratch.path().join(folder)).unwrap();
        scratch.write(&format!("{folder}/tls.crt"), &issued.certificate);
        scratch.write(&format!("{folder}/tls.key"), &issued.key);
    }
    symlink("v1", scratch.path().join("data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("data/{name}"), scratch.path().join(name)).unwrap();
    }
    let folder = scratch.path().display().to_string();
    let proxy = TestProxy::builder()
        .host("*", &[([127, 0, 0, 1], 9).into()])
        .listener(&format!(
            "tls = {{ certificates = [{{ certificate = \"{folder}/tls.crt\", key = \
             \"{folder}/tls.key\" }}] }}"
        ))
        .start();
    let presented = || {
        let config = std::sync::Arc::new(authority.client(&[]));
        let session = session(proxy.address(), &config, "edge.test").unwrap();
        session.conn.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(presented(), first.der());
    symlink("v2", scratch.path().join("next")).unwrap();
    std::fs::rename(scratch.path().join("next"), scratch.path().join("data")).unwrap();
    eventually("the other folder's certificate", || {
        (presented() == second.der()).then_some(())
    });
    let log = proxy.stderr.text();
    assert!(
        !log.contains("in use stays"),
        "both files change at once: {log}"
    );
}

#[test]
fn a_certificate_that_can_not_be_served_is_an_error_of_the_start() {
    let (authority, other) = (Authority::new(), Authority::new());
    let issued = authority.issue(&["edge.test"]);
    let scratch = Scratch::new();
    scratch.write("good.pem", issued.both());
    scratch.write("empty.pem", "");
    scratch.write("only.pem", &issued.certificate);
    scratch.write("other.key", &other.issue(&["edge.test"]).key);
    let secret = issued.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    scratch.write("secret.pem", issued.certificate.clone() + &secret);
    scratch.write("client.pem", &issued.certificate);
    for (tls, words) in [
        (
            "certificates = [\"missing.pem\"]",
            "missing.pem can't be read",
        ),
        (
            "certificates = [\"empty.pem\"]",
            "empty.pem has no certificate",
        ),
        (
            "certificates = [\"only.pem\"]",
            "only.pem has no private key",
        ),
        (
            "certificates = [{ certificate = \"only.pem\", key = \"other.key\" }]",
            "other.key has a private key that is not the certificate's",
        ),
        (
            "certificates = [\"secret.pem\"]",
            "secret.pem has a private key with a password",
        ),
        (
            "certificates = [\"good.pem\"]\nclient-ca = \"empty.pem\"",
            "`client-ca` ",
        ),
        (
            "certificates = [\"good.pem\"]\nclient-ca = \"client.pem\"",
            "client.pem has a certificate that is not an authority's, CN=issued for a test",
        ),
    ] {
        let text = format!(
            "[admin]\nlisten = \"off\"\n[hosts]\n\"*\" = \"127.0.0.1:9\"\n[[listeners]]\n\
             address = \"127.0.0.1:0\"\n[listeners.tls]\n{tls}\n"
        );
        scratch.write("waypost.toml", text);
        let run = waypost(["run", "--config", "waypost.toml"], scratch.path());
        assert_ne!(run.code, Some(0));
        assert!(run.stderr.contains(words), "{}", run.stderr);
        let check = waypost(["check", "--config", "waypost.toml"], scratch.path());
        assert_eq!(check.code, Some(1));
        let said = format!("{}{}", check.stdout, check.stderr);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_certificate_that_has_expired_is_served_with_a_warning() {
    let authority = Authority::new();
    let files = [(
        "edge.pem",
        authority.issue_until(&["edge.test"], Some(2001)),
    )];
    let this = Encrypted::with(authority, &files, &Lines::default());
    let words = "the certificate for edge.test has expired on 2001-01-01";
    assert!(this.notes().contains(words), "{}", this.notes());
    this.proxy.stderr.says(words);
}

/// Until it is replaced, which ends the warning.
#[test]
fn an_authority_of_clients_that_has_expired_is_warned_of() {
    let authority = Authority::new();
    let upstream = ([127, 0, 0, 1], 9).into();
    let old = Authority::until(2001).pem();
    let proxy = TestProxy::builder()
        .host("*", &[upstream])
        .file("edge.pem", authority.issue(&["edge.test"]).both())
        .file("clients.pem", authority.pem() + &old)
        .listener("tls = { certificates = [\"edge.pem\"], client-ca = \"clients.pem\" }")
        .start();
    let words = "clients.pem has an authority that has expired on 2001-01-01T00:00:00Z, \
                 CN=authority of a test";
    let notes = || proxy.admin(Request::new("GET", "/readyz")).text();
    assert!(notes().contains(words), "{}", notes());
    proxy.stderr.says(words);
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    let expiry = "waypost_certificate_expiry_timestamp_seconds{";
    let is_it = |line: &&str| line.starts_with(expiry) && line.contains("clients.pem");
    let line = metrics.lines().find(is_it).unwrap();
    assert!(line.ends_with(" 978307200"), "{line}");
    let check = waypost(["check", "--config", "waypost.toml"], proxy.scratch.path());
    assert_eq!(check.code, Some(0), "{check:?}");
    for said in [
        words,
        "`client-ca` of listener 127.0.0.1:0: ok, 2 authorities",
    ] {
        assert!(check.stdout.contains(said), "{}", check.stdout);
    }
    proxy.scratch.replace("clients.pem", authority.pem());
    eventually("no warning any more", || {
        (!notes().contains(words)).then_some(())
    });
}
