//! TLS by rustls: what turns a socket into a session, and the certificates that a listener serves.
//!
//! [`Acceptor`] is the server's side, [`Connector`] the client's; [`Peeked`] is a handshake that
//! may be a backend's to answer. A session is a [`super::Stream`] like every other. Certificates,
//! keys of tickets and roots of trust are made on the control side and read here without a lock.

mod acceptor;
mod authorities;
mod below;
mod certificate;
mod challenges;
mod client;
mod client_certificate;
mod first_message;
mod handshake;
mod names;
mod offer;
mod provider;
mod self_signed;
pub(in crate::net) mod session;
mod short_chains;
mod signatures;
mod store;
mod tickets;
mod trusting;

pub use acceptor::{Acceptor, Peeked};
pub use authorities::Authorities;
pub use certificate::{Certificate, CertificateError};
pub use challenges::{ChallengeError, Challenges};
pub use client::{Alpn, Connector, ConnectorError, ConnectorId, client_config};
pub use first_message::Asked;
pub use handshake::{HandshakeError, Refused};
pub use names::Names;
pub use offer::Offer;
pub use self_signed::self_signed;
pub use store::CertificateStore;
pub use tickets::Tickets;

#[cfg(test)]
pub(super) mod tests;
