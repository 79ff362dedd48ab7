//! Clients that prove who they are, and names that are not the certificate's.

use std::sync::Arc;

use super::{Encrypted, Lines};
use crate::fixtures::get;
use crate::fixtures::tls::{Authority, Issued, ask, client, read, session};

#[test]
fn only_clients_of_the_authority_are_served_where_a_certificate_is_required() {
    for (required, without) in [("required", false), ("optional", true)] {
        let tls = format!("client-ca = \"clients.pem\"\nclient-certificate = \"{required}\"");
        let this = Encrypted::start(&Lines {
            tls: &tls,
            ..Lines::default()
        });
        let ours = this.authority.issue(&["client.test"]);
        let foreign = Authority::new().issue(&["client.test"]);
        for (identity, is_served) in [
            (Some(&ours), true),
            (None, without),
            (Some(&foreign), false),
        ] {
            let config = Arc::new(this.authority.client_with(&[], identity));
            // A client of TLS 1.3 hears of it with its first read.
            let answer = session(this.address, &config, "edge.test").and_then(|mut session| {
                std::io::Write::write_all(&mut session, &get("edge.test", "/"))?;
                read(&mut session)
            });
            assert_eq!(answer.is_ok(), is_served, "{required}: {answer:?}");
        }
        let failed = if without { 1 } else { 2 };
        let pointer = "/connections/tls_handshakes/failed";
        this.proxy.wait_for_stat(pointer, failed);
    }
}

/// Each certificate more of one name makes the search for a path to a root longer by a factor.
#[test]
fn a_client_with_a_long_chain_is_refused_whatever_is_in_it() {
    let this = Encrypted::start(&Lines {
        tls: "client-ca = \"clients.pem\"",
        ..Lines::default()
    });
    let ours = this.authority.issue(&["client.test"]);
    let other = Authority::new();
    let namesake = other.issue(&["between.test"]).certificate;
    let named = |at: usize| other.identify(&format!("between {at}"), &[]).certificate;
    for (names, namesakes, is_served) in [
        (6, 0, true),
        (7, 0, false),
        (4, 2, true),
        (0, 3, false),
        (3, 3, false),
    ] {
        let between = (0..names).map(named).collect::<String>() + &namesake.repeat(namesakes);
        let identity = Issued {
            certificate: ours.certificate.clone() + &between,
            key: ours.key.clone(),
        };
        let config = Arc::new(this.authority.client_with(&[], Some(&identity)));
        let answer = session(this.address, &config, "edge.test").and_then(|mut session| {
            std::io::Write::write_all(&mut session, &get("edge.test", "/"))?;
            read(&mut session)
        });
        assert_eq!(answer.is_ok(), is_served, "{names} {namesakes}: {answer:?}");
    }
}

#[test]
fn a_request_for_a_host_that_the_connection_is_not_for_is_misdirected() {
    let authority = Authority::new();
    let files = [
        ("edge.pem", authority.issue(&["edge.test", "*.wild.test"])),
        ("other.pem", authority.issue(&["other.test"])),
    ];
    let this = Encrypted::with(authority, &files, &Lines::default());
    for (asked, host, status) in [
        ("edge.test", "edge.test", 200),
        ("edge.test", "EDGE.test:8443", 200),
        ("edge.test", "a.wild.test", 200),
        ("edge.test", "a.b.wild.test", 421),
        ("edge.test", "other.test", 421),
        ("other.test", "edge.test", 421),
        ("other.test", "other.test", 200),
    ] {
        let mut client = client(this.address, &this.http1(), asked);
        let answer = client.ask(get(host, "/"));
        assert_eq!(answer.status, status, "{asked} {host}");
        if status == 421 {
            answer.assert_refusal(421);
            assert_eq!(client.ask(get(asked, "/")).status, 200, "it stays open");
        }
    }
}

/// A client that resumes its session has the facts of its first handshake anew.
#[test]
fn a_resumed_session_is_for_the_same_hosts() {
    let this = Encrypted::start(&Lines::default());
    let config = this.http1();
    for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let mut session = session(this.address, &config, "edge.test").unwrap();
        ask(&mut session, &get("edge.test", "/"), "hello");
        assert_eq!(session.conn.handshake_kind(), Some(kind));
        ask(&mut session, &get("other.test", "/"), "421");
    }
}
