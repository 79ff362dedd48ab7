//! What an operator is told of `[forward]`, and what a reload changes.

use super::{THIS_MACHINE, client, connect_with, forwarding, refused};
use crate::fixtures::{Scratch, TestUpstream, eventually, waypost};
use crate::upgrades::echo;

/// What `waypost check` says of this configuration.
fn check(text: &str, users: &str) -> (bool, String) {
    let scratch = Scratch::new();
    scratch.write("users", users);
    scratch.write("waypost.toml", text);
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    (exit.code == Some(0), exit.stdout + &exit.stderr)
}

#[test]
fn mistakes_are_named_with_key_and_line() {
    let forward = |lines: &str| format!("[forward]\nlisten = \"127.0.0.1:0\"\n{lines}\n");
    for (text, parts) in [
        ("[forward]\n".to_owned(), ["forward", "has no `listen`"]),
        (forward("allow = []"), ["line 3", "is empty"]),
        (
            forward("allow = [{ ports = [1] }]"),
            ["line 3", "names no destination"],
        ),
        (
            forward("allow = [{ host = \"a.test:22\" }]"),
            ["line 3", "write the port in `ports`"],
        ),
        (
            forward("allow = [{ host = \"*\", ports = [0] }]"),
            ["ports", "0"],
        ),
        (
            forward("allow = [{ host = \"*\", ports = [\"9-1\"] }]"),
            ["ports", "range of ports"],
        ),
        (
            forward("allow = [{ network = \"::ffff:10.0.0.0/104\" }]"),
            ["network", "IPv4"],
        ),
        (
            forward("tunnels = 1\ntunnels-per-client = 2"),
            ["tunnels-per-client", "raise"],
        ),
        (
            forward("authentication = {}"),
            ["authentication", "has no `file`"],
        ),
        (
            forward("authentication = { file = \"none\" }"),
            ["authentication.file", "none"],
        ),
        (
            forward("authentication = { file = \"users\" }"),
            ["users", "line 2"],
        ),
        (forward("alow = []"), ["alow", "allow"]),
    ] {
        let (ok, out) = check(&text, "# one\nann:secret\n");
        assert!(
            !ok && parts.iter().all(|part| out.contains(part)),
            "{text}\n{out}"
        );
        assert!(
            out.matches("authentication.file").count() < 2,
            "{text}\n{out}"
        );
    }
    let (ok, out) = check(&forward(""), "");
    assert!(ok && !out.contains("no hosts and no routes"), "{out}");
}

#[test]
fn a_reload_changes_where_the_proxy_goes_and_cuts_no_tunnel() {
    let upstream = TestUpstream::start(echo);
    let to = upstream.address();
    let proxy = forwarding(THIS_MACHINE).start();
    let mut open = super::tunnel(&proxy, to);
    let text = std::fs::read_to_string(proxy.scratch.path().join("waypost.toml")).unwrap();
    let next = text.replace("127.0.0.0/8", "127.0.0.9");
    assert_ne!(text, next);
    proxy.scratch.write("waypost.toml", next);
    proxy.signal("HUP");
    eventually("the reload", || {
        let mut client = client(&proxy);
        client.send(connect_with(&to.to_string(), ""));
        (client.head().0 == 403).then_some(())
    });
    open.send("x");
    assert_eq!(open.wire.length(1).unwrap(), b"x");
    assert_eq!(refused(&proxy, &to.to_string()).0, 403);
    proxy.scratch.write("waypost.toml", text);
    proxy.signal("HUP");
    eventually("the reload", || {
        let mut client = client(&proxy);
        client.send(connect_with(&to.to_string(), ""));
        (client.head().0 == 200).then_some(())
    });
}
