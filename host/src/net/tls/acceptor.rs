//! The server's side of TLS.

use std::future::poll_fn;
use std::sync::Arc;

use rustls::AlertDescription;

use super::super::info::TlsFacts;
use super::super::stream::Stream;
use super::CertificateStore;
use super::below::Below;
use super::client_certificate::{self, ClientCertificateError};
use super::first_message::{self, Asked};
use super::handshake::{self, HandshakeError, Refused};
use super::session::TlsStream;
use crate::message::{ClientCertificate, TlsSession, TlsVersion};

/// Makes sessions of the connections of a listener. A copy costs a counter.
#[derive(Debug, Clone)]
pub struct Acceptor(Option<Arc<CertificateStore>>);

/// A client's first message, which nobody has answered.
#[derive(Debug)]
pub struct Peeked {
    below: Below,
    bytes: Vec<u8>,
    /// What it asks for.
    pub asked: Asked,
}

impl Peeked {
    /// Reads the first message, and nothing behind it. The caller limits the time.
    ///
    /// # Errors
    ///
    /// The client has left, or the socket has failed.
    pub async fn read(stream: Stream) -> Result<Self, Refused> {
        let below = stream.into_below()?;
        wait(&below).await?;
        Box::pin(Self::of(below)).await
    }

    async fn of(below: Below) -> Result<Self, Refused> {
        let (bytes, asked) = first_message::read(&below).await?;
        Ok(Self {
            below,
            bytes,
            asked,
        })
    }

    /// The connection, and what was read of it.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        (self.below.into(), self.bytes)
    }
}

/// A client that says nothing costs little more than its socket.
async fn wait(below: &Below) -> Result<(), HandshakeError> {
    poll_fn(|cx| below.socket().poll_read_ready(cx))
        .await
        .map_err(HandshakeError::Socket)
}

impl Acceptor {
    /// With the certificates of a store, as they are at each handshake.
    pub fn new(certificates: Arc<CertificateStore>) -> Self {
        Self(Some(certificates))
    }

    /// Of a listener that has no certificate, because each of its connections is passed on: all
    /// others are refused.
    pub fn without_certificates() -> Self {
        Self(None)
    }

    /// Has the client and this side agree. The caller limits the time.
    ///
    /// # Errors
    ///
    /// They don't, or one of them has left. The client is sent the reason: by the time that this
    /// returns, as far as the socket took it at once, and the rest when
    /// [`Refused::stream`] is shut down. [`HandshakeError::Answered`] is none of these.
    pub async fn accept(&self, stream: Stream) -> Result<(Stream, TlsFacts), Refused> {
        let below = stream.into_below()?;
        wait(&below).await?;
        match &self.0 {
            Some(certificates) => Box::pin(agree(certificates, below, &[])).await,
            None => Box::pin(async { self.go_on(Peeked::of(below).await?).await }).await,
        }
    }

    /// The same with a client whose first message was read.
    ///
    /// # Errors
    ///
    /// As of [`Acceptor::accept`].
    pub async fn go_on(&self, peeked: Peeked) -> Result<(Stream, TlsFacts), Refused> {
        let Peeked {
            below,
            bytes,
            asked,
        } = peeked;
        if let Some(certificates) = &self.0 {
            return Box::pin(agree(certificates, below, &bytes)).await;
        }
        let (description, error) = match asked {
            Asked::Unreadable => (AlertDescription::DecodeError, HandshakeError::NoHandshake),
            Asked::NoName => (
                AlertDescription::UnrecognisedName,
                HandshakeError::Unknown("no name".into()),
            ),
            Asked::Name(name) => (
                AlertDescription::UnrecognisedName,
                HandshakeError::Unknown(name),
            ),
        };
        Err(handshake::refuse(below, description, error))
    }
}

/// `before` was read of the client's first message already.
async fn agree(
    certificates: &CertificateStore,
    below: Below,
    before: &[u8],
) -> Result<(Stream, TlsFacts), Refused> {
    let accepted = match handshake::hello(&below, before).await {
        Ok(accepted) => accepted,
        Err(error) => return Err(error.with(below.into())),
    };
    let hello = accepted.client_hello();
    if let Some(config) = certificates.challenge(&hello) {
        // Dropped at once: such a session carries nothing.
        handshake::serve(below, accepted, config).await?;
        return Err(HandshakeError::Answered.into());
    }
    let server_name = hello.server_name().map(|name| name.to_ascii_lowercase());
    let identity = certificates.choose(&hello);
    let config = Arc::clone(&identity.config);
    let stream = handshake::serve(below, accepted, config).await?;
    let facts = TlsFacts {
        session: Arc::new(TlsSession {
            client: client(&stream).map_err(HandshakeError::Client)?,
            ..session(&stream, server_name)
        }),
        certificate: Some(Arc::clone(identity.names())),
    };
    Ok((Stream::Tls(Box::new(stream)), facts))
}

/// What a handshake has shown.
pub(super) fn session(stream: &TlsStream, server_name: Option<String>) -> TlsSession {
    stream.look(|connection| TlsSession {
        version: match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        },
        cipher_suite: connection
            .negotiated_cipher_suite()
            .map_or("", |suite| name(suite.suite()))
            .into(),
        server_name: server_name.map(Into::into),
        // One of those that this side has named.
        protocol: connection
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into()),
        client: None,
    })
}

/// The client's certificate, if it has presented one.
fn client(stream: &TlsStream) -> Result<Option<Box<ClientCertificate>>, ClientCertificateError> {
    stream.look(|connection| {
        let chain = connection.peer_certificates();
        let own = chain.and_then(<[_]>::first).map(client_certificate::read);
        Ok(own.transpose()?.map(Box::new))
    })
}

/// The suite's name in the registry of IANA; rustls has one of its own for those of TLS 1.3.
fn name(suite: rustls::CipherSuite) -> &'static str {
    use rustls::CipherSuite;
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or(""),
    }
}
