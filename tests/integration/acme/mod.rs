//! Certificates from an authority, by ACME. `pebble` is a real one, which the feature `acme-server`
//! needs; the others follow a script.

mod away;
mod challenges;
#[cfg(feature = "acme-server")]
mod pebble;
mod renewal;
mod server;

use std::fmt::Write;
use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;

use crate::fixtures::tls::{Authority, session};
use crate::fixtures::{
    Client, Request, Response, Scratch, TestProxy, TestUpstream, command, get, launch, response,
};

/// A proxy that orders a certificate.
struct Ordering {
    proxy: TestProxy,
    _upstream: TestUpstream,
}

/// What its configuration says.
struct Settings<'a> {
    directory: &'a str,
    /// What vouches for the directory.
    ca: &'a str,
    names: &'a [&'a str],
    /// More lines of `[acme]`.
    acme: &'a str,
    /// More lines of the plain listener.
    plain: &'a str,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            directory: "",
            ca: "",
            names: &["edge.test", "www.edge.test"],
            acme: "",
            plain: "",
        }
    }
}

impl Ordering {
    fn start(settings: &Settings<'_>) -> Self {
        Self::start_in(Scratch::new(), settings)
    }

    /// In a folder whose `state` may hold what an earlier proxy has ordered.
    fn start_in(scratch: Scratch, settings: &Settings<'_>) -> Self {
        let upstream = TestUpstream::start(|c| {
            while c.request().is_some() {
                c.send(response("200 OK", &[], "hello"));
            }
        });
        let mut text = format!(
            "workers = 1\nstate-dir = \"state\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [policies.range]\ndeadline = \"2s\"\n[policies.random]\ndeadline = \"2s\"\n\
             [hosts]\n\"*\" = [\"{}\"]\n",
            upstream.address()
        );
        let _ = write!(
            text,
            "[acme]\ndirectory = {:?}\nterms-agreed = true\ncontact = \"admin@edge.test\"\n\
             ca = \"ca.pem\"\n{}\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ acme = {:?} }}\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\n{}\n",
            settings.directory, settings.acme, settings.names, settings.plain
        );
        scratch.write("ca.pem", settings.ca);
        let file = scratch.write("waypost.toml", text);
        let mut command = command();
        command.args(["run", "--config"]).arg(file);
        command.current_dir(scratch.path());
        Self {
            proxy: launch(command, true, scratch),
            _upstream: upstream,
        }
    }

    fn encrypted(&self) -> SocketAddr {
        self.proxy.addresses()[0]
    }

    fn plain(&self) -> SocketAddr {
        self.proxy.addresses()[1]
    }

    /// What a new client is presented, whatever it is.
    fn presented(&self, name: &str) -> CertificateDer<'static> {
        let config = std::sync::Arc::new(Authority::trusting(&["http/1.1"]));
        let session = session(self.encrypted(), &config, name).unwrap();
        session.conn.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    }

    /// A request to the plain listener.
    fn ask_plain(&self, path: &str) -> Response {
        Client::connect(self.plain()).ask(get("edge.test", path))
    }

    /// What `/readyz` notes.
    fn notes(&self) -> String {
        let answer = self.proxy.admin(Request::new("GET", "/readyz"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    fn metric(&self, name: &str) -> f64 {
        let text = self.proxy.admin(Request::new("GET", "/metrics")).text();
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// How long it is until the next order, in seconds.
    fn next_order(&self) -> f64 {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        self.metric("waypost_acme_next_order_timestamp_seconds{") - now.as_secs_f64()
    }
}
