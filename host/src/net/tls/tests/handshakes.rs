//! What a handshake agrees on, and what ends it.

use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

fn of(names: &[&str]) -> Certificate {
    self_signed(names).unwrap()
}

#[tokio::test]
async fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let all = [
        of(&["default.test"]),
        of(&["*.wild.test"]),
        of(&["exact.wild.test", "other.test"]),
    ];
    let config = Arc::new(client_that_trusts_all());
    let acceptor = acceptor(offer(), &all);
    for (asked, at) in [
        ("default.test", 0),
        ("unknown.test", 0),
        ("a.wild.test", 1),
        ("A.WILD.test", 1),
        ("a.b.wild.test", 0),
        ("wild.test", 0),
        ("exact.wild.test", 2),
        ("other.test", 2),
        ("127.0.0.1", 0),
    ] {
        let (theirs, ours) = agree(&acceptor, &config, asked).await;
        let (theirs, (_, facts)) = (theirs.unwrap().0, ours.unwrap());
        assert_eq!(facts.certificate.as_ref(), Some(all[at].names()), "{asked}");
        let Stream::Tls(theirs) = theirs else {
            panic!("not a session")
        };
        let presented = theirs.look(|c| c.peer_certificates().unwrap()[0].clone());
        assert_eq!(presented, all[at].key.cert[0], "{asked}");
        let named = (asked != "127.0.0.1").then(|| asked.to_ascii_lowercase());
        assert_eq!(facts.session.server_name.as_deref(), named.as_deref());
    }
}

#[tokio::test]
async fn a_client_gets_the_kind_of_key_that_it_can_verify() {
    let (ecdsa, rsa) = (of(&["edge.test"]), rsa());
    for all in [[ecdsa.clone(), rsa.clone()], [rsa.clone(), ecdsa.clone()]] {
        let acceptor = acceptor(offer(), &all);
        for (suite, expected) in [
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", &rsa),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", &ecdsa),
        ] {
            let mut provider = (*provider::provider()).clone();
            let is_it = |s: &rustls::SupportedCipherSuite| s.suite().as_str() == Some(suite);
            provider.cipher_suites.retain(is_it);
            let config = Arc::new(trusting(provider, &[&TLS12]));
            // By its name, and where the first one is the default.
            for asked in ["edge.test", "127.0.0.1"] {
                let (theirs, ours) = agree(&acceptor, &config, asked).await;
                let Stream::Tls(theirs) = theirs.unwrap().0 else {
                    panic!("not a session")
                };
                let presented = theirs.look(|c| c.peer_certificates().unwrap()[0].clone());
                assert_eq!(presented, expected.key.cert[0], "{suite} {asked}");
                assert_eq!(ours.unwrap().1.session.cipher_suite, suite);
            }
        }
    }
}

#[tokio::test]
async fn both_sides_agree_on_the_best_version_and_protocol_that_they_share() {
    let certificate = edge();
    let both = acceptor(offer(), slice(&certificate));
    let only_http1 = acceptor(
        Offer {
            h2: false,
            ..offer()
        },
        slice(&certificate),
    );
    let only_13 = Offer {
        only_tls13: true,
        ..offer()
    };
    let only_13 = acceptor(only_13, slice(&certificate));
    let (old, new) = (&[&TLS12][..], &[&TLS12, &TLS13][..]);
    for (acceptor, versions, offered, expected) in [
        (&both, new, &["h2", "http/1.1"][..], Ok(("TLSv1.3", "h2"))),
        (&both, old, &["http/1.1", "h2"], Ok(("TLSv1.2", "h2"))),
        (&both, new, &["http/1.1"], Ok(("TLSv1.3", "http/1.1"))),
        (&both, new, &[], Ok(("TLSv1.3", ""))),
        (
            &only_http1,
            new,
            &["h2", "http/1.1"],
            Ok(("TLSv1.3", "http/1.1")),
        ),
        (
            &only_http1,
            new,
            &["h2"],
            Err(AlertDescription::NoApplicationProtocol),
        ),
        (
            &only_http1,
            old,
            &["h2"],
            Err(AlertDescription::NoApplicationProtocol),
        ),
        (
            &both,
            new,
            &["spdy/3"],
            Err(AlertDescription::NoApplicationProtocol),
        ),
        (&only_13, new, &["h2"], Ok(("TLSv1.3", "h2"))),
        (
            &only_13,
            old,
            &["h2"],
            Err(AlertDescription::ProtocolVersion),
        ),
    ] {
        let mut config = client_of(versions, slice(&certificate), None);
        config.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let (theirs, ours) = agree(acceptor, &Arc::new(config), "edge.test").await;
        match expected {
            Ok((version, protocol)) => {
                let (_theirs, (_, facts)) = (theirs.unwrap(), ours.unwrap());
                let agreed = facts.session.protocol.as_deref().unwrap_or_default();
                assert_eq!(
                    (facts.session.version.as_str(), agreed),
                    (version, protocol)
                );
            }
            Err(alert) => {
                assert!(matches!(ours, Err(HandshakeError::Tls(_))), "{offered:?}");
                let Err(HandshakeError::Tls(rustls::Error::AlertReceived(got))) = theirs else {
                    panic!("{theirs:?}")
                };
                assert_eq!(got, alert);
            }
        }
    }
}

#[tokio::test]
async fn a_client_proves_who_it_is_where_that_is_asked() {
    let (ours, foreign) = (Authority::new("clients"), Authority::new("clients"));
    let certificate = edge();
    let verifying = |required| {
        let clients = Some((ours.roots(), required));
        acceptor(Offer { clients, ..offer() }, slice(&certificate))
    };
    let (required, optional) = (verifying(true), verifying(false));
    for versions in [&[&TLS13][..], &[&TLS12]] {
        for (acceptor, identity, subject) in [
            (
                &required,
                Some(ours.issue("client 7")),
                Some(Some("CN=client 7")),
            ),
            (
                &optional,
                Some(ours.issue("client 8")),
                Some(Some("CN=client 8")),
            ),
            (&optional, None, Some(None)),
            (&required, None, None),
            (&required, Some(foreign.issue("client 7")), None),
            (&optional, Some(foreign.issue("client 7")), None),
        ] {
            let config = Arc::new(client_of(versions, slice(&certificate), identity));
            let (heard, served) = agree(acceptor, &config, "edge.test").await;
            if served.is_err() {
                let alert = heard.unwrap_err();
                let is_alert =
                    matches!(alert, HandshakeError::Tls(rustls::Error::AlertReceived(_)));
                assert!(is_alert, "{alert}");
            }
            let seen = served.ok().map(|(_, facts)| facts.session.client.clone());
            let expected = subject.map(|subject| subject.map(str::to_owned));
            let of_seen = |client: Option<Box<ClientCertificate>>| client.map(|c| c.subject.into());
            assert_eq!(seen.clone().map(of_seen), expected);
            if let Some(Some(client)) = seen {
                let names: Vec<String> = client.names.iter().map(ToString::to_string).collect();
                assert_eq!(names, ["DNS:client.test", "IP:192.0.2.7"]);
            }
        }
    }
}

/// The bytes with which a client begins.
fn hello() -> Vec<u8> {
    let config = Arc::new(client(&[edge()]));
    let name = ServerName::try_from("edge.test").unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// What comes of a connection that sends this and ends its side; and what it was answered.
async fn sent(bytes: &[u8]) -> (Result<(), HandshakeError>, Vec<u8>) {
    let acceptor = acceptor(offer(), &[edge()]);
    let (mut theirs, ours) = pair().await;
    theirs.write_all(bytes).await.unwrap();
    theirs.shutdown().await.unwrap();
    let accepted = acceptor.accept(ours).await;
    let accepted = accepted.map(|_| ()).map_err(|refused| refused.error);
    let mut answer = Vec::new();
    let _ = theirs.read_to_end(&mut answer).await;
    (accepted, answer)
}

#[tokio::test]
async fn what_is_no_hello_ends_with_an_alert_and_what_breaks_off_without() {
    let hello = hello();
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: edge.test\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 400],
        &[&[0x16, 3, 1, 0, 4][..], &[2, 0, 0, 0]].concat(),
        // A message that is one, and can't come first; and the half of one, and another record.
        &[&[0x16, 3, 1, 0, 4][..], &[20, 0, 0, 0]].concat(),
        &[
            &[0x16, 3, 1, 0, 5][..],
            &[1, 0, 0, 9, 3],
            &[0x14, 3, 1, 0, 1, 1],
        ]
        .concat(),
        &[&[0x16, 3, 1, 0xff, 0xff][..], &[1; 400]].concat(),
    ] {
        let (accepted, answer) = sent(garbage).await;
        assert!(
            matches!(accepted, Err(HandshakeError::Tls(_))),
            "{accepted:?}"
        );
        assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:02x?}");
    }
    for part in [0, 1, 5, 6, hello.len() / 2, hello.len() - 1] {
        let (accepted, answer) = sent(&hello[..part]).await;
        assert!(
            matches!(accepted, Err(HandshakeError::Left)),
            "{part}: {accepted:?}"
        );
        assert!(answer.is_empty(), "{answer:02x?}");
    }
    let (accepted, _) = sent(&hello).await;
    assert!(
        matches!(accepted, Err(HandshakeError::Left)),
        "{accepted:?}"
    );
}

/// The record of a heartbeat, which nobody has agreed to, in the same segment.
#[tokio::test]
async fn a_record_behind_the_hello_is_looked_at_at_once() {
    let (accepted, answer) = sent(&[&hello()[..], &[0x18, 3, 3, 0, 1, 0]].concat()).await;
    assert!(
        matches!(accepted, Err(HandshakeError::Tls(_))),
        "{accepted:?}"
    );
    // Encrypted by then: two bytes, their type and a tag of 16.
    let alert = [0x17, 3, 3, 0, 19];
    let last = answer.len() - alert.len() - 19;
    assert_eq!(answer[last..][..alert.len()], alert);
}

/// Passes on what one side sends, byte by byte.
async fn dribble(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) {
    while let Ok(byte) = from.read_u8().await {
        if to.write_u8(byte).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_handshake_in_single_bytes_is_one() {
    let certificate = edge();
    let acceptor = acceptor(offer(), slice(&certificate));
    let ((client_end, near), (far, server_end)) = (pair().await, pair().await);
    let Stream::Tcp(near) = near else {
        panic!("not TCP")
    };
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    tokio::spawn(dribble(near_read, far_write));
    tokio::spawn(dribble(far_read, near_write));
    let connector = Connector::of(Arc::new(client(slice(&certificate))), name("edge.test"));
    let (theirs, ours) = tokio::join!(
        connector.connect(Stream::Tcp(client_end)),
        acceptor.accept(server_end)
    );
    let ((mut theirs, _), (mut ours, _)) = (theirs.unwrap(), ours.unwrap());
    ours.write_all(&body(40_000, 3)).await.unwrap();
    assert_eq!(
        read_exact(&mut theirs.split().0, 40_000).await,
        body(40_000, 3)
    );
}

#[tokio::test]
async fn a_session_is_not_put_into_another() {
    let (theirs, _ours) = sessions().await;
    let acceptor = acceptor(offer(), &[edge()]);
    let nested = acceptor.accept(theirs).await.map(|_| ());
    let nested = nested.map_err(|refused| refused.error);
    assert!(matches!(nested, Err(HandshakeError::Nested)));
}

#[test]
fn a_certificate_that_can_not_be_served_says_why() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let (certificate, key) = one.pem("edge.test");
    let (_, other_key) = other.pem("edge.test");
    let both = [certificate.as_bytes(), key.as_bytes()].concat();
    let parse = |certificate: &[u8], key: &[u8]| {
        Certificate::parse(certificate, key, None).map(|c| c.names().summary())
    };
    assert_eq!(parse(&both, &both), Ok("edge.test".to_owned()));
    let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
    assert_eq!(parse(certificate, key), Ok("edge.test".to_owned()));
    for (certificate, key, error) in [
        (&b""[..], key, CertificateError::NoCertificate),
        (key, key, CertificateError::NoCertificate),
        (certificate, certificate, CertificateError::NoKey),
        (
            certificate,
            other_key.as_bytes(),
            CertificateError::Mismatch,
        ),
    ] {
        assert_eq!(parse(certificate, key), Err(error));
    }
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = &certificate[..certificate.len() / 2];
    for wrong in [&broken[..], cut] {
        let error = parse(wrong, key).unwrap_err();
        let is_expected = matches!(
            error,
            CertificateError::Malformed(_) | CertificateError::Pem(_)
        );
        assert!(is_expected, "{error:?}");
    }
    for (certificate, key) in RSA_PAIRS {
        assert_eq!(parse(certificate, key), Ok("edge.test".to_owned()));
    }
}

/// A connection that never says anything has no session, only a socket.
#[tokio::test]
async fn a_silent_client_costs_little_more_than_its_socket() {
    let acceptor = acceptor(offer(), &[edge()]);
    let (_theirs, ours): (TcpStream, Stream) = pair().await;
    let accepting = acceptor.accept(ours);
    let size = std::mem::size_of_val(&accepting);
    assert!(size <= 256, "{size} bytes");
}
