//! What a client says before there is a session, and behind its hello: the certificate is the one
//! for the name, a client that is refused reads why, and nothing waits for ever.
//!
//! The input's first two bytes say where the rest is cut in two.

#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rustls::server::Accepted;
use tokio::runtime::{Builder, Runtime};
use waypost::net::Stream;
use waypost::net::tls::{
    Acceptor, Certificate, CertificateStore, Challenges, HandshakeError, Names, Offer, Refused,
    Tickets, self_signed,
};

/// What fits into a socket that nobody reads yet.
const MOST: usize = 64 * 1024;
/// Content types of records (RFC 8446 section 5.1).
const KINDS: std::ops::RangeInclusive<u8> = 20..=23;

struct Listener {
    store: Arc<CertificateStore>,
    /// Those of the store, in its order.
    certificates: Vec<Certificate>,
    runtime: Runtime,
}

static LISTENER: LazyLock<Listener> = LazyLock::new(|| {
    let names: [&[&str]; 3] = [
        &["default.test", "127.0.0.1"],
        &["*.wild.test", "a.test"],
        &["exact.wild.test"],
    ];
    let challenges = Challenges::default();
    let ordered = ("ordered.test".to_owned(), [7; 32]);
    challenges.answer(&[ordered]).expect("a challenge");
    let offer = Offer {
        http1: true,
        h2: true,
        only_tls13: false,
        clients: None,
        tickets: Tickets::new().expect("keys of tickets"),
        challenges,
    };
    let certificates = names.map(|names| self_signed(names).expect("a certificate"));
    let store = CertificateStore::new(offer, &certificates).expect("a store");
    Listener {
        store: Arc::new(store),
        certificates: certificates.into(),
        runtime: Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime"),
    }
});

/// The hello of these bytes, which arrive in two pieces.
fn accepted(pieces: [&[u8]; 2]) -> Option<Accepted> {
    let mut acceptor = rustls::server::Acceptor::default();
    for mut piece in pieces {
        while !piece.is_empty() {
            acceptor.read_tls(&mut piece).ok()?;
            if let Some(accepted) = acceptor.accept().ok()? {
                return Some(accepted);
            }
        }
    }
    None
}

/// The names of the certificate that a client has to get that asks for this one: the exact name
/// comes before the wildcard.
fn expected(name: Option<&str>) -> &Names {
    let certificates = &LISTENER.certificates;
    let named = name.and_then(|name| {
        let exact = |c: &&Certificate| c.names().all().any(|of| of.eq_ignore_ascii_case(name));
        let covers = |c: &&Certificate| c.names().covers(name);
        let mut all = certificates.iter();
        all.clone().find(exact).or_else(|| all.find(covers))
    });
    named.unwrap_or(&certificates[0]).names()
}

/// How the server's side ends for a client that says this and no more, and what it is sent.
fn served(pieces: [&[u8]; 2]) -> (Refused, Vec<u8>) {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    server.set_nonblocking(true).expect("a socket");
    let refused = LISTENER.runtime.block_on(async {
        let server = tokio::net::UnixStream::from_std(server).expect("a socket");
        let acceptor = Acceptor::new(Arc::clone(&LISTENER.store));
        let says = async {
            for piece in pieces {
                client.write_all(piece).expect("the server takes it");
                tokio::task::yield_now().await;
            }
            client.shutdown(Shutdown::Write).expect("a socket");
            std::future::pending::<()>().await;
        };
        let serves = tokio::time::timeout(
            Duration::from_secs(5),
            acceptor.accept(Stream::Unix(server)),
        );
        let (mut says, mut serves) = (std::pin::pin!(says), std::pin::pin!(serves));
        std::future::poll_fn(|cx| {
            let _ = says.as_mut().poll(cx);
            serves.as_mut().poll(cx)
        })
        .await
        .expect("it waits for a client that has left")
    });
    let Err(mut refused) = refused else {
        panic!("there is a session without a client");
    };
    // The socket ends with it.
    let is_there = refused.stream.take().is_some();
    let mut out = Vec::new();
    let _ = client.read_to_end(&mut out);
    assert!(!is_there || !out.is_empty(), "{refused} is not said");
    (refused, out)
}

/// The kinds of the records that were sent, which are whole.
fn kinds(mut records: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, 3, _, a, b, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*a, *b]));
        assert!(KINDS.contains(kind), "{kind} is no record's");
        kinds.push(*kind);
        records = rest.get(length..).expect("a whole record");
    }
    assert!(records.is_empty(), "a head of a record that is none");
    kinds
}

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let bytes = &bytes[..bytes.len().min(MOST)];
    let cut = usize::from(u16::from_be_bytes(*cut)) % (bytes.len() + 1);
    let (first, second) = bytes.split_at(cut);
    let (whole, parts) = (accepted([bytes, &[]]), accepted([first, second]));
    assert_eq!(
        whole.is_some(),
        parts.is_some(),
        "a hello depends on its pieces"
    );
    if let Some(accepted) = &parts {
        let hello = accepted.client_hello();
        let names = LISTENER.store.names_for(&hello);
        assert_eq!(&*names, expected(hello.server_name()));
    }
    for pieces in [[bytes, &[]], [first, second]] {
        let (refused, out) = served(pieces);
        let kinds = kinds(&out);
        let is_answered = matches!(kinds.first(), Some(22));
        assert!(
            whole.is_some() || !is_answered,
            "an answer without a hello: {kinds:?}"
        );
        let has_left = matches!(refused.error, HandshakeError::Left);
        // What is refused before keys are there is refused by a plain alert.
        assert!(
            has_left || is_answered || kinds.first() == Some(&21),
            "{refused}: {kinds:?}"
        );
    }
});
