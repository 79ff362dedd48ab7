//! What is not TLS, or not all of it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Encrypted, Lines};
use crate::fixtures::tls::{ask, session};
use crate::fixtures::{PATIENCE, eventually, get};

const SHORT: Lines<'_> = Lines {
    listener: "",
    tls: "",
    tables: "[timeouts]\ntls-handshake = \"300ms\"\n",
};

fn connect(this: &Encrypted) -> TcpStream {
    let stream = TcpStream::connect(this.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything until the end, be it a close or a reset.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(e) = stream.read_to_end(&mut all) {
        assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}");
    }
    all
}

/// The bytes with which a client begins.
fn hello(this: &Encrypted) -> Vec<u8> {
    let name = "edge.test".try_into().unwrap();
    let mut connection = rustls::ClientConnection::new(this.http1(), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn clients_that_do_not_finish_their_handshake_are_gone_in_its_time() {
    let this = Encrypted::start(&SHORT);
    let hello = hello(&this);
    let mut open = session(this.address, &this.http1(), "edge.test").unwrap();
    let mut silent: Vec<_> = (0..50).map(|_| connect(&this)).collect();
    let mut half = connect(&this);
    half.write_all(&hello[..hello.len() / 2]).unwrap();
    // Byte by byte, for as long as it is let.
    let mut dribbling = connect(&this);
    for byte in hello.iter().cycle() {
        if dribbling.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for stream in silent.iter_mut().chain([&mut half, &mut dribbling]) {
        rest(stream);
    }
    ask(&mut open, &get("edge.test", "/"), "hello");
    eventually("all but one are gone", || {
        (this.proxy.stat("/connections/active") == 1).then_some(())
    });
    this.proxy
        .wait_for_stat("/connections/tls_handshakes/failed", 52);
}

#[test]
fn what_is_no_hello_is_answered_by_an_alert_and_closed() {
    let this = Encrypted::start(&Lines::default());
    let request = get("edge.test", "/");
    for garbage in [
        &request[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 4096],
    ] {
        let mut stream = connect(&this);
        stream.write_all(garbage).unwrap();
        let answer = rest(&mut stream);
        assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:02x?}");
        assert!(answer.len() < 16, "nothing else: {answer:02x?}");
    }
    // A hello of 16 MiB: its first bytes are enough.
    let mut huge = connect(&this);
    huge.write_all(&[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff])
        .unwrap();
    rest(&mut huge);
    eventually("all are gone", || {
        (this.proxy.stat("/connections/active") == 0).then_some(())
    });
    let mut session = session(this.address, &this.http1(), "edge.test").unwrap();
    ask(&mut session, &request, "hello");
}

/// Records that can't be decrypted end the connection, whatever went before.
#[test]
fn a_session_that_is_tampered_with_ends() {
    let this = Encrypted::start(&Lines::default());
    let mut session = session(this.address, &this.http1(), "edge.test").unwrap();
    ask(&mut session, &get("edge.test", "/"), "hello");
    session.sock.write_all(&[0x17, 3, 3, 0, 40]).unwrap();
    session.sock.write_all(&[7; 40]).unwrap();
    let end = session.read(&mut [0; 100]);
    assert!(end.is_err(), "{end:?}");
    eventually("it is gone", || {
        (this.proxy.stat("/connections/active") == 0).then_some(())
    });
}
