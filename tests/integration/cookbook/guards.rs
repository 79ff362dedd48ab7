//! Policies that let some clients in, and one that keeps them on a version.

use super::Kitchen;

#[test]
fn allow_list_lets_in_only_clients_of_its_networks() {
    let settings = "allow = [\"127.0.0.0/24\"]\ndeny = [\"127.0.0.66\"]";
    let kitchen = Kitchen::new("allow-list", settings, &["{}"]);
    for (client, status) in [("127.0.0.1", 200), ("127.0.0.66", 403), ("127.0.1.1", 403)] {
        assert_eq!(
            kitchen.ask_from(client, "/", &[]).status,
            status,
            "{client}"
        );
    }
    assert_eq!(kitchen.counted("refused"), 2);
}

#[test]
fn basic_auth_asks_for_a_password_until_it_is_right() {
    // printf %s 'ada:long and random' | sha256sum
    let hash = "b267dc90a1de3c62cb6850db1900490a99ac6df455228b6f8aea2ad2fab745a8";
    let settings = format!("realm = \"reports\"\n[policies.it.settings.users]\nada = \"{hash}\"");
    let kitchen = Kitchen::new("basic-auth", &settings, &["{}"]);
    let answer = kitchen.ask("/", &[]);
    let challenge = answer.value("www-authenticate");
    assert_eq!(
        (answer.status, challenge.as_deref()),
        (401, Some("Basic realm=\"reports\", charset=\"UTF-8\""))
    );
    let wrong = [("Authorization", "Basic YWRhOndyb25n")];
    assert_eq!(kitchen.ask("/", &wrong).status, 401);
    let right = [("Authorization", "Basic YWRhOmxvbmcgYW5kIHJhbmRvbQ==")];
    assert_eq!(kitchen.served("/", &right), "0");
    assert_eq!(kitchen.counted("refused"), 2);
}

#[test]
fn sticky_canary_keeps_clients_on_their_version_and_backend() {
    let labels = [
        "{ track = \"stable\" }",
        "{ track = \"canary\" }",
        "{ track = \"canary\" }",
    ];
    let kitchen = Kitchen::new("sticky-canary", "share = 50", &labels);
    for _ in 0..10 {
        let first = kitchen.ask("/", &[]);
        let set = first.value("set-cookie").unwrap();
        let (cookie, _) = set.split_once("; ").unwrap();
        let version = if first.text() == "0" { "s-" } else { "c-" };
        assert!(
            cookie.starts_with(&format!("release={version}")),
            "{cookie}"
        );
        for _ in 0..5 {
            let again = kitchen.ask("/", &[("Cookie", cookie)]);
            assert_eq!(
                (again.text(), again.value("set-cookie")),
                (first.text(), None)
            );
        }
    }
    assert_eq!(kitchen.counted("canary") + kitchen.counted("stable"), 60);
}
