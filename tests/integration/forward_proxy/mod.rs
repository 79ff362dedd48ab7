//! The forward proxy: tunnels, requests with a whole URL, who may use it, and where it goes.

mod answers;
mod destinations;
mod http2;
mod messages;
mod tunnels;
pub(crate) mod users;

use std::net::SocketAddr;

use crate::fixtures::{Builder, Client, TestProxy};

/// All ports of this machine may be reached.
pub(super) const THIS_MACHINE: &str =
    "allow = [{ network = \"127.0.0.0/8\", ports = [\"1-65535\"] }]";

/// A proxy with a forward listener, of which these lines say more.
pub(super) fn forwarding(lines: &str) -> Builder {
    with_forward(TestProxy::builder(), lines)
}

pub(super) fn with_forward(builder: Builder, lines: &str) -> Builder {
    builder.tables(&format!("[forward]\nlisten = \"127.0.0.1:0\"\n{lines}\n"))
}

/// Where the forward proxy listens: behind the listener of routes.
#[track_caller]
pub(super) fn address(proxy: &TestProxy) -> SocketAddr {
    *proxy.addresses().last().unwrap()
}

#[track_caller]
pub(super) fn client(proxy: &TestProxy) -> Client {
    Client::connect(address(proxy))
}

/// A CONNECT, with these lines beside `Host`.
pub(super) fn connect_with(to: &str, lines: &str) -> String {
    format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{lines}\r\n")
}

/// A tunnel to this address.
#[track_caller]
pub(super) fn tunnel(proxy: &TestProxy, to: SocketAddr) -> Client {
    let mut client = client(proxy);
    client.send(connect_with(&to.to_string(), ""));
    assert_open(&mut client);
    client
}

#[track_caller]
pub(super) fn assert_open(client: &mut Client) {
    let (status, head) = client.head();
    assert_eq!(status, 200, "{}", head.start);
    for name in ["content-length", "transfer-encoding", "connection"] {
        assert!(!head.has(name), "{name}");
    }
}

/// The status and the text of the answer to a CONNECT.
#[track_caller]
pub(super) fn refused(proxy: &TestProxy, to: &str) -> (u16, String) {
    let response = client(proxy).ask(connect_with(to, ""));
    assert_ne!(response.status, 200, "{to}");
    (response.status, response.text())
}
