use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::super::stream::tests::pair;
use super::super::{Buffer, ReadHalf, Stream, WriteHalf};
use super::*;

/// An offer of both protocols and versions.
pub(super) fn offer() -> Offer {
    Offer {
        http1: true,
        h2: true,
        only_tls13: false,
        clients: None,
        tickets: Tickets::new().unwrap(),
    }
}

pub(super) fn acceptor(offer: Offer, certificates: &[Certificate]) -> Acceptor {
    Acceptor::new(Arc::new(
        CertificateStore::new(offer, certificates).unwrap(),
    ))
}

/// A client that trusts these certificates.
pub(super) fn client(trusted: &[Certificate]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.key.cert[0].clone()).unwrap();
    }
    ClientConfig::builder_with_provider(provider::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn edge() -> Certificate {
    self_signed(&["edge.test"]).unwrap()
}

/// Both ends of a session, the client's first.
async fn sessions() -> (Stream, Stream) {
    let certificate = edge();
    let connector = Connector::new(
        Arc::new(client(std::slice::from_ref(&certificate))),
        ServerName::try_from("edge.test").unwrap(),
    );
    let acceptor = acceptor(offer(), &[certificate]);
    let (theirs, ours) = pair().await;
    let (theirs, ours) = tokio::join!(
        connector.connect(Stream::Tcp(theirs)),
        acceptor.accept(ours)
    );
    (theirs.unwrap().0, ours.unwrap().0)
}

/// The peer's end of a session, which blocks, and which announces its end.
#[derive(Debug)]
pub(in crate::net) struct Blocking(StreamOwned<ClientConnection, std::net::TcpStream>);

impl Read for Blocking {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.conn.write_tls(&mut self.0.sock);
    }
}

/// A session whose other end is not this crate's, that end first.
pub(in crate::net) async fn session_with_blocking() -> (Blocking, Stream) {
    let certificate = edge();
    let config = Arc::new(client(std::slice::from_ref(&certificate)));
    let (theirs, ours) = pair().await;
    let mut theirs = theirs.into_std().unwrap();
    theirs.set_nonblocking(false).unwrap();
    let theirs = tokio::task::spawn_blocking(move || {
        let name = ServerName::try_from("edge.test").unwrap();
        let mut connection = ClientConnection::new(config, name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut theirs).unwrap();
        }
        Blocking(StreamOwned::new(connection, theirs))
    });
    let ours = acceptor(offer(), &[certificate]).accept(ours).await;
    (theirs.await.unwrap(), ours.unwrap().0)
}

/// Bytes in which each position can be recognised.
fn body(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8)
        .collect()
}

async fn write_all(half: &mut WriteHalf<'_>, mut bytes: &[u8], piece: usize) {
    while !bytes.is_empty() {
        let next = &bytes[..bytes.len().min(piece)];
        let n = poll_fn(|cx| half.poll_write(cx, next)).await.unwrap();
        bytes = &bytes[n..];
    }
}

async fn read_exact(half: &mut ReadHalf<'_>, length: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), Buffer::default());
    while all.len() < length {
        let n = poll_fn(|cx| half.poll_read(cx, &mut buffer)).await.unwrap();
        assert!(n > 0, "the end after {} bytes", all.len());
        all.extend_from_slice(buffer.filled());
        buffer.consume(buffer.len());
    }
    all
}

#[tokio::test]
async fn bodies_both_ways_at_once_arrive_byte_for_byte() {
    for (length, piece) in [(1, 1), (10_000, 10_000), (100_000, 333), (8 << 20, 200_000)] {
        let (mut theirs, mut ours) = sessions().await;
        let (mut their_read, mut their_write) = theirs.split();
        let (mut our_read, mut our_write) = ours.split();
        let (up, down) = (body(length, 1), body(length, 2));
        // All in one task, as an upload and its response are.
        let (arrived, answered, (), ()) = tokio::join!(
            read_exact(&mut our_read, length),
            read_exact(&mut their_read, length),
            write_all(&mut their_write, &up, piece),
            write_all(&mut our_write, &down, piece),
        );
        assert!(arrived == up && answered == down, "{length} {piece}");
    }
}
