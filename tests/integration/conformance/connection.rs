//! What `conformance` reads of a client's connection, in every language.

use std::sync::Arc;

use rcgen::SanType;
use sha2::{Digest, Sha256};

use super::Case;
use super::subject::{Alone, Subject, request};
use crate::fixtures::TestProxy;
use crate::fixtures::http2::block_on;
use crate::fixtures::tls::{self, Authority};

pub const CASES: &[Case] = &[
    (
        "connection: nothing of TLS where there is none",
        not_encrypted,
    ),
    (
        "connection: versions, names and certificates of clients",
        encrypted,
    ),
];

const COMMANDS: [(&str, &[u8]); 2] = [
    ("x-do", b"response connection"),
    ("x-do", b"response certificate"),
];

fn not_encrypted(subject: &Subject) {
    let did = subject.did(&["connection", "certificate"]);
    assert_eq!(
        did,
        ["http11 none none none none", "none none none none none"]
    );
    let old = String::from_utf8(request("GET", "contract.test", &COMMANDS)).unwrap();
    let answer = subject.proxy.ask(old.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(
        answer.head.values("x-did"),
        ["http10 none none none none", "none none none none none"]
    );
}

fn encrypted(subject: &Subject) {
    let authority = Authority::new();
    let names = [
        SanType::DnsName("*.a.test".try_into().unwrap()),
        SanType::URI("spiffe://a.test/Zo%C3%AB".try_into().unwrap()),
        SanType::Rfc822Name("a@b.test".try_into().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
    ];
    let (full, bare) = (
        authority.identify("Zoë, 7", &names),
        authority.identify("8", &[]),
    );
    let builder = TestProxy::builder()
        .file("edge.pem", authority.issue(&["edge.test"]).both())
        .file("clients.pem", authority.pem())
        .listener(
            "tls = { certificates = [\"edge.pem\"], client-ca = \"clients.pem\", \
             client-certificate = \"optional\" }",
        );
    let pool = format!("\"{}\"", subject.backends[0].address());
    let proxy = subject.alone_in(
        builder,
        &Alone {
            policy: "conformance",
            pool,
            settings: "",
        },
    );
    let told = |identity: &tls::Issued, names: &str, subject: &str| {
        let fingerprint = super::hooks::hex(&Sha256::digest(identity.der()));
        format!("8001 {fingerprint} 2082758400000 {names} {subject}")
    };

    let config = authority.client_of(&[&rustls::version::TLS12], &["http/1.1"], Some(&full));
    let mut client = tls::client(proxy.address(), &Arc::new(config), "edge.test");
    let did = client.ask(request("GET", "edge.test", &COMMANDS)).head;
    let did = did.values("x-did");
    let suite = did[0].split(' ').nth(2).unwrap();
    assert!(suite.starts_with("TLS_ECDHE_ECDSA_WITH_"), "{suite}");
    assert_eq!(
        did,
        [
            format!("http11 tls12 {suite} edge.test http/1.1"),
            told(
                &full,
                "dns:*.a.test,uri:spiffe://a.test/Zo%C3%AB,email:a@b.test,address:2001:db8::1",
                "CN=Zoë\\, 7"
            )
        ]
    );

    for (identity, certificate) in [
        (Some(&bare), told(&bare, "none", "CN=8")),
        (None, "none none none none none".to_owned()),
    ] {
        let config = authority.client_with(&["h2"], identity);
        let did = block_on(async {
            let client = tls::http2(proxy.address(), &Arc::new(config), "edge.test").await;
            let mut request = http::Request::get("https://edge.test/").body(()).unwrap();
            for (name, command) in COMMANDS {
                let value = http::HeaderValue::from_bytes(command).unwrap();
                request.headers_mut().append(name, value);
            }
            let answer = client.ask(request, b"").await.unwrap();
            let did = answer.fields.get_all("x-did").iter();
            did.map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        });
        let suite = did[0].split(' ').nth(2).unwrap();
        assert!(suite.starts_with("TLS_AES_") || suite.starts_with("TLS_CHACHA20_"));
        assert_eq!(
            did,
            [format!("http2 tls13 {suite} edge.test h2"), certificate]
        );
    }
}
