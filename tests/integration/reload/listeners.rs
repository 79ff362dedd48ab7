//! Listeners that come, change and go.

use std::net::{SocketAddr, TcpListener, TcpStream};

use super::{edit, editable, reload};
use crate::fixtures::{Client, TestProxy, TestUpstream, eventually, get};

/// An address that is free for now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn a_listener_that_goes_drains_and_one_that_stays_keeps_its_connections() {
    let upstream = TestUpstream::named("one");
    let proxy = editable(
        TestProxy::builder()
            .host("*", &[upstream.address()])
            .workers(2),
    );
    let (first, second) = (free(), free());
    let listen = |text: &str, list: &str| {
        let line = text.lines().next().unwrap().to_owned();
        text.replacen(&line, &format!("listen = {list}"), 1)
    };
    edit(&proxy, |text| {
        listen(text, &format!("[\"127.0.0.1:0\", \"{first}\"]"))
    });
    reload(&proxy);
    let (mut stays, mut goes) = (proxy.client(), Client::connect(first));
    for client in [&mut stays, &mut goes] {
        assert_eq!(client.ask(get("a.test", "/")).text(), "one");
    }
    edit(&proxy, |text| {
        listen(text, &format!("[\"{second}\", \"127.0.0.1:0\"]"))
    });
    let changes = reload(&proxy);
    assert_eq!(changes["listeners"]["added"][0], second.to_string());
    assert_eq!(changes["listeners"]["removed"][0], first.to_string());
    assert_eq!(
        Client::connect(second).ask(get("a.test", "/")).text(),
        "one"
    );
    goes.assert_closed();
    eventually("the socket is closed", || {
        TcpStream::connect(first).err().map(drop)
    });
    let answer = stays.ask(get("a.test", "/"));
    assert_eq!(
        (answer.text(), answer.value("connection")),
        ("one".to_owned(), None)
    );
    assert_eq!(proxy.get("a.test", "/").text(), "one");
}

#[test]
fn a_listener_whose_settings_change_keeps_its_socket_and_its_clients_come_again() {
    let upstream = TestUpstream::named("one");
    let builder = TestProxy::builder().listener("protocols = [\"http/1.1\"]");
    let proxy = editable(builder.host("*", &[upstream.address()]));
    let mut before = proxy.client();
    assert_eq!(before.ask(get("a.test", "/")).value("connection"), None);
    let mut silent = proxy.client();
    edit(&proxy, |text| {
        text.replace("protocols = [\"http/1.1\"]", "redirect-to-https = 443")
    });
    let changes = reload(&proxy);
    assert_eq!(changes["listeners"]["changed"][0], "127.0.0.1:0");
    assert_eq!(proxy.get("a.test", "/").status, 308);
    // By what they came to, once more.
    let last = before.ask(get("a.test", "/"));
    assert_eq!(last.text(), "one");
    assert_eq!(last.value("connection").as_deref(), Some("close"));
    before.assert_closed();
    // It may not have been accepted before.
    assert!(matches!(silent.ask(get("a.test", "/")).status, 200 | 308));
}
