//! Names of backends: looked up again, followed, and kept when there is no better answer.

mod answers;
mod failures;
mod many;
mod services;
mod start;

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use serde_json::Value;

use crate::fixtures::{Builder, NameServer, TestProxy, TestUpstream, eventually, response};

/// Listeners on other addresses of this machine, all on one port.
pub(super) fn listeners_on_one_port<const N: usize>(last: [u8; N]) -> (u16, [TcpListener; N]) {
    for _ in 0..100 {
        let first = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let bind = |last: u8| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port));
        if let Ok(listeners) = last.into_iter().map(bind).collect::<Result<Vec<_>, _>>() {
            return (port, listeners.try_into().ok().unwrap());
        }
    }
    panic!("no port is free on all of these addresses");
}

/// Backends on such listeners, each of which answers with the last number of its address.
pub(super) fn on_one_port<const N: usize>(last: [u8; N]) -> (u16, [TestUpstream; N]) {
    let (port, listeners) = listeners_on_one_port(last);
    let upstreams = listeners.map(|listener| {
        let IpAddr::V4(ip) = listener.local_addr().unwrap().ip() else {
            panic!("it was bound so");
        };
        let answer = response("200 OK", &[], ip.octets()[3].to_string());
        TestUpstream::listen(listener, move |connection| {
            while connection.request().is_some() {
                connection.send(&answer);
            }
        })
    });
    (port, upstreams)
}

/// A proxy that asks this server, and again after 20 ms.
pub(super) fn asking(server: &NameServer) -> Builder {
    let address = server.address();
    TestProxy::builder().tables(&format!(
        "[resolver]\nservers = [\"{address}\"]\nmin-ttl = \"20ms\"\nmax-ttl = \"1s\"\n\
         timeout = \"200ms\"\nattempts = 1\n"
    ))
}

/// A pool and a route to it, without a policy.
pub(super) fn pool(name: &str, backends: &str) -> String {
    format!(
        "[pools.{name}]\nbackends = {backends}\n\
         [[routes]]\nhost = \"{name}\"\npool = \"{name}\"\npolicies = []\n"
    )
}

/// What `/stats` says of this name.
pub(super) fn status(proxy: &TestProxy, name: &str) -> Value {
    let stats = proxy.stats();
    let all = stats["names"].as_array().unwrap().iter();
    let mut found = all.filter(|status| status["name"] == name);
    found.next().cloned().unwrap_or(Value::Null)
}

#[track_caller]
pub(super) fn is_in_state(proxy: &TestProxy, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), || {
        let status = status(proxy, name);
        (status["state"] == state).then_some(status)
    })
}

/// Waits until a request to this host is answered with this text.
#[track_caller]
fn answers(proxy: &TestProxy, host: &str, expected: &str) {
    eventually(&format!("an answer of {expected}"), || {
        (proxy.get(host, "/").text() == expected).then_some(())
    });
}

/// Waits until the log has a line with all of these.
#[track_caller]
fn is_said(proxy: &TestProxy, parts: &[&str]) {
    let found = proxy.stderr.find(|line| {
        let has_all = parts.iter().all(|part| line.contains(part));
        has_all.then_some(())
    });
    assert!(found.is_some(), "{parts:?} in:\n{}", proxy.stderr.text());
}
