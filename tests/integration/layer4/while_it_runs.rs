//! Reloads, drains and stops while connections are passed on.

use super::{accept, backend, bare, carries, connect, echoes, listen, passing, pool, reach, shown};
use crate::fixtures::tls::Authority;
use crate::fixtures::{Builder, Request, TestProxy, eventually};

/// Replaces the configuration, and has it read.
#[track_caller]
fn reload(proxy: &TestProxy, edit: impl FnOnce(&str) -> String) {
    let path = proxy.scratch.path().join("waypost.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    let after = edit(&before);
    assert_ne!(before, after);
    std::fs::write(&path, after).unwrap();
    let answer = proxy.admin(Request::new("POST", "/reload").body(b""));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn forwarding(tables: &str) -> Builder {
    TestProxy::builder()
        .listener("tcp = { pool = \"a\" }")
        .tables(tables)
}

#[test]
fn a_reload_moves_new_connections_and_keeps_those_that_are_open() {
    let authority = Authority::new();
    let [a, b] = [&["a.test"], &["a.test"]].map(|names| authority.issue(names));
    let (backend_a, backend_b) = (backend(&a), backend(&b));
    let tables = [
        pool("a", &[backend_a.address()], ""),
        pool("b", &[backend_b.address()], ""),
        passing("\"a.test\"", "a"),
        passing("\"b.test\"", "b"),
    ];
    let proxy = bare(&tables.concat()).start();
    let mut open = reach(&proxy, "a.test").unwrap();
    echoes(&mut open);
    reload(&proxy, |text| {
        text.replace("\"a.test\"", "\"other.test\"")
            .replace("\"b.test\"", "\"a.test\"")
    });
    eventually("new connections go to the other backend", || {
        (shown(&proxy, "a.test") == b.der()).then_some(())
    });
    assert_eq!(shown(&proxy, "other.test"), a.der());
    echoes(&mut open);
}

#[test]
fn a_reload_gives_a_listener_another_pool_and_leaves_its_connections() {
    let ((one, first), (two, second)) = (listen(), listen());
    let tables = [pool("a", &[first], ""), pool("b", &[second], "")].concat();
    let proxy = forwarding(&tables).start();
    let mut open = connect(&proxy);
    let mut backend = accept(&one);
    carries(&mut open, &mut backend, b"before");
    reload(&proxy, |text| {
        text.replace("tcp = { pool = \"a\" }", "tcp = { pool = \"b\" }")
    });
    two.set_nonblocking(true).unwrap();
    let (_client, accepted) = eventually("the other pool is used", || {
        let client = connect(&proxy);
        eventually("it reaches a backend", || {
            one.set_nonblocking(true).unwrap();
            match (two.accept(), one.accept()) {
                (Ok((stream, _)), _) => Some(Some(stream)),
                (_, Ok(_)) => Some(None),
                _ => None,
            }
        })
        .map(|stream| (client, stream))
    });
    drop(accepted);
    carries(&mut backend, &mut open, b"after");
}

#[test]
fn a_stop_waits_for_connections_and_then_ends_them() {
    let (listener, address) = listen();
    let tables = [
        pool("a", &[address], ""),
        "[timeouts]\ndrain = \"500ms\"\n".to_owned(),
    ];
    let mut proxy = forwarding(&tables.concat()).start();
    let mut client = connect(&proxy);
    let mut backend = accept(&listener);
    carries(&mut client, &mut backend, b"before");
    proxy.signal("TERM");
    carries(&mut backend, &mut client, b"while it drains");
    proxy.exit_code();
    proxy.logged(&["\"protocol\":\"tcp\"", "when the time to drain was over"]);
}

#[test]
fn a_drained_backend_keeps_its_connections_and_gets_no_others() {
    let ((one, first), (two, second)) = (listen(), listen());
    let proxy = forwarding(&pool("a", &[first, second], "")).start();
    let (mut clients, mut kept) = (Vec::new(), None);
    one.set_nonblocking(true).unwrap();
    eventually("the first backend has a connection", || {
        clients.push(connect(&proxy));
        proxy.wait_for_stat("/layer4/active", clients.len() as u64);
        kept = one.accept().ok();
        kept.as_ref().map(|_| ())
    });
    let target = format!("/pools/a/backends/{first}/drain");
    let answer = proxy.admin(Request::new("POST", &target).body(b""));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let before = proxy.stat("/layer4/opened");
    for n in 1..=8 {
        clients.push(connect(&proxy));
        proxy.wait_for_stat("/layer4/opened", before + n);
    }
    assert!(one.accept().is_err(), "no other comes");
    let (mut backend, _) = kept.unwrap();
    backend.set_nonblocking(false).unwrap();
    let mut last = clients.swap_remove(clients.len() - 9);
    carries(&mut backend, &mut last, b"it goes on");
    drop(two);
}
