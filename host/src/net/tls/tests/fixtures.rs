//! Both ends of sessions, and certificates.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::io::AsyncReadExt;

use super::super::super::stream::tests::pair;
use super::super::super::{Stream, TlsFacts};
use super::super::trusting::Trusting;
use super::super::*;

/// An offer of both protocols and versions.
pub(super) fn offer() -> Offer {
    Offer {
        http1: true,
        h2: true,
        only_tls13: false,
        clients: None,
        tickets: Tickets::new().unwrap(),
        challenges: Challenges::default(),
    }
}

pub(super) fn acceptor(offer: Offer, certificates: &[Certificate]) -> Acceptor {
    Acceptor::new(Arc::new(
        CertificateStore::new(offer, certificates).unwrap(),
    ))
}

/// A client that trusts these certificates.
pub(super) fn client(trusted: &[Certificate]) -> ClientConfig {
    client_of(rustls::ALL_VERSIONS, trusted, None)
}

/// One that speaks these versions, and shows a certificate if it is asked for one.
pub(super) fn client_of(
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
pub(super) fn client_that_trusts_all() -> ClientConfig {
    trusting((*provider::provider()).clone(), rustls::ALL_VERSIONS)
}

pub(super) fn trusting(
    provider: CryptoProvider,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let provider = Arc::new(provider);
    let verifier = Arc::new(Trusting::new(&provider));
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// What signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named(name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Authorities::parse(self.0.pem().as_bytes()).unwrap().roots
    }

    /// A client's certificate.
    pub(super) fn issue(
        &self,
        name: &str,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
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
    pub(super) fn pem(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

pub(super) fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// One certificate for edge.test with an RSA key, and the key as PKCS#8 and as PKCS#1.
pub(super) const RSA_PAIRS: [(&[u8], &[u8]); 2] = [
    (include_bytes!("rsa.pem"), include_bytes!("rsa.pkcs8.key")),
    (include_bytes!("rsa.pem"), include_bytes!("rsa.pkcs1.key")),
];

pub(super) fn rsa() -> Certificate {
    Certificate::parse(RSA_PAIRS[0].0, RSA_PAIRS[0].1, None).unwrap()
}

pub(super) fn slice(certificate: &Certificate) -> &[Certificate] {
    std::slice::from_ref(certificate)
}

pub(super) fn name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).unwrap()
}

pub(super) type Agreed = Result<(Stream, TlsFacts), HandshakeError>;

/// What the client gets, and what the server does.
pub(super) async fn agree(
    acceptor: &Acceptor,
    config: &Arc<ClientConfig>,
    asked: &'static str,
) -> (Agreed, Agreed) {
    let connector = Connector::of(Arc::clone(config), name(asked));
    let (theirs, ours) = pair().await;
    let theirs = connector.connect(Stream::Tcp(theirs));
    let ours = async { acceptor.accept(ours).await.map_err(|refused| refused.error) };
    match tokio::join!(theirs, ours) {
        // By TLS 1.3 a client that is refused hears of it after its own handshake.
        (Ok((mut stream, _)), Err(refused)) => {
            let heard = stream.read_u8().await.map_err(HandshakeError::from);
            (Err(heard.unwrap_err()), Err(refused))
        }
        agreed => agreed,
    }
}

pub(super) fn edge() -> Certificate {
    self_signed(&["edge.test"]).unwrap()
}

/// Both ends of a session, the client's first.
pub(super) async fn sessions() -> (Stream, Stream) {
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
