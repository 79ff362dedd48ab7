//! Connections that are passed on as they are: TLS by the name that clients ask for, and TCP.

mod passthrough;
mod refused;
mod tcp;
mod while_it_runs;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::fixtures::tls::{self, Issued, Session, session};
use crate::fixtures::{self, Builder, KeyAndCertificate, PATIENCE, TestProxy, TlsBackend};

/// A request that a [`TlsBackend`] answers with its body.
const ECHOED: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello";

/// A backend that ends its own TLS sessions, with this certificate.
fn backend(issued: &Issued) -> TlsBackend {
    let own = KeyAndCertificate {
        certificate: issued.certificate.clone(),
        key: issued.key.clone(),
    };
    TlsBackend::start(fixtures::Authority::server(&own, &[]))
}

/// A pool of these backends, with more lines of it.
fn pool(name: &str, backends: &[SocketAddr], lines: &str) -> String {
    let list: Vec<String> = backends.iter().map(|a| format!("\"{a}\"")).collect();
    format!(
        "[pools.{name}]\nbackends = [{}]\n{lines}\n",
        list.join(", ")
    )
}

/// A route that passes connections for these names on to this pool.
fn passing(sni: &str, pool: &str) -> String {
    format!("[[routes]]\npassthrough = true\nsni = {sni}\npool = \"{pool}\"\n")
}

/// A proxy whose listener ends no session itself.
fn bare(tables: &str) -> Builder {
    TestProxy::builder()
        .listener("tls = { passthrough = true }")
        .tables(tables)
}

/// A session with the server that is behind this name; its certificate is not verified.
fn reach(proxy: &TestProxy, name: &str) -> std::io::Result<Session> {
    let config = Arc::new(tls::Authority::trusting(&[]));
    session(proxy.address(), &config, name)
}

/// The certificate of the server that is behind this name.
#[track_caller]
fn shown(proxy: &TestProxy, name: &str) -> CertificateDer<'static> {
    let session = reach(proxy, name).unwrap();
    session.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn connect(proxy: &TestProxy) -> TcpStream {
    bounded(TcpStream::connect(proxy.address()).unwrap())
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The next connection that a backend gets.
fn accept(listener: &TcpListener) -> TcpStream {
    bounded(listener.accept().unwrap().0)
}

/// So many bytes.
#[track_caller]
fn take(stream: &mut TcpStream, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// All bytes up to the end of the other side.
#[track_caller]
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Sends a line and waits for it to come back.
#[track_caller]
fn echoes(session: &mut Session) {
    tls::ask(session, ECHOED, "hello");
}

/// Sends bytes on one side and waits for them on the other.
#[track_caller]
fn carries(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    assert_eq!(take(to, bytes.len()), bytes);
}
