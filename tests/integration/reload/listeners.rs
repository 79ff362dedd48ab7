//! Listeners that come, change and go.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use super::{edit, editable, refusal, reload};
use crate::fixtures::http2::connected;
use crate::fixtures::tls::{Authority, ask, session};
use crate::fixtures::{Client, Gate, TestProxy, TestUpstream, eventually, get};
use crate::upgrades::{asking, echo, taking};

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
fn the_response_under_way_says_that_a_listener_is_gone() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = editable(TestProxy::builder().host("*", &[upstream.address()]));
    let gone = free();
    let listen = |text: &str, list: &str| {
        let line = text.lines().next().unwrap().to_owned();
        text.replacen(&line, &format!("listen = {list}"), 1)
    };
    edit(&proxy, |text| {
        listen(text, &format!("[\"127.0.0.1:0\", \"{gone}\"]"))
    });
    reload(&proxy);
    let mut client = Client::connect(gone);
    client.send(get("a.test", "/"));
    upstream.wait_for_heads(1);
    edit(&proxy, |text| listen(text, "[\"127.0.0.1:0\"]"));
    reload(&proxy);
    gate.open();
    let last = client.response();
    assert_eq!(last.status, 200);
    assert_eq!(last.value("connection").as_deref(), Some("close"));
    client.assert_closed();
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

#[test]
fn a_listener_changes_to_tls_and_its_certificates_and_http2_clients_are_sent_away_politely() {
    let upstream = TestUpstream::named("one");
    let authority = Authority::new();
    let builder = TestProxy::builder()
        .listener("protocols = [\"http/1.1\", \"h2c\"]")
        .file("a.pem", authority.issue(&["a.test"]).both())
        .file("b.pem", authority.issue(&["b.test"]).both());
    let proxy = editable(builder.host("*", &[upstream.address()]));
    let plain = "protocols = [\"http/1.1\", \"h2c\"]";
    connected(&proxy, async |client| {
        assert_eq!(client.get("a.test", "/").await.unwrap().status, 200);
        edit(&proxy, |text| {
            text.replace(plain, "tls = { certificates = [\"a.pem\"] }")
        });
        reload(&proxy);
        // GOAWAY: the client opens no more streams, and nothing was reset.
        let refused = loop {
            match client.get("a.test", "/").await {
                Ok(answer) => assert_eq!(answer.status, 200),
                Err(refused) => break refused,
            }
        };
        let polite = refused
            .reason()
            .is_none_or(|reason| reason == h2::Reason::NO_ERROR);
        assert!(polite || refused.is_io(), "{refused}");
    });
    let config = Arc::new(authority.client(&["http/1.1"]));
    let mut first = session(proxy.address(), &config, "a.test").unwrap();
    ask(&mut first, &get("a.test", "/"), "one");
    edit(&proxy, |text| {
        text.replace(
            "tls = { certificates = [\"a.pem\"] }",
            "tls = { certificates = [\"b.pem\"] }",
        )
    });
    assert_eq!(reload(&proxy)["listeners"]["changed"][0], "127.0.0.1:0");
    let mut second = session(proxy.address(), &config, "b.test").unwrap();
    ask(&mut second, &get("b.test", "/"), "one");
    // A certificate that can't be read refuses the whole.
    edit(&proxy, |text| {
        text.replace(
            "tls = { certificates = [\"b.pem\"] }",
            "tls = { certificates = [\"c.pem\"] }",
        )
    });
    assert!(refusal(&proxy).join("\n").contains("c.pem"));
    let mut third = session(proxy.address(), &config, "b.test").unwrap();
    ask(&mut third, &get("b.test", "/"), "one");
}

#[test]
fn a_tunnel_outlives_its_listener() {
    let upstream = taking(echo);
    let proxy = editable(TestProxy::builder().host("*", &[upstream.address()]));
    let address = free();
    edit(&proxy, |text| {
        text.replacen(
            "\"127.0.0.1:0\"",
            &format!("[\"127.0.0.1:0\", \"{address}\"]"),
            1,
        )
    });
    reload(&proxy);
    let mut tunnel = Client::connect(address);
    assert_eq!(tunnel.ask(asking().bytes()).status, 101);
    edit(&proxy, |text| {
        text.replacen(
            &format!("[\"127.0.0.1:0\", \"{address}\"]"),
            "\"127.0.0.1:0\"",
            1,
        )
    });
    assert_eq!(
        reload(&proxy)["listeners"]["removed"][0],
        address.to_string()
    );
    eventually("the socket is closed", || {
        TcpStream::connect(address).err().map(drop)
    });
    tunnel.send(b"!");
    assert_eq!(tunnel.wire.length(1).unwrap(), b"!");
}

#[test]
fn a_tunnel_of_a_listener_that_is_gone_ends_with_the_drain_and_others_stay() {
    let upstream = taking(echo);
    let builder = TestProxy::builder().host("*", &[upstream.address()]);
    let proxy = editable(builder.tables("[timeouts]\ndrain = \"700ms\""));
    let address = free();
    let (one, both) = (
        "\"127.0.0.1:0\"",
        format!("[\"127.0.0.1:0\", \"{address}\"]"),
    );
    edit(&proxy, |text| text.replacen(one, &both, 1));
    reload(&proxy);
    let mut tunnels = [address, proxy.address()].map(|to| {
        let mut tunnel = Client::connect(to);
        assert_eq!(tunnel.ask(asking().bytes()).status, 101);
        tunnel
    });
    edit(&proxy, |text| text.replacen(&both, one, 1));
    reload(&proxy);
    tunnels[0].assert_closed();
    tunnels[1].send(b"!");
    assert_eq!(tunnels[1].wire.length(1).unwrap(), b"!");
    proxy.stderr.find(|line| {
        let said = "the drain time of a listener that is gone is over";
        line.contains(said).then_some(())
    });
    eventually("it does not count any more", || {
        (proxy.stat("/connections/active") == 1).then_some(())
    });
}

/// A listener that has changed before it goes has connections by what it was.
#[test]
fn a_tunnel_by_former_settings_of_a_listener_ends_with_its_drain_too() {
    let upstream = taking(echo);
    let builder = TestProxy::builder().listener("protocols = [\"http/1.1\"]");
    let builder = builder.tables("[timeouts]\ndrain = \"700ms\"");
    let proxy = editable(builder.host("*", &[upstream.address()]));
    let address = free();
    let listener = |keys: &str| format!("[[listeners]]\naddress = \"{address}\"\n{keys}");
    let versions = [
        listener("protocols = [\"http/1.1\"]"),
        listener("redirect-to-https = 443"),
        listener("redirect-to-https = 444"),
    ];
    edit(&proxy, |text| format!("{text}\n{}", versions[0]));
    reload(&proxy);
    let mut tunnel = Client::connect(address);
    assert_eq!(tunnel.ask(asking().bytes()).status, 101);
    for pair in versions.windows(2) {
        edit(&proxy, |text| text.replace(&pair[0], &pair[1]));
        reload(&proxy);
    }
    tunnel.send(b"!");
    assert_eq!(tunnel.wire.length(1).unwrap(), b"!");
    edit(&proxy, |text| text.replace(&versions[2], ""));
    reload(&proxy);
    tunnel.assert_closed();
}

#[test]
fn a_unix_socket_comes_gets_another_mode_and_goes_with_its_file() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = TestUpstream::named("one");
    let builder = TestProxy::builder().listener("protocols = [\"http/1.1\"]");
    let proxy = editable(builder.host("*", &[upstream.address()]));
    let path = proxy.scratch.path().join("a.sock");
    let of_mode =
        |mode: &str| format!("[[listeners]]\naddress = \"unix:a.sock\"\nmode = \"{mode}\"");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let client = || Client::over(std::os::unix::net::UnixStream::connect(&path).unwrap());
    edit(&proxy, |text| format!("{text}\n{}", of_mode("0600")));
    reload(&proxy);
    assert_eq!(mode(), 0o600);
    let mut kept = client();
    assert_eq!(kept.ask(get("a.test", "/")).text(), "one");
    edit(&proxy, |text| text.replace("0600", "0660"));
    reload(&proxy);
    assert_eq!(mode(), 0o660);
    assert_eq!(client().ask(get("a.test", "/")).text(), "one");
    edit(&proxy, |text| text.replace(&of_mode("0660"), ""));
    reload(&proxy);
    assert!(!path.exists());
    assert_eq!(proxy.get("a.test", "/").text(), "one");
}
