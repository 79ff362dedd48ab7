//! HTTP/2 over TLS, by ALPN.

use std::sync::Arc;

use http::Request;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fixtures::http2::{Http2, block_on};
use crate::fixtures::{TestProxy, TestUpstream};

/// A proxy with a certificate for `a.test`, and a client's side that trusts it.
fn encrypted(upstream: &TestUpstream) -> (TestProxy, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let proxy = TestProxy::builder()
        .listener("tls = { certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }] }")
        .host("*", &[upstream.address()])
        .file("c.pem", made.cert.pem())
        .file("k.pem", made.signing_key.serialize_pem())
        .start();
    (proxy, TlsConnector::from(Arc::new(config)))
}

async fn connect(proxy: &TestProxy, connector: &TlsConnector) -> Http2 {
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let begun = h2::client::handshake(stream).await.unwrap();
    Http2::over(begun)
}

fn get(url: &str) -> Request<()> {
    Request::get(url).body(()).unwrap()
}

#[test]
fn requests_over_tls_are_those_of_https() {
    let upstream = TestUpstream::echo();
    let (proxy, connector) = encrypted(&upstream);
    block_on(async {
        let client = connect(&proxy, &connector).await;
        let body = vec![b'x'; 1_000_000];
        let put = Request::put("https://a.test/put").body(()).unwrap();
        let answer = client.ask(put, &body).await.unwrap();
        assert!(answer.status == 200 && answer.body == body);
        let answer = client.ask(get("http://a.test/"), b"").await.unwrap();
        assert_eq!(answer.status, 400, "not the scheme of the connection");
    });
    let received = upstream.received();
    assert_eq!(
        received[0].head.value("x-forwarded-proto").unwrap(),
        "https"
    );
    assert_eq!(received.len(), 1);
}

/// RFC 9110 section 15.5.20.
#[test]
fn a_request_for_a_host_that_the_certificate_is_not_for_is_a_421() {
    let upstream = TestUpstream::named("a");
    let (proxy, connector) = encrypted(&upstream);
    block_on(async {
        let client = connect(&proxy, &connector).await;
        for (url, status) in [
            ("https://a.test/", 200),
            ("https://A.test:8443/", 200),
            ("https://b.test/", 421),
            ("https://x.a.test/", 421),
            ("https://a.test/", 200),
        ] {
            let answer = client.ask(get(url), b"").await.unwrap();
            assert_eq!(answer.status, status, "{url}");
        }
    });
    assert_eq!(upstream.received().len(), 3);
    proxy.logged(&["b.test", "421"]);
}
