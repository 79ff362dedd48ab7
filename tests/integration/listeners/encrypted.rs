//! What comes before and around a TLS handshake: a PROXY header, limits, a certificate in memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::fixtures::{
    Client, PATIENCE, Running, Scratch, TestProxy, TestUpstream, command, eventually, get,
};

/// A client that takes every certificate.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A session after these bytes, by HTTP/1.1.
fn session(to: SocketAddr, before: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(before).unwrap();
    StreamOwned::new(connection, stream)
}

/// Asks for a page and returns the whole answer.
fn answer(session: &mut StreamOwned<ClientConnection, TcpStream>) -> String {
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    session.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    session.read_to_string(&mut answer).unwrap();
    answer
}

/// A certificate for localhost and its key in one file.
fn certificate() -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem())
}

fn encrypted(upstream: &TestUpstream, listener: &str, tables: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .file("edge.pem", certificate())
        .listener(&format!(
            "tls = {{ certificates = [\"edge.pem\"] }}\n{listener}"
        ))
        .tables(tables)
        .start()
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let upstream = TestUpstream::named("a");
    let proxy = encrypted(
        &upstream,
        "proxy-protocol = { trusted = [\"127.0.0.1\"] }",
        "",
    );
    for (header, client) in [
        (
            &b"PROXY TCP4 192.0.2.7 198.51.100.1 4660 443\r\n"[..],
            "192.0.2.7",
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.1"),
    ] {
        let before = upstream.received().len();
        let answer = answer(&mut session(proxy.address(), header));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let received = upstream.received().remove(before);
        assert_eq!(received.value("x-forwarded-for").as_deref(), Some(client));
        assert_eq!(
            received.value("x-forwarded-proto").as_deref(),
            Some("https")
        );
    }
    let mut without = session(proxy.address(), b"");
    assert!(without.conn.complete_io(&mut without.sock).is_err());
    assert_eq!(proxy.stat("/connections/tls_handshakes/completed"), 2);
}

#[test]
fn handshakes_under_way_are_limited_and_end_in_time() {
    let upstream = TestUpstream::named("a");
    let limits = "[limits]\ntls-handshakes-per-client = 2\n[timeouts]\ntls-handshake = \"400ms\"";
    let proxy = encrypted(&upstream, "", limits);
    eventually("a third is refused", || {
        let mut silent = [proxy.client(), proxy.client(), proxy.client()];
        for client in &mut silent {
            // The beginning of a record, so that the handshake has begun.
            client.send_what_is_taken([0x16, 3, 1, 2, 0]);
        }
        for client in &mut silent {
            client.assert_closed();
        }
        (proxy.stat("/connections/tls_handshakes/refused") > 0).then_some(())
    });
    eventually("all of them have ended", || {
        let mut client = session(proxy.address(), b"");
        client.conn.complete_io(&mut client.sock).ok()?;
        let answer = answer(&mut client);
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
    eventually("they are counted", || {
        (proxy.stat("/connections/tls_handshakes/failed") >= 2).then_some(())
    });
}

#[test]
fn a_client_beyond_the_limit_of_connections_is_closed_without_plain_text() {
    let upstream = TestUpstream::named("a");
    let proxy = encrypted(&upstream, "", "[limits]\nconnections-per-client = 1");
    let mut first = session(proxy.address(), b"");
    first.conn.complete_io(&mut first.sock).unwrap();
    proxy.client().assert_closed();
    assert!(answer(&mut first).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_certificate_in_memory_makes_https_work_at_once() {
    let upstream = TestUpstream::named("a");
    let (folder, host) = (Scratch::new(), format!("*={}", upstream.address()));
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "off",
        "--workers",
        "1",
    ];
    let mut command = command();
    command.args(["run", "--tls-self-signed=127.0.0.1:0", "--host", &host]);
    let proxy = Running::start(command.args(flags).current_dir(folder.path()));
    let addresses = eventually("both listeners listen", || {
        let text = proxy.stderr.text();
        let found = text.lines().filter_map(|line| {
            let (_, after) = line.split_once("listening addr=")?;
            after.split(' ').next()?.parse::<SocketAddr>().ok()
        });
        let found: Vec<SocketAddr> = found.collect();
        (found.len() == 2).then_some(found)
    });
    let answered = answer(&mut session(addresses[1], b""));
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    assert_eq!(
        Client::connect(addresses[0]).ask(get("a.test", "/")).status,
        200
    );
}
