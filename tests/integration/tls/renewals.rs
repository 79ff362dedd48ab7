//! Clients that begin a handshake in the middle of a session, and such that change their keys.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::crypto::cipher::{
    AeadKey, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls12AeadAlgorithm, UnsupportedOperationError,
};
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, Error,
    SupportedCipherSuite, Tls12CipherSuite,
};

use super::{Encrypted, Lines};
use crate::fixtures::tls::{Authority, Session, ask, session};
use crate::fixtures::{eventually, get};

/// Encrypts as another does, and sends what begins like a hello as a part of a handshake: rustls
/// itself can't be made to ask for another one.
struct Disguising(&'static dyn Tls12AeadAlgorithm);

struct Disguised(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Disguised {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let is_hello = message.payload.to_vec().first() == Some(&1);
        let typ = match message.typ {
            ContentType::ApplicationData if is_hello => ContentType::Handshake,
            typ => typ,
        };
        self.0
            .encrypt(OutboundPlainMessage { typ, ..message }, sequence)
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        self.0.encrypted_payload_len(length)
    }
}

impl Tls12AeadAlgorithm for Disguising {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Disguised(self.0.encrypter(key, iv, extra)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }
}

/// A client of TLS 1.2 whose hellos go out as such, and the hello that it sends.
fn renegotiating(this: &Encrypted) -> (Arc<ClientConfig>, Vec<u8>) {
    let suites = this.authority.client_of(&[&TLS12], &[], None);
    let mut provider = (**suites.crypto_provider()).clone();
    provider.cipher_suites.retain_mut(|suite| {
        let SupportedCipherSuite::Tls12(known) = suite else {
            return false;
        };
        let disguising: &'static Disguising = Box::leak(Box::new(Disguising(known.aead_alg)));
        let suites: &'static Tls12CipherSuite = Box::leak(Box::new(Tls12CipherSuite {
            aead_alg: disguising,
            common: rustls::crypto::CipherSuiteCommon { ..known.common },
            ..**known
        }));
        *suite = SupportedCipherSuite::Tls12(suites);
        true
    });
    let config = Arc::new(this.authority.client_by(Arc::new(provider), &[&TLS12]));
    let name = "edge.test".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    // Without the head of its record.
    (config, hello.split_off(5))
}

/// Sends until the proxy takes no more, and reads what it has said.
#[track_caller]
fn ends(this: &Encrypted, session: &mut Session) {
    let ended = session.read_to_end(&mut Vec::new());
    assert!(ended.is_err(), "with an alert, or a reset: {ended:?}");
    eventually("it is gone", || {
        (this.proxy.stat("/connections/active") == 0).then_some(())
    });
}

#[test]
fn a_renegotiation_is_refused_once_and_asked_for_again_it_ends_the_connection() {
    let this = Encrypted::start(&Lines::default());
    let (config, hello) = renegotiating(&this);
    let mut session = session(this.address, &config, "edge.test").unwrap();
    ask(&mut session, &get("edge.test", "/"), "hello");
    session.write_all(&hello).unwrap();
    // RFC 5746 section 4.5: a warning, and the session goes on.
    ask(&mut session, &get("edge.test", "/"), "hello");
    for _ in 0..100 {
        if session.write_all(&hello).is_err() {
            break;
        }
    }
    ends(&this, &mut session);
    assert_eq!(this.proxy.stat("/connections/tls_handshakes/completed"), 1);
}

#[test]
fn a_client_may_change_its_keys_between_requests_and_not_do_nothing_else() {
    let this = Encrypted::start(&Lines::default());
    let config = this.authority.client_of(&[&TLS13], &["http/1.1"], None);
    let mut session = session(this.address, &Arc::new(config), "edge.test").unwrap();
    for _ in 0..10 {
        session.conn.refresh_traffic_keys().unwrap();
        ask(&mut session, &get("edge.test", "/"), "hello");
    }
    for _ in 0..10_000 {
        session.conn.refresh_traffic_keys().unwrap();
        // In a record of its own.
        if session.conn.write_tls(&mut session.sock).is_err() {
            break;
        }
    }
    ends(&this, &mut session);
}

impl Authority {
    /// A client of this provider.
    fn client_by(
        &self,
        provider: Arc<rustls::crypto::CryptoProvider>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        for root in rustls::pki_types::CertificateDer::pem_slice_iter(self.pem().as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}
