//! TLS in front of clients.

mod alerts;
mod certificates;
mod clients;
mod facts;
mod reloads;
mod renewals;
mod traffic;
mod wrong;

use std::sync::Arc;

use rustls::ClientConfig;

use crate::fixtures::tls::{Authority, Issued};
use crate::fixtures::{TestProxy, TestUpstream, response};

/// A proxy with a listener that speaks TLS.
struct Encrypted {
    proxy: TestProxy,
    authority: Authority,
    address: std::net::SocketAddr,
    _upstream: TestUpstream,
}

/// More lines of the configuration, of the listener and beside it.
#[derive(Default)]
struct Lines<'a> {
    listener: &'a str,
    tls: &'a str,
    tables: &'a str,
}

impl Encrypted {
    /// With one certificate, for edge.test, in the file `edge.pem`.
    #[track_caller]
    fn start(lines: &Lines<'_>) -> Self {
        let authority = Authority::new();
        let edge = authority.issue(&["edge.test"]);
        Self::with(authority, &[("edge.pem", edge)], lines)
    }

    /// With these certificates in these files.
    #[track_caller]
    fn with(authority: Authority, files: &[(&str, Issued)], lines: &Lines<'_>) -> Self {
        let upstream = TestUpstream::start(|c| {
            while c.request().is_some() {
                c.send(response("200 OK", &[], "hello"));
            }
        });
        let mut builder = TestProxy::builder().host("*", &[upstream.address()]);
        for (name, issued) in files {
            builder = builder.file(name, issued.both());
        }
        let names: Vec<String> = files.iter().map(|(name, _)| format!("{name:?}")).collect();
        let proxy = builder
            .file("clients.pem", authority.pem())
            .listener(&format!(
                "{}\n[listeners.tls]\ncertificates = [{}]\n{}",
                lines.listener,
                names.join(", "),
                lines.tls
            ))
            .tables(lines.tables)
            .start();
        let address = proxy.address();
        Self {
            proxy,
            authority,
            address,
            _upstream: upstream,
        }
    }

    /// What a client of HTTP/1.1 offers.
    fn http1(&self) -> Arc<ClientConfig> {
        Arc::new(self.authority.client(&["http/1.1"]))
    }
}
