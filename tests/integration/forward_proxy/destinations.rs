//! Where the forward proxy goes: names, addresses, ports, and spellings of them.

use super::{
    THIS_MACHINE, address, assert_open, client, connect_with, forwarding, refused, with_forward,
};
use crate::fixtures::{Kind, NameServer, Reply, TestUpstream, eventually};
use crate::names::asking;
use crate::upgrades::echo;

#[test]
fn private_addresses_are_refused_however_they_are_written() {
    let proxy = forwarding("").start();
    for to in [
        "127.0.0.1:443",
        "10.0.0.1:443",
        "192.168.1.1:443",
        "169.254.169.254:80",
        "100.64.0.1:80",
        "0.0.0.0:80",
        "224.0.0.1:80",
        "[::1]:443",
        "[::]:443",
        "[fe80::1]:443",
        "[fd00::1]:443",
        "[::ffff:127.0.0.1]:443",
        "[::ffff:7f00:1]:443",
        "[::127.0.0.1]:443",
        "[64:ff9b::7f00:1]:443",
        "[2002:7f00:1::]:443",
        "127.0.0.1.:443",
    ] {
        let (status, text) = refused(&proxy, to);
        assert_eq!(status, 403, "{to}: {text}");
    }
    assert_eq!(proxy.stat("/forward/refused/address"), 17);
    for to in [
        "2130706433:443",
        "0x7f000001:443",
        "0x7f.1:443",
        "017700000001:443",
        "0177.0.0.1:443",
        "127.1:443",
        "127.0.0.01:443",
        "127.0.0.1:0",
        "localhost",
        "localhost:",
    ] {
        let (status, text) = refused(&proxy, to);
        assert_eq!(status, 400, "{to}: {text}");
    }
    assert_eq!(proxy.stat("/forward/refused/request"), 10);
    let (status, text) = refused(&proxy, "localhost:443");
    assert_eq!(status, 403, "{text}");
    assert!(!text.contains("127"), "no address: {text}");
}

#[test]
fn only_ports_and_hosts_of_an_entry_are_reached() {
    let upstream = TestUpstream::start(echo);
    let port = upstream.address().port();
    let other = if port == 65_535 { 65_534 } else { port + 1 };
    let server = NameServer::start();
    for name in ["www.example.com", "example.com", "www.example.org"] {
        server.addresses(name, &["127.0.0.1"]);
    }
    let proxy = with_forward(
        asking(&server),
        &format!(
            "allow = [{{ host = \"*.example.com\", network = \"127.0.0.0/8\", ports = [{port}] }}]"
        ),
    )
    .start();
    let mut allowed = client(&proxy);
    allowed.send(connect_with(&format!("WWW.Example.com.:{port}"), ""));
    assert_open(&mut allowed);
    for to in [
        format!("www.example.com:{other}"),
        format!("example.com:{port}"),
        format!("www.example.org:{port}"),
        format!("127.0.0.1:{port}"),
    ] {
        let (status, text) = refused(&proxy, &to);
        assert_eq!(status, 403, "{to}: {text}");
    }
    // What can't be allowed is not looked up.
    assert_eq!(server.asked("www.example.org", Kind::A), 0);
    assert_eq!(proxy.stat("/forward/refused/destination"), 4);
}

#[test]
fn a_name_with_a_private_address_is_refused_and_its_allowed_addresses_are_tried() {
    let upstream = TestUpstream::start(echo);
    let port = upstream.address().port();
    let server = NameServer::start();
    server.addresses("inside.example", &["10.1.2.3", "::1"]);
    server.addresses("mixed.example", &["10.1.2.3", "127.0.0.3", "127.0.0.1"]);
    let proxy = with_forward(
        asking(&server),
        &format!("allow = [{{ network = \"127.0.0.0/8\", ports = [{port}] }}]"),
    )
    .start();
    let (status, text) = refused(&proxy, &format!("inside.example:{port}"));
    assert_eq!(status, 403);
    assert!(!text.contains("10.1"), "{text}");
    // 127.0.0.3 refuses, which is no reason to give up.
    let mut mixed = client(&proxy);
    mixed.send(connect_with(&format!("mixed.example:{port}"), ""));
    assert_open(&mut mixed);
    // The kernel takes a connection before the backend does.
    eventually("it has arrived", || {
        (upstream.connections() == 1).then_some(())
    });
}

#[test]
fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let upstream = TestUpstream::start(echo);
    let port = upstream.address().port();
    let server = NameServer::start();
    // Valid for no time: a second look-up would find another address.
    server.ttl(0);
    server.addresses("changing.example", &["127.0.0.1"]);
    let proxy = with_forward(
        asking(&server),
        &format!("allow = [{{ network = \"127.0.0.1\", ports = [{port}] }}]"),
    )
    .start();
    let mut first = client(&proxy);
    first.send(connect_with(&format!("changing.example:{port}"), ""));
    assert_open(&mut first);
    assert_eq!(
        server.asked("changing.example", Kind::A),
        1,
        "looked up once"
    );
}

#[test]
fn what_is_no_name_is_a_502_and_a_silent_server_a_504() {
    let server = NameServer::start();
    server.both("nobody.example", &Reply::NoName);
    server.both("error.example", &Reply::Error);
    server.both("silent.example", &Reply::Silence);
    let proxy = with_forward(asking(&server), "").start();
    assert_eq!(refused(&proxy, "nobody.example:443").0, 502);
    assert_eq!(refused(&proxy, "error.example:443").0, 502);
    let silent = refused(&proxy, "silent.example:443").0;
    assert!(matches!(silent, 502 | 504), "{silent}");
    assert_eq!(proxy.stat("/forward/refused/name"), 3);
}

#[test]
fn other_listeners_refuse_connect() {
    let proxy = forwarding(THIS_MACHINE).start();
    let to = address(&proxy).to_string();
    assert_eq!(proxy.ask(connect_with(&to, "")).status, 405);
}
