//! Alerts reach the client, however much it has sent and still sends; and then it is gone.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::CustomExtension;
use rustls::AlertDescription::{
    BadRecordMac, CertificateRequired, CertificateUnknown, DecryptError,
};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error};

use super::{Encrypted, Lines};
use crate::fixtures::tls::{Authority, Issued, Session, ask, session};
use crate::fixtures::{eventually, get};

const FAILED: &str = "/connections/tls_handshakes/failed";

/// Sends a piece, without looking at what has arrived.
fn send(session: &mut Session, bytes: &[u8]) {
    session.conn.writer().write_all(bytes).unwrap();
    while session.conn.wants_write() {
        session.conn.write_tls(&mut session.sock).unwrap();
    }
}

/// The alert that the client has been sent.
#[track_caller]
fn alert(failed: &std::io::Error) -> AlertDescription {
    let error = failed.get_ref().and_then(|e| e.downcast_ref());
    match error {
        Some(Error::AlertReceived(alert)) => *alert,
        _ => panic!("{failed:?}"),
    }
}

/// A client with an alternative name that has a NUL in it.
fn with_nul(authority: &Authority) -> Issued {
    authority.issue_with(&[], |params| {
        let names = b"\x30\x0e\x82\x0ca.test\0.evil";
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            &[2, 5, 29, 17],
            names.to_vec(),
        )];
    })
}

#[test]
fn a_client_that_is_refused_reads_the_alert_however_much_it_sends() {
    let this = Encrypted::start(&Lines {
        tls: "client-ca = \"clients.pem\"",
        ..Lines::default()
    });
    // Of an authority of the same name, so that the signature is what is wrong.
    let foreign = Authority::new().issue(&["client.test"]);
    let odd = with_nul(&this.authority);
    for (at, (identity, expected)) in [
        (None, CertificateRequired),
        (Some(&foreign), DecryptError),
        (Some(&odd), CertificateUnknown),
    ]
    .into_iter()
    .enumerate()
    {
        let config = this.authority.client_of(&[&TLS13], &[], identity);
        let mut session = session(this.address, &Arc::new(config), "edge.test").unwrap();
        send(&mut session, &get("edge.test", "/"));
        this.proxy.wait_for_stat(FAILED, at as u64 + 1);
        // It does not know yet: what it sends now must not cost it the alert.
        for _ in 0..10 {
            send(&mut session, &[b'a'; 10_000]);
        }
        let failed = session.read(&mut [0; 100]).unwrap_err();
        assert_eq!(alert(&failed), expected);
    }
    // By TLS 1.2 its own handshake fails.
    let config = this.authority.client_of(&[&TLS12], &[], Some(&foreign));
    let failed = session(this.address, &Arc::new(config), "edge.test").err();
    assert_eq!(alert(&failed.unwrap()), DecryptError);
    eventually("all are gone", || {
        (this.proxy.stat("/connections/active") == 0).then_some(())
    });
}

/// A record that can't be decrypted: on an idle connection, within a body, and by HTTP/2.
#[test]
fn a_session_that_fails_later_ends_with_an_alert_whatever_follows() {
    let this = Encrypted::start(&Lines::default());
    let upload = b"POST / HTTP/1.1\r\nHost: edge.test\r\nContent-Length: 100000\r\n\r\nbegin";
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (protocol, begin, first) in [
        ("http/1.1", &get("edge.test", "/")[..], Some("hello")),
        ("http/1.1", &upload[..], None),
        ("h2", &preface[..], None),
    ] {
        let config = Arc::new(this.authority.client(&[protocol]));
        let mut session = session(this.address, &config, "edge.test").unwrap();
        match first {
            Some(answer) => ask(&mut session, begin, answer),
            None => send(&mut session, begin),
        }
        session.sock.write_all(&[0x17, 3, 3, 0, 40]).unwrap();
        session.sock.write_all(&[7; 40]).unwrap();
        for _ in 0..10 {
            send(&mut session, &[b'a'; 10_000]);
        }
        let mut all = Vec::new();
        let failed = session.read_to_end(&mut all).unwrap_err();
        assert_eq!(alert(&failed), BadRecordMac, "{protocol}");
    }
    eventually("all are gone", || {
        (this.proxy.stat("/connections/active") == 0).then_some(())
    });
}

/// One that sends and sends after its alert, and one that does nothing.
#[test]
fn a_client_that_was_sent_an_alert_is_gone_within_a_moment() {
    let this = Encrypted::start(&Lines {
        tls: "client-ca = \"clients.pem\"",
        ..Lines::default()
    });
    let config = Arc::new(this.authority.client_of(&[&TLS13], &[], None));
    let begun = Instant::now();
    let _idle = session(this.address, &config, "edge.test").unwrap();
    let mut busy = session(this.address, &config, "edge.test").unwrap();
    let ended = loop {
        busy.conn.writer().write_all(&[0; 16_000]).unwrap();
        if let Err(e) = busy.conn.write_tls(&mut busy.sock) {
            break e;
        }
    };
    let is_reset = matches!(
        ended.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    );
    assert!(is_reset, "{ended:?}");
    eventually("both are gone", || {
        (this.proxy.stat("/connections/active") == 0).then_some(())
    });
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "not by its time-out"
    );
    assert_eq!(this.proxy.stat(FAILED), 2);
}
