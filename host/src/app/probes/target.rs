//! What is probed, and how: a connection as requests would have it, and what is asked on it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bounded::Bounded;
use super::row::Shown;
use super::{by_h1, by_h2, grpc};
use crate::config::{Probe, ProbeKind};
use crate::net::Stream;
use crate::net::tls::Connector;
use crate::upstream::{Endpoint, Health, Protocol, authority, is_ours};

/// One endpoint.
#[derive(Debug)]
pub(super) struct Target {
    pub probe: Probe,
    pub health: Arc<Health>,
    label: Arc<str>,
    address: SocketAddr,
    /// The host that the operator wrote.
    server_name: Arc<str>,
    protocol: Protocol,
    tls: Option<Arc<Connector>>,
}

/// Why a probe has shown nothing good.
#[derive(Debug)]
pub(super) enum Unwell {
    /// A sentence about the endpoint.
    Theirs(String),
    /// This process or this machine has no more of what a connection takes: that says nothing about
    /// the endpoint.
    Ours(String),
}

impl From<String> for Unwell {
    fn from(reason: String) -> Self {
        Self::Theirs(reason)
    }
}

impl PartialEq for Target {
    /// Whether probes of one would do as those of the other.
    fn eq(&self, other: &Self) -> bool {
        let tls = |target: &Self| target.tls.as_ref().map(Arc::as_ptr);
        (&self.probe, self.address, &self.server_name)
            == (&other.probe, other.address, &other.server_name)
            && self.protocol == other.protocol
            && tls(self) == tls(other)
    }
}

impl Target {
    pub(super) fn new(endpoint: &Endpoint, probe: &Probe) -> Self {
        let mut address = endpoint.address;
        if let Some(port) = probe.port {
            address.set_port(port);
        }
        Self {
            probe: probe.clone(),
            health: Arc::clone(&endpoint.health),
            label: Arc::clone(&endpoint.label),
            address,
            server_name: Arc::clone(&endpoint.server_name),
            protocol: endpoint.protocol,
            tls: endpoint.tls.clone(),
        }
    }

    /// Probes once. The caller limits the time.
    pub(super) async fn ask(&self) -> Result<(), Unwell> {
        let (stream, is_h2) = self.connect().await?;
        let stream = Bounded::new(stream);
        match &self.probe.kind {
            ProbeKind::Tcp => Ok(()),
            ProbeKind::Http {
                path,
                host,
                expect,
                body,
            } => {
                let host = self.authority(host.as_deref());
                let asked = match is_h2 {
                    true => by_h2::get(stream, self.scheme(), &host, path, body.as_deref()).await,
                    false => by_h1::get(stream, &host, path, body.as_deref()).await,
                };
                let (status, has_body) = asked?;
                if !expect.iter().any(|range| range.contains(&status)) {
                    return Err(format!("it answered {path} with the status {status}").into());
                }
                match (has_body, body) {
                    (false, Some(body)) => {
                        Err(format!("its answer to {path} has no {body:?}").into())
                    }
                    _ => Ok(()),
                }
            }
            ProbeKind::Grpc { .. } if !is_h2 => Err("it did not agree to HTTP/2, which gRPC needs"
                .to_owned()
                .into()),
            ProbeKind::Grpc { service, host } => {
                let host = self.authority(host.as_deref());
                Ok(grpc::check(stream, self.scheme(), &host, service).await?)
            }
        }
    }

    /// A connection, and whether it is one of HTTP/2.
    pub(super) async fn connect(&self) -> Result<(Stream, bool), Unwell> {
        let stream = Stream::connect(self.address).await;
        let stream = stream.map_err(|e| match is_ours(&e) {
            true => Unwell::Ours(e.to_string()),
            false => Unwell::Theirs(format!("no connection: {e}")),
        })?;
        let Some(tls) = &self.tls else {
            return Ok((stream, self.protocol == Protocol::H2));
        };
        let (stream, facts) = tls.connect(stream).await.map_err(|e| e.of_backend())?;
        let is_h2 = facts.session.protocol.as_deref() == Some("h2");
        match self.protocol == Protocol::H2 && !is_h2 {
            true => Err("it does not agree to HTTP/2 in the TLS handshake (ALPN)"
                .to_owned()
                .into()),
            false => Ok((stream, is_h2)),
        }
    }

    fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// What is written for probes, or the backend as it is written.
    fn authority(&self, written: Option<&str>) -> String {
        if let Some(written) = written {
            return written.to_owned();
        }
        authority(&self.server_name, self.address.port(), self.tls.is_some())
    }

    /// Says in the log that there was no probe.
    pub(super) fn was_not_probed(&self, reason: &str) {
        tracing::debug!(target: "health", backend = &*self.label, "not probed: {reason}");
    }

    /// Keeps what a probe has shown.
    pub(super) fn note(&self, shown: Shown) {
        let has_failed = !matches!(shown, Shown::Up | Shown::Nothing { has_failed: false });
        self.health.probed(has_failed);
        match shown {
            Shown::Nothing { .. } => {}
            Shown::Up => self.health.comes_up(),
            Shown::Down(reason) => {
                tracing::debug!(target: "health", backend = &*self.label, "{reason}");
                self.health.goes_down(&reason);
            }
        }
    }
}
