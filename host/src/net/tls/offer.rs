//! What a listener offers in a handshake, beside its certificates.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

use super::Certificate;
use super::Challenges;
use super::Tickets;
use super::provider;
use super::short_chains::ShortChains;

/// What a listener offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Whether `http/1.1` is offered.
    pub http1: bool,
    /// Whether `h2` is offered.
    pub h2: bool,
    /// Whether TLS 1.2 is not offered.
    pub only_tls13: bool,
    /// The roots that have to have signed a client's certificate, and whether it must present one.
    pub clients: Option<(Arc<RootCertStore>, bool)>,
    /// The keys of tickets. Not for clients that present certificates: a resumed session would not
    /// show that the certificate is still good.
    pub tickets: Tickets,
    /// The handshakes that a certificate authority is answered.
    pub challenges: Challenges,
}

impl Offer {
    /// The configuration that presents a certificate.
    pub(super) fn present(&self, certificate: &Certificate) -> Result<ServerConfig, rustls::Error> {
        let versions: &[_] = match self.only_tls13 {
            true => &[&TLS13],
            false => &[&TLS13, &TLS12],
        };
        let provider = provider::provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some((roots, required)) => {
                let (roots, by) = (Arc::clone(roots), Arc::clone(&provider));
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, by);
                let verifier = match required {
                    true => verifier,
                    false => verifier.allow_unauthenticated(),
                };
                let verifier = verifier
                    .build()
                    .map_err(|e| rustls::Error::General(e.to_string()))?;
                builder.with_client_cert_verifier(Arc::new(ShortChains::new(&provider, verifier)))
            }
        };
        let resolver = SingleCertAndKey::from(Arc::clone(&certificate.key));
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if self.clients.is_none() {
            config.ticketer = self.tickets.producer();
            // More cost time, and a client that opens several connections at once may use one
            // ticket for all.
            config.send_tls13_tickets = 1;
        }
        let offered = [(self.h2, &b"h2"[..]), (self.http1, b"http/1.1")];
        config.alpn_protocols = offered
            .into_iter()
            .filter(|(is_offered, _)| *is_offered)
            .map(|(_, name)| name.to_vec())
            .collect();
        Ok(config)
    }
}
