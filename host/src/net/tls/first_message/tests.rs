use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::net::tls::provider;

/// What rustls says first to a server of this name.
fn hello(name: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(provider::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// What is known when these bytes have come one by one.
fn one_by_one(bytes: &[u8]) -> Option<Asked> {
    let mut arriving = Arriving::default();
    for byte in bytes {
        match arriving.next() {
            Next::Known(asked) => return Some(asked),
            Next::Wants(n) => assert!(n > 0),
        }
        arriving.bytes.push(*byte);
    }
    match arriving.next() {
        Next::Known(asked) => Some(asked),
        Next::Wants(_) => None,
    }
}

fn at_once(bytes: &[u8]) -> Option<Asked> {
    let bytes = bytes.to_vec();
    match (Arriving {
        bytes,
        ..Arriving::default()
    })
    .next()
    {
        Next::Known(asked) => Some(asked),
        Next::Wants(_) => None,
    }
}

/// The same message in records of so many bytes.
fn in_records(of: usize, bytes: &[u8]) -> Vec<u8> {
    let pieces = bytes[RECORD_HEAD..].chunks(of);
    pieces.fold(Vec::new(), |mut all, piece| {
        all.extend([HANDSHAKE, 3, 1]);
        all.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
        all.extend(piece);
        all
    })
}

/// A message of these extensions, in a record.
fn with_extensions(extensions: &[u8]) -> Vec<u8> {
    let length = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 1, 1, 0]);
    hello.extend(length(extensions.len()));
    hello.extend(extensions);
    let mut all = vec![HANDSHAKE, 3, 1];
    all.extend(length(hello.len() + 4));
    all.extend([CLIENT_HELLO, 0]);
    all.extend(length(hello.len()));
    all.extend(hello);
    all
}

/// The extension that names a server.
fn naming(name: &[u8]) -> Vec<u8> {
    let length = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let mut all = vec![0, 0];
    all.extend(length(name.len() + 5));
    all.extend(length(name.len() + 3));
    all.push(0);
    all.extend(length(name.len()));
    all.extend(name);
    all
}

#[test]
fn a_name_is_found_however_its_message_is_cut() {
    let bytes = hello("A.example");
    let found = Some(Asked::Name("a.example".into()));
    assert_eq!(
        (at_once(&bytes), one_by_one(&bytes)),
        (found.clone(), found.clone())
    );
    for of in [1, 2, 3, 50, 100] {
        let bytes = in_records(of, &bytes);
        assert_eq!(at_once(&bytes), found, "{of}");
        assert_eq!(one_by_one(&bytes), found, "{of}");
    }
    assert_eq!(at_once(&hello("192.0.2.1")), Some(Asked::NoName));
    for end in 0..bytes.len() {
        assert_eq!(one_by_one(&bytes[..end]), None, "{end}");
    }
}

#[test]
fn nothing_behind_it_is_read() {
    for bytes in [hello("a.example"), in_records(7, &hello("a.example"))] {
        for end in 0..bytes.len() {
            let mut arriving = Arriving {
                bytes: bytes[..end].to_vec(),
                ..Arriving::default()
            };
            let Next::Wants(n) = arriving.next() else {
                panic!("known after {end}")
            };
            assert!(end + n <= bytes.len(), "{n} more after {end}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_broken_is_read_alike_in_pieces_and_at_once(
        broken in proptest::collection::vec((0..90_usize, any::<u8>()), 0..4),
        length in 0..90_usize,
    ) {
        let mut bytes = with_extensions(&naming(b"a.example"));
        for (at, byte) in broken {
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
        }
        bytes.truncate(length);
        prop_assert_eq!(one_by_one(&bytes), at_once(&bytes));
    }
}

#[test]
fn extensions_that_nobody_knows_stand_beside_a_name() {
    let grease = [0x3a, 0x3a, 0, 1, 0];
    let all = [&grease[..], &naming(b"b.example."), &grease].concat();
    let found = at_once(&with_extensions(&all));
    assert_eq!(found, Some(Asked::Name("b.example".into())));
    assert_eq!(at_once(&with_extensions(&grease)), Some(Asked::NoName));
}

#[test]
fn what_could_be_read_in_two_ways_is_not_read() {
    let name = naming(b"a.example");
    let twice = [&name[..], &naming(b"b.example")].concat();
    let mut two_in_a_list = naming(b"a.example\0\0\x09b.example");
    two_in_a_list[8] = 9;
    let mut other_kind = name.clone();
    other_kind[6] = 1;
    let unreadable = [
        twice,
        two_in_a_list,
        other_kind,
        naming(b""),
        naming(b"."),
        naming(b"a b"),
        naming(b"a\0.example"),
        naming("é.example".as_bytes()),
        naming(&[b'a'; 254]),
        name[..name.len() - 1].to_vec(),
    ];
    for extensions in unreadable {
        let bytes = with_extensions(&extensions);
        assert_eq!(at_once(&bytes), Some(Asked::Unreadable), "{extensions:?}");
    }
}

#[test]
fn what_is_no_first_message_is_known_early() {
    let mut more = hello("a.example");
    let length = u16::from_be_bytes([more[3], more[4]]) + 1;
    more[3..5].copy_from_slice(&length.to_be_bytes());
    more.push(0);
    for bytes in [
        &b"G"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x80, 0x2e, 1, 0, 2],
        &[21, 3, 1, 0, 2, 1, 0],
        &[HANDSHAKE, 2, 0, 0, 9],
        &[HANDSHAKE, 3, 1, 0, 0],
        &[HANDSHAKE, 3, 1, 0x40, 1],
        &[HANDSHAKE, 3, 1, 0, 1, 2],
        &[HANDSHAKE, 3, 1, 0, 4, 1, 1, 0, 1],
        &more,
    ] {
        assert_eq!(one_by_one(bytes), Some(Asked::Unreadable), "{bytes:?}");
    }
    let endless = in_records(
        1,
        &[vec![0; RECORD_HEAD], vec![CLIENT_HELLO, 0, 0xff, 0xff], {
            vec![0; 0xffff]
        }]
        .concat(),
    );
    assert_eq!(at_once(&endless), Some(Asked::Unreadable));
}
