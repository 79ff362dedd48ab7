//! What a listener's files give beside certificates: roots that change, a staple, kinds of keys.

use std::io::Write;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::{Encrypted, Lines};
use crate::fixtures::tls::{Authority, Issued, ask, read, session};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, get, response};

impl Encrypted {
    /// Whether a new client with this certificate is served.
    fn serves(&self, identity: &Issued) -> bool {
        let config = Arc::new(self.authority.client_with(&[], Some(identity)));
        let answer = session(self.address, &config, "edge.test").and_then(|mut session| {
            session.write_all(&get("edge.test", "/"))?;
            read(&mut session)
        });
        answer.is_ok_and(|answer| !answer.is_empty())
    }

    fn readiness(&self) -> String {
        self.proxy.admin(Request::new("GET", "/readyz")).text()
    }
}

#[test]
fn new_roots_of_clients_hold_for_new_connections_and_broken_ones_for_none() {
    let this = Encrypted::start(&Lines {
        tls: "client-ca = \"clients.pem\"",
        ..Lines::default()
    });
    let next = Authority::new();
    let (ours, theirs) = (this.authority.issue(&["ours"]), next.issue(&["theirs"]));
    assert!(this.serves(&ours) && !this.serves(&theirs));
    let config = Arc::new(this.authority.client_with(&[], Some(&ours)));
    let mut open = session(this.address, &config, "edge.test").unwrap();
    ask(&mut open, &get("edge.test", "/"), "hello");
    this.proxy.scratch.replace("clients.pem", "nonsense");
    let note = eventually("it is said", || {
        let text = this.readiness();
        text.contains("client-ca").then_some(text)
    });
    assert!(note.contains("clients.pem has no certificate"), "{note}");
    assert!(this.serves(&ours));
    this.proxy.scratch.replace("clients.pem", next.pem());
    eventually("the new roots hold", || this.serves(&theirs).then_some(()));
    assert!(!this.serves(&ours));
    assert!(!this.readiness().contains("notes"), "{}", this.readiness());
    ask(&mut open, &get("edge.test", "/"), "hello");
    let metrics = this.proxy.admin(Request::new("GET", "/metrics")).text();
    let failures = metrics
        .lines()
        .find(|line| line.contains("reload_failures") && line.contains("clients.pem"));
    assert!(
        failures.is_some_and(|line| line.ends_with(" 1")),
        "{metrics}"
    );
}

/// A proxy whose listener has this line of `tls`, with these files.
fn proxy(tls: &str, files: &[(&str, Vec<u8>)]) -> (TestProxy, TestUpstream) {
    let upstream = TestUpstream::start(|c| {
        while c.request().is_some() {
            c.send(response("200 OK", &[], "hello"));
        }
    });
    let mut builder = TestProxy::builder().host("*", &[upstream.address()]);
    for (name, content) in files {
        builder = builder.file(name, content);
    }
    (builder.listener(&format!("tls = {tls}")).start(), upstream)
}

#[test]
fn a_staple_is_passed_through_as_it_is() {
    let issued = Authority::new().issue(&["edge.test"]);
    // An answer that was successful (RFC 6960 section 4.2.1); the rest is the client's to read.
    let staple: Vec<u8> = [0x30, 0x82, 1, 3, 0x0a, 1, 0]
        .into_iter()
        .chain(0..=255)
        .collect();
    let tls = "{ certificates = [{ certificate = \"edge.pem\", ocsp = \"edge.ocsp\" }] }";
    let files = [
        ("edge.pem", issued.both().into_bytes()),
        ("edge.ocsp", staple.clone()),
    ];
    let (proxy, _upstream) = proxy(tls, &files);
    for versions in [rustls::ALL_VERSIONS, &[&rustls::version::TLS12]] {
        let (config, stapled) = Authority::trusting_of(versions, &[]);
        let mut session = session(proxy.address(), &Arc::new(config), "edge.test").unwrap();
        ask(&mut session, &get("edge.test", "/"), "hello");
        assert_eq!(*stapled.lock().unwrap(), staple, "{versions:?}");
    }
}

/// `BEGIN EC PRIVATE KEY` (RFC 5915), as openssl's `ecparam -genkey` writes it.
#[test]
fn a_key_in_the_format_of_sec_1_is_served() {
    let issued = Authority::new().issue(&["edge.test"]);
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let der = key.secret_der();
    // In PKCS#8 the same stands without the curve, which is named beside it.
    let begin = [2, 1, 1, 4, 32];
    let at = der.windows(5).position(|window| window == begin).unwrap() + 5;
    let public = der
        .windows(4)
        .position(|w| w == [0x03, 0x42, 0x00, 0x04])
        .unwrap()
        + 3;
    let mut sec1 = vec![0x30, 0x77];
    sec1.extend(begin);
    sec1.extend(&der[at..at + 32]);
    sec1.extend([0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    sec1.extend([0xa1, 0x44, 0x03, 0x42, 0x00]);
    sec1.extend(&der[public..public + 65]);
    let label = "EC PRIVATE KEY";
    let text = format!(
        "{}-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        issued.certificate,
        BASE64_STANDARD.encode(sec1)
    );
    let files = [("edge.pem", text.into_bytes())];
    let (proxy, _upstream) = proxy("{ certificates = [\"edge.pem\"] }", &files);
    let config: Arc<ClientConfig> = Arc::new(Authority::trusting(&["http/1.1"]));
    let mut session = session(proxy.address(), &config, "edge.test").unwrap();
    ask(&mut session, &get("edge.test", "/"), "hello");
}
