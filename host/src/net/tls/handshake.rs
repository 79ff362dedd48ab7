//! Handshakes: from a socket to a session, as a server and as a client.

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::task::Poll;

use rustls::pki_types::ServerName;
use rustls::server::{Accepted, AcceptedAlert};
use rustls::{AlertDescription, ClientConfig, ClientConnection, Connection};

use super::super::socket::Socket;
use super::super::stream::Stream;
use super::below::{Below, In, Out};
use super::client_certificate::ClientCertificateError;
use super::session::{TlsStream, end};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer has left.
    #[error("the peer has left in the middle of the handshake")]
    Left,
    /// The socket has failed.
    #[error("the connection has failed: {0}")]
    Socket(io::Error),
    /// The two sides found nothing in common, or a side did not prove who it is. The peer was sent
    /// an alert.
    #[error("{0}")]
    Tls(rustls::Error),
    /// A certificate authority has what it asked for (TLS-ALPN-01), and nothing follows.
    #[error("it was a certificate authority's, which has its answer")]
    Answered,
    /// The client's certificate was verified, and can't be taken. The client was sent an alert.
    #[error("{0}")]
    Client(#[from] ClientCertificateError),
    /// A session is not put into another.
    #[error("the connection is encrypted already")]
    Nested,
    /// The listener has no certificate, and no route passes the connection on. The client was sent
    /// an alert.
    #[error("no route passes connections for {0} on, and the listener has no certificate")]
    Unknown(Box<str>),
    /// The same of a client that did not begin a handshake.
    #[error("it does not begin a TLS handshake")]
    NoHandshake,
}

/// A client with which there is no session.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// Why.
    pub error: HandshakeError,
    /// What carries the alert that says so, or has: a close over bytes that the client still sends
    /// would cost it the alert. `None` if the client has left.
    pub stream: Option<Stream>,
}

/// Reads what the client offers, before it is decided what it gets. `before` was read already.
pub(super) async fn hello(below: &Below, mut before: &[u8]) -> Result<Accepted, HandshakeError> {
    let socket = below.socket();
    let mut acceptor = rustls::server::Acceptor::default();
    loop {
        let n = match before.is_empty() {
            false => acceptor.read_tls(&mut before)?,
            true => {
                poll_fn(|cx| match acceptor.read_tls(&mut In { socket, cx }) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                    read => Poll::Ready(read),
                })
                .await?
            }
        };
        if n == 0 {
            return Err(HandshakeError::Left);
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err(refused) => return Err(alert(socket, refused)),
        }
    }
}

/// Goes on as the server.
pub(super) async fn serve(
    below: Below,
    accepted: Accepted,
    config: Arc<rustls::ServerConfig>,
) -> Result<TlsStream, Refused> {
    match accepted.into_connection(config) {
        Ok(connection) => finish(below, Connection::Server(connection)).await,
        Err(refused) => {
            let error = alert(below.socket(), refused);
            Err(error.with(below.into()))
        }
    }
}

/// Asks as a client.
pub(super) async fn ask(
    below: Below,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<TlsStream, HandshakeError> {
    let connection = ClientConnection::new(config, name).map_err(HandshakeError::Tls)?;
    let done = finish(below, Connection::Client(connection)).await;
    done.map_err(|refused| refused.error)
}

async fn finish(below: Below, connection: Connection) -> Result<TlsStream, Refused> {
    let stream = TlsStream::new(below, connection);
    let done = match stream.look_behind_hello() {
        Ok(()) => poll_fn(|cx| stream.poll_handshake(cx)).await,
        refused => refused,
    };
    match done {
        Ok(()) => Ok(stream),
        Err(error) => {
            end(stream.socket());
            Err(HandshakeError::from(error).with(Stream::Tls(Box::new(stream))))
        }
    }
}

/// Sends the reason, as far as the socket takes it.
fn alert(socket: Socket<'_>, (error, mut alert): (rustls::Error, AcceptedAlert)) -> HandshakeError {
    let mut out = Out { socket, cx: None };
    // What precedes it is in the same pieces.
    let _ = match alert.write(&mut out) {
        // rustls has no alert for some errors, and nothing is encrypted yet.
        Ok(0) => out.write(&plain_alert(&error)).map(|_| ()),
        Ok(_) => alert.write_all(&mut out),
        Err(e) => Err(e),
    };
    end(socket);
    HandshakeError::Tls(error)
}

/// The record of a fatal alert (RFC 8446 section 6): of a message that can't be read, or that can't
/// come first.
fn plain_alert(error: &rustls::Error) -> [u8; 7] {
    let description = match error {
        rustls::Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::UnexpectedMessage,
    };
    fatal(description)
}

/// The record of a fatal alert, before anything is encrypted.
fn fatal(description: AlertDescription) -> [u8; 7] {
    [0x15, 3, 3, 0, 2, 2, description.into()]
}

/// Refuses a client before its handshake, for this reason.
pub(super) fn refuse(
    below: Below,
    description: AlertDescription,
    error: HandshakeError,
) -> Refused {
    let socket = below.socket();
    let mut out = Out { socket, cx: None };
    let _ = out.write(&fatal(description));
    end(socket);
    error.with(below.into())
}

impl HandshakeError {
    fn of(error: &rustls::Error) -> Self {
        use rustls::CertificateError::Other;
        let client = match error {
            rustls::Error::InvalidCertificate(Other(other)) => other.0.downcast_ref(),
            _ => None,
        };
        client.map_or_else(|| Self::Tls(error.clone()), |client| Self::Client(*client))
    }

    /// With what was refused, if a client is there that may read why.
    pub(super) fn with(self, stream: Stream) -> Refused {
        let is_there = matches!(
            self,
            Self::Tls(_) | Self::Client(_) | Self::Unknown(_) | Self::NoHandshake
        );
        Refused {
            error: self,
            stream: is_there.then_some(stream),
        }
    }
}

impl From<HandshakeError> for Refused {
    fn from(error: HandshakeError) -> Self {
        Self {
            error,
            stream: None,
        }
    }
}

impl From<Below> for Stream {
    fn from(below: Below) -> Self {
        match below {
            Below::Tcp(stream) => Self::Tcp(stream),
            Below::Unix(stream) => Self::Unix(stream),
        }
    }
}

impl Stream {
    /// What may carry a session.
    pub(super) fn into_below(self) -> Result<Below, HandshakeError> {
        match self {
            Self::Tcp(stream) => Ok(Below::Tcp(stream)),
            Self::Unix(stream) => Ok(Below::Unix(stream)),
            Self::Tls(_) => Err(HandshakeError::Nested),
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Left;
        }
        let tls = error.get_ref().and_then(|e| e.downcast_ref());
        match tls {
            Some(tls) => Self::of(tls),
            None => Self::Socket(error),
        }
    }
}
