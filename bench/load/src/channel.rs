//! A connection over which one request after the other is asked, with or without TLS, blocking.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::Failure;
use crate::answer::Answer;
use crate::h2;
use crate::options::Options;

/// How a client goes about TLS. All proxies get the same: TLS 1.3 with one suite and one curve, so
/// that none does other work because it prefers something else.
pub fn tls(options: &Options) -> Result<Arc<ClientConfig>, Failure> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    });
    let verifier = Arc::new(Anything(provider.clone()));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let protocol: &[u8] = if options.h2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = if options.resume {
        Resumption::in_memory_sessions(4)
    } else {
        Resumption::disabled()
    };
    Ok(Arc::new(config))
}

/// Takes every certificate: what a client spends on looking is of no interest here.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS session that is not yet shaken hands on.
pub fn session(
    options: &Options,
    config: &Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Failure> {
    let name = ServerName::try_from(options.host.clone())?;
    let connection = ClientConnection::new(config.clone(), name)?;
    Ok(StreamOwned::new(connection, options.connect()?))
}

trait Bytes: Read + Write {}
impl<T: Read + Write> Bytes for T {}

/// A connection that is kept.
pub struct Channel {
    bytes: Box<dyn Bytes>,
    /// The number of the last HTTP/2 stream.
    stream: u32,
}

impl Channel {
    /// Opens a connection; `config` is what `tls` gave, for TLS.
    pub fn open(options: &Options, config: Option<&Arc<ClientConfig>>) -> Result<Self, Failure> {
        let bytes: Box<dyn Bytes> = match config {
            Some(config) => Box::new(session(options, config)?),
            None => Box::new(options.connect()?),
        };
        Ok(Channel { bytes, stream: 0 })
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, options: &Options) -> Result<(), Failure> {
        if !options.h2 {
            return exchange(&mut *self.bytes, &options.request());
        }
        let mut request = Vec::new();
        if self.stream == 0 {
            request.extend_from_slice(h2::PREFACE);
            h2::greet(&mut request, None);
        }
        self.stream = if self.stream == 0 { 1 } else { self.stream + 2 };
        h2::request(&mut request, self.stream, options)?;
        self.bytes.write_all(&request)?;
        self.bytes.flush()?;
        let mut answer = h2::Answer::new(self.stream);
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.bytes.read(&mut buffer)? {
                0 => return Err("the connection ended before the answer did".into()),
                read => {
                    let done = answer.take(&buffer[..read])?;
                    if answer.settings() {
                        let mut taken = Vec::new();
                        h2::put(&mut taken, h2::SETTINGS, h2::ACK, 0, &[]);
                        self.bytes.write_all(&taken)?;
                        self.bytes.flush()?;
                    }
                    if done {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Sends an HTTP/1.1 request and reads its answer.
pub fn exchange<S: Read + Write + ?Sized>(stream: &mut S, request: &[u8]) -> Result<(), Failure> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Answer::default();
    let mut buffer = [0; 64 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err("the connection ended before the answer did".into()),
            read if answer.take(&buffer[..read])? => return Ok(()),
            _ => {}
        }
    }
}
