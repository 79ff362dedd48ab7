//! Requests with a whole URL.

use std::net::TcpListener;

use super::{THIS_MACHINE, address, client, forwarding, with_forward};
use crate::fixtures::{NameServer, TestUpstream, refusing_address, response};
use crate::names::asking;

#[test]
fn a_request_goes_on_as_one_for_a_server() {
    let upstream = TestUpstream::answering(response("200 OK", &[("X-A", "b")], "hello"));
    let proxy = forwarding(THIS_MACHINE).start();
    let to = upstream.address();
    let mut client = client(&proxy);
    for path in ["/a//b/../c?d=e", "/%2e", "?q"] {
        let answer = client.ask(format!(
            "GET http://{to}{path} HTTP/1.1\r\nHost: other.example\r\n\
             Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\n\
             X-Forwarded-For: 192.0.2.1\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n"
        ));
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.value("x-a").as_deref(), Some("b"));
    }
    let received = upstream.received();
    let targets: Vec<&str> = received.iter().map(|r| r.target()).collect();
    assert_eq!(targets, ["/a//b/../c?d=e", "/%2e", "/?q"]);
    let first = &received[0];
    assert_eq!(first.value("host"), Some(to.to_string()));
    for gone in [
        "proxy-authorization",
        "proxy-connection",
        "x-hop",
        "forwarded",
    ] {
        assert_eq!(first.value(gone), None, "{gone}");
    }
    // What the client says of itself goes on, and nothing is added.
    assert_eq!(first.value("x-forwarded-for").as_deref(), Some("192.0.2.1"));
    assert_eq!(first.value("x-end").as_deref(), Some("2"));
    assert!(first.value("cdn-loop").is_some(), "its mark: {first:?}");
    assert_eq!(upstream.connections(), 1, "kept for the next request");
    assert_eq!(proxy.stat("/forward/requests"), 3);
    let line = proxy.logged(&["\"target\":\"/?q\"", "\"status\":200"]);
    assert!(line.contains(&format!("\"port\":{}", to.port())), "{line}");
}

#[test]
fn a_destination_that_refuses_is_asked_once_for_each_of_its_addresses() {
    let (_held, dead) = refusing_address();
    let server = NameServer::start();
    server.addresses("one.example", &["127.0.0.1"]);
    server.addresses("two.example", &["127.0.0.1", "127.0.0.2"]);
    let proxy = with_forward(asking(&server), THIS_MACHINE).start();
    let port = dead.port();
    for (host, attempts) in [("127.0.0.1", 1), ("one.example", 1), ("two.example", 2)] {
        let answer = client(&proxy).ask(format!(
            "GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
        ));
        assert_eq!(answer.status, 502, "{host}: {}", answer.text());
        proxy.logged(&[
            &format!("\"host\":\"{host}\""),
            &format!("\"attempts\":{attempts},"),
        ]);
    }
}

#[test]
fn bodies_go_both_ways_by_the_same_rules() {
    let upstream = TestUpstream::echo();
    let proxy = forwarding(THIS_MACHINE).start();
    let to = upstream.address();
    let mut client = client(&proxy);
    let head = format!("POST http://{to}/ HTTP/1.1\r\nHost: {to}\r\n");
    let answer = client.ask(format!("{head}Content-Length: 5\r\n\r\nhello"));
    assert_eq!(answer.text(), "hello");
    let chunks = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(client.ask(format!("{head}{chunks}")).text(), "abcde");
    let bytes = "\"bytes_from_client\":5,\"bytes_to_client\":5";
    proxy.logged(&[bytes, "\"method\":\"POST\"", "\"status\":200"]);
    assert_eq!(proxy.stat("/forward/request_bytes_from_clients"), 10);
    assert_eq!(proxy.stat("/forward/request_bytes_to_clients"), 10);
    assert_eq!(proxy.stat("/forward/tunnel_bytes_to_clients"), 0);
    let both = format!("{head}Content-Length: 3\r\n{chunks}");
    assert_eq!(client.ask(both).status, 400);
    client.assert_closed();
}

#[test]
fn a_name_is_looked_up_and_port_80_is_the_default() {
    let upstream = TestUpstream::named("one");
    let server = NameServer::start();
    server.addresses("www.example.com", &["127.0.0.1"]);
    let proxy = super::with_forward(asking(&server), THIS_MACHINE).start();
    let port = upstream.address().port();
    let ask = |url: &str| {
        let request = format!("GET {url} HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
        client(&proxy).ask(request)
    };
    assert_eq!(
        ask(&format!("http://www.example.com:{port}/")).text(),
        "one"
    );
    assert!(matches!(ask("http://www.example.com/").status, 200..=599));
    let line = proxy.logged(&["\"host\":\"www.example.com\"", "\"port\":80,"]);
    assert!(line.contains("\"method\":\"GET\""), "{line}");
    // A private address that is not listed is refused here as well.
    server.addresses("inside.example", &["10.0.0.1"]);
    assert_eq!(ask("http://inside.example/").status, 403);
}

#[test]
fn a_request_that_was_sent_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    // It takes each request, and ends the connection in place of an answer.
    let upstream = TestUpstream::listen(listener, |connection| {
        connection.request();
    });
    let proxy = forwarding(THIS_MACHINE).start();
    for (asked, method) in (1..).zip(["GET", "PUT", "POST"]) {
        let head = format!("{method} http://{to}/ HTTP/1.1\r\nHost: {to}\r\n");
        let answer = client(&proxy).ask(format!("{head}Content-Length: 2\r\n\r\nhi"));
        assert_eq!(answer.status, 502, "{method}");
        assert_eq!(upstream.received().len(), asked, "{method}");
    }
    assert_eq!(proxy.stat("/retries"), 0);
}

#[test]
fn requests_for_a_server_and_urls_of_https_are_refused_with_a_sentence() {
    let proxy = forwarding(THIS_MACHINE).start();
    let ask = |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let answer = client(&proxy).ask(request);
        (answer.status, answer.text())
    };
    let (status, text) = ask("GET /");
    assert_eq!(
        (status, text.contains("forward proxy")),
        (400, true),
        "{text}"
    );
    let (status, text) = ask("GET https://a.example/");
    assert_eq!((status, text.contains("CONNECT")), (400, true), "{text}");
    assert_eq!(ask("TRACE http://127.0.0.1:1/").0, 405);
    assert_eq!(ask("GET ftp://a.example/").0, 400);
    assert_eq!(ask("GET http://user@a.example/").0, 400);
}

#[test]
fn a_request_that_comes_back_is_refused() {
    let proxy = forwarding(THIS_MACHINE).start();
    let own = address(&proxy);
    // The proxy asks itself, in the form for servers, and would again.
    let request = format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\n\r\n");
    let answer = client(&proxy).ask(request);
    assert!(matches!(answer.status, 400 | 508), "{}", answer.text());
}
