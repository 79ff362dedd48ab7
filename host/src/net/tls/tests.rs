mod handshakes;
mod resumption;

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use tokio::io::AsyncReadExt;

use super::super::stream::tests::pair;
use super::super::{Buffer, ClientCertificate, ReadHalf, Stream, TlsFacts, WriteHalf};
use super::*;

/// An offer of both protocols and versions.
fn offer() -> Offer {
    Offer {
        http1: true,
        h2: true,
        only_tls13: false,
        clients: None,
        tickets: Tickets::new().unwrap(),
    }
}

fn acceptor(offer: Offer, certificates: &[Certificate]) -> Acceptor {
    Acceptor::new(Arc::new(
        CertificateStore::new(offer, certificates).unwrap(),
    ))
}

/// A client that trusts these certificates.
fn client(trusted: &[Certificate]) -> ClientConfig {
    client_of(rustls::ALL_VERSIONS, trusted, None)
}

/// One that speaks these versions, and shows a certificate if it is asked for one.
fn client_of(
    versions: &[&'static rustls::SupportedProtocolVersion],
    trusted: &[Certificate],
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.key.cert[0].clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(provider::provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
    }
}

/// A client that does not look at certificates.
fn client_that_trusts_all() -> ClientConfig {
    trusting((*provider::provider()).clone(), rustls::ALL_VERSIONS)
}

fn trusting(
    provider: CryptoProvider,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let algorithms = provider.signature_verification_algorithms;
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(algorithms)))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Trusting(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// What signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        Offer::roots(self.0.pem().as_bytes()).unwrap()
    }

    /// A client's certificate.
    fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names = ["client.test", "192.0.2.7"].map(str::to_owned).to_vec();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }

    /// A server's certificate and its key as PEM.
    fn pem(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// One certificate for edge.test with an RSA key, and the key as PKCS#8 and as PKCS#1.
const RSA_PAIRS: [(&[u8], &[u8]); 2] = [
    (
        include_bytes!("tests/rsa.pem"),
        include_bytes!("tests/rsa.pkcs8.key"),
    ),
    (
        include_bytes!("tests/rsa.pem"),
        include_bytes!("tests/rsa.pkcs1.key"),
    ),
];

fn rsa() -> Certificate {
    Certificate::parse(RSA_PAIRS[0].0, RSA_PAIRS[0].1, None).unwrap()
}

fn slice(certificate: &Certificate) -> &[Certificate] {
    std::slice::from_ref(certificate)
}

fn name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).unwrap()
}

type Agreed = Result<(Stream, TlsFacts), HandshakeError>;

/// What the client gets, and what the server does.
async fn agree(
    acceptor: &Acceptor,
    config: &Arc<ClientConfig>,
    asked: &'static str,
) -> (Agreed, Agreed) {
    let connector = Connector::of(Arc::clone(config), name(asked));
    let (theirs, ours) = pair().await;
    let theirs = connector.connect(Stream::Tcp(theirs));
    match tokio::join!(theirs, acceptor.accept(ours)) {
        // By TLS 1.3 a client that is refused hears of it after its own handshake.
        (Ok((mut stream, _)), Err(refused)) => {
            let heard = stream.read_u8().await.map_err(HandshakeError::from);
            (Err(heard.unwrap_err()), Err(refused))
        }
        agreed => agreed,
    }
}

fn edge() -> Certificate {
    self_signed(&["edge.test"]).unwrap()
}

/// Both ends of a session, the client's first.
async fn sessions() -> (Stream, Stream) {
    let certificate = edge();
    let config = Arc::new(client(slice(&certificate)));
    let acceptor = acceptor(offer(), &[certificate]);
    let (theirs, ours) = agree(&acceptor, &config, "edge.test").await;
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
    let config = Arc::new(client(slice(&certificate)));
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

/// The session holds what there is no room for, and records behind it wait.
#[tokio::test]
async fn a_reader_with_little_room_gets_everything_in_order() {
    for room in [1, 7, 4_000, 17_000] {
        let (mut theirs, mut ours) = sessions().await;
        let sent: Vec<u8> = body(150_000, room);
        let sending = async {
            let (_, mut half) = theirs.split();
            // Records of every length.
            let mut left = &sent[..];
            for length in [1, 16_384, 3, 16_384, 16_384, 100, 50_000, usize::MAX] {
                let piece = &left[..left.len().min(length)];
                write_all(&mut half, piece, usize::MAX).await;
                left = &left[piece.len()..];
            }
            theirs.shutdown().await.unwrap();
        };
        let reading = async {
            let (mut all, mut piece) = (Vec::new(), vec![0; room]);
            loop {
                match ours.read(&mut piece).await.unwrap() {
                    0 => return all,
                    n => all.extend_from_slice(&piece[..n]),
                }
            }
        };
        let ((), arrived) = tokio::join!(sending, reading);
        assert!(arrived == sent, "{room}");
    }
}

#[tokio::test]
async fn what_was_reported_as_written_is_what_the_peer_gets() {
    let (mut theirs, mut ours) = sessions().await;
    let sent = body(32 << 20, 5);
    let mut reported = 0;
    let (_, mut half) = ours.split();
    // Until the socket is full.
    let full = |half: &mut WriteHalf<'_>, reported: &mut usize| loop {
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        match half.poll_write(&mut cx, &sent[*reported..]) {
            std::task::Poll::Ready(n) => *reported += n.unwrap(),
            std::task::Poll::Pending => return,
        }
    };
    full(&mut half, &mut reported);
    let at_once = reported;
    let mut arrived = read_exact(&mut theirs.split().0, at_once / 2).await;
    let rest = async {
        let mut left = &sent[reported..];
        while !left.is_empty() {
            left = &left[poll_fn(|cx| half.poll_write(cx, left)).await.unwrap()..];
        }
    };
    let reading = async {
        let left = sent.len() - arrived.len();
        read_exact(&mut theirs.split().0, left).await
    };
    let ((), more) = tokio::join!(rest, reading);
    arrived.extend(more);
    assert!(arrived == sent);
}

#[tokio::test]
async fn a_peer_sees_whether_the_end_was_announced() {
    for (how, announced) in [("dropped", true), ("sent off", true), ("reset", false)] {
        let (mut theirs, mut ours) = sessions().await;
        write_all(&mut ours.split().1, b"so far", 6).await;
        match how {
            "sent off" => ours.send_off(b", the rest"),
            "reset" => {
                // Over TCP a reset says it; here only the session's end is looked at.
                if let Stream::Tls(session) = &ours {
                    session.cut_off();
                }
            }
            _ => {}
        }
        drop(ours);
        let mut all = Vec::new();
        let end = theirs.read_to_end(&mut all).await;
        assert_eq!(end.is_ok(), announced, "{how}: {end:?}");
        let expected: &[u8] = match how {
            "sent off" => b"so far, the rest",
            _ => b"so far",
        };
        assert_eq!(all, expected);
        assert!(!theirs.is_quiet(true), "{how}");
    }
}
