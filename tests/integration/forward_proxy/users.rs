//! Who may use the forward proxy.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{THIS_MACHINE, address, assert_open, client, connect_with, forwarding};
use crate::fixtures::{Client, TestProxy, TestUpstream, eventually};
use crate::upgrades::echo;

/// Of the password `secret`, in few rounds.
pub(super) const SECRET: &str =
    "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2";

fn guarded() -> TestProxy {
    let lines = "authentication = { file = \"users\", realm = \"here\" }";
    forwarding(&format!("{THIS_MACHINE}\n{lines}"))
        .file("users", format!("# who\nann:{SECRET}\n"))
        .start()
}

fn basic(user: &str, password: &str) -> String {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    format!("Proxy-Authorization: Basic {encoded}\r\n")
}

#[test]
fn only_who_knows_a_password_gets_through_and_nobody_behind_sees_it() {
    let upstream = TestUpstream::named("one");
    let proxy = guarded();
    let to = upstream.address().to_string();
    for (lines, sentence) in [
        ("".to_owned(), "wants"),
        (basic("ann", "Secret"), "wrong"),
        (basic("eve", "secret"), "wrong"),
        ("Proxy-Authorization: Bearer x\r\n".to_owned(), "wrong"),
        (basic("ann", "secret") + &basic("ann", "secret"), "wants"),
    ] {
        let answer = client(&proxy).ask(connect_with(&to, &lines));
        assert_eq!(answer.status, 407, "{lines}");
        let challenge = answer.value("proxy-authenticate");
        let expected = "Basic realm=\"here\", charset=\"UTF-8\"";
        assert_eq!(challenge.as_deref(), Some(expected));
        assert!(answer.text().contains(sentence), "{}", answer.text());
    }
    assert_eq!(proxy.stat("/forward/refused/authentication"), 5);
    let mut tunnelled = client(&proxy);
    tunnelled.send(connect_with(&to, &basic("ann", "secret")));
    assert_open(&mut tunnelled);
    // A connection is not a user: each request says who it is.
    let mut kept = client(&proxy);
    let get = |lines: &str| format!("GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\n{lines}\r\n");
    assert_eq!(kept.ask(get(&basic("ann", "secret"))).text(), "one");
    assert_eq!(kept.ask(get("")).status, 407);
    assert_eq!(kept.ask(get(&basic("ann", "secret"))).text(), "one");
    for request in upstream.received() {
        assert_eq!(request.value("proxy-authorization"), None);
    }
    proxy.logged(&["\"user\":\"ann\"", "\"status\":200", "\"method\":\"GET\""]);
    assert!(!proxy.stdout.text().contains("c2VjcmV0"));
}

#[test]
fn who_guesses_is_not_answered_any_more_and_others_are() {
    let upstream = TestUpstream::start(echo);
    let proxy = guarded();
    let to = upstream.address().to_string();
    let statuses: Vec<u16> = (0..22)
        .map(|n| {
            let lines = basic("ann", &n.to_string());
            client(&proxy).ask(connect_with(&to, &lines)).status
        })
        .collect();
    assert_eq!(statuses[..20], [407; 20]);
    assert_eq!(statuses[20..], [429; 2]);
    let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, 9));
    let mut other = Client::connect_from(from, address(&proxy));
    other.send(connect_with(&to, &basic("ann", "secret")));
    assert_open(&mut other);
}

#[test]
fn a_changed_file_counts_and_a_broken_one_changes_nothing() {
    let upstream = TestUpstream::start(echo);
    let proxy = guarded();
    let to = upstream.address().to_string();
    let status = |user: &str| {
        let mut client = client(&proxy);
        client.send(connect_with(&to, &basic(user, "secret")));
        client.head().0
    };
    assert_eq!(status("ann"), 200);
    proxy
        .scratch
        .write("users", "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    eventually("the warning", || {
        let log = proxy.stderr.text();
        (log.contains("line 1") && log.contains("SHA-1")).then_some(())
    });
    assert_eq!(status("ann"), 200);
    proxy.scratch.write("users", format!("ben:{SECRET}\n"));
    // Asking until it is so would be guessing, which is refused.
    proxy.stderr.says("was read again");
    assert_eq!(status("ben"), 200);
    assert_eq!(status("ann"), 407);
}
