//! The client's side of TLS: sessions with backends.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::super::info::TlsFacts;
use super::super::stream::Stream;
use super::acceptor::facts;
use super::handshake::{self, HandshakeError};

/// Makes sessions with a backend. A copy costs a counter.
#[derive(Debug, Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// For a backend that has to prove that it has this name.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        Self { config, name }
    }

    /// Has the backend and this side agree. The caller limits the time.
    ///
    /// # Errors
    ///
    /// They don't, or one of them has left.
    pub async fn connect(&self, stream: Stream) -> Result<(Stream, TlsFacts), HandshakeError> {
        let below = stream.into_below()?;
        let (config, name) = (Arc::clone(&self.config), self.name.clone());
        let stream = handshake::ask(below, config, name).await?;
        let facts = facts(&stream, None, None);
        Ok((Stream::Tls(Box::new(stream)), facts))
    }
}
