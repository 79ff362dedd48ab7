//! `[acme]` and the names that listeners order.

use super::*;

const LISTENER: &str = "[[listeners]]\naddress = \"0.0.0.0:443\"\ntls = { acme = [\"a.test\"] }\n";

fn with(acme: &str) -> String {
    format!("state-dir = \"s\"\n{acme}\n{LISTENER}")
}

#[test]
fn an_authority_and_its_defaults_mean_what_they_say() {
    let config = load(&with("[acme]\nterms-agreed = true"));
    let acme = config.acme.unwrap();
    assert_eq!(
        acme.directory,
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    assert_eq!(acme.challenge, AcmeChallenge::TlsAlpn01);
    assert_eq!(
        (acme.contact.len(), acme.ca, acme.external_account),
        (0, None, None)
    );
    let config = load(
        r#"
        state-dir = "s"
        [acme]
        directory = "https://ca.internal:9000/acme/directory"
        contact = ["admin@a.test", "mailto:b@a.test"]
        terms-agreed = true
        challenge = "http-01"
        ca = "root.pem"
        external-account = { key-id = "kid-1", key-file = "eab.key" }
        [[listeners]]
        address = "0.0.0.0:443"
        tls = { certificates = ["edge.pem"], acme = ["A.test.", "www.a.test"] }
        [[listeners]]
        address = "0.0.0.0:80"
        redirect-to-https = true
        "#,
    );
    let acme = config.acme.unwrap();
    assert_eq!(acme.directory, "https://ca.internal:9000/acme/directory");
    assert_eq!(acme.contact, ["mailto:admin@a.test", "mailto:b@a.test"]);
    assert_eq!(acme.challenge, AcmeChallenge::Http01);
    assert_eq!(acme.ca, Some("/etc/waypost/root.pem".into()));
    let external = acme.external_account.unwrap();
    assert_eq!(external.key_id, "kid-1");
    assert_eq!(external.key_file, Path::new("/etc/waypost/eab.key"));
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.acme, ["a.test", "www.a.test"]);
    assert!(matches!(&tls.certificates, Certificates::Files(files) if files.len() == 1));
}

#[test]
fn names_that_an_authority_can_not_ask_for_are_refused() {
    for (names, words) in [
        ("[\"*.a.test\"]", "is a wildcard"),
        ("[\"192.0.2.1\"]", "is an IP address"),
        ("[\"[2001:db8::1]\"]", "is an IP address"),
        ("[\"a.test:443\"]", "is not a host name"),
        ("[\"\"]", "is not a host name"),
        ("[\"b\u{fc}cher.test\"]", "is not a host name"),
    ] {
        let text = format!(
            "state-dir = \"s\"\n[acme]\nterms-agreed = true\n[[listeners]]\n\
             address = \"0.0.0.0:443\"\ntls = {{ acme = {names} }}"
        );
        assert_error(&text, 6, "listeners.tls.acme", words);
    }
    for (names, key, words) in [
        ("[]", "listeners.tls.acme", "is empty"),
        (
            "[\"a.test\", \"A.test.\"]",
            "listeners.tls.acme",
            "listed twice",
        ),
    ] {
        let text = format!(
            "state-dir = \"s\"\n[acme]\nterms-agreed = true\n[[listeners]]\n\
             address = \"0.0.0.0:443\"\ntls = {{ acme = {names}, certificates = [\"e.pem\"] }}"
        );
        let found = errors(&text);
        let shown = found[0].to_string();
        assert!(shown.contains(key) && shown.contains(words), "{found:?}");
    }
    let many: Vec<String> = (0..101).map(|n| format!("\"n{n}.test\"")).collect();
    let text = format!(
        "state-dir = \"s\"\n[acme]\nterms-agreed = true\n[[listeners]]\n\
         address = \"0.0.0.0:443\"\ntls = {{ acme = [{}] }}",
        many.join(", ")
    );
    assert_error(&text, 6, "listeners.tls.acme", "has 101 names");
}

#[test]
fn what_an_authority_needs_is_named_where_it_is_missing() {
    for (acme, line, key, words) in [
        ("[acme]", 2, "acme", "terms-agreed = true"),
        (
            "[acme]\nterms-agreed = false",
            3,
            "acme.terms-agreed",
            "can't agree to for you",
        ),
        (
            "[acme]\nterms-agreed = true\nchallenge = \"http-01\"",
            2,
            "acme",
            "no listener is plain HTTP",
        ),
        (
            "[acme]\nterms-agreed = true\nchallenge = \"dns-01\"",
            4,
            "acme.challenge",
            "is not built in",
        ),
        (
            "[acme]\nterms-agreed = true\ndirectory = \"http://ca.test/\"",
            4,
            "acme.directory",
            "begins with https://",
        ),
        (
            "[acme]\nterms-agreed = true\ndirectory = \"https://u:secret@ca.test/\"",
            4,
            "acme.directory",
            "has no user",
        ),
        (
            "[acme]\nterms-agreed = true\ndirectory = \"https://ca.test:99999/\"",
            4,
            "acme.directory",
            "is not the URL",
        ),
        (
            "[acme]\nterms-agreed = true\ncontact = \"a@b.test?cc=c@d.test\"",
            4,
            "acme.contact",
            "is not an address of e-mail",
        ),
        (
            "[acme]\nterms-agreed = true\ncontact = \"nobody\"",
            4,
            "acme.contact",
            "is not an address of e-mail",
        ),
        (
            "[acme]\nterms-agreed = true\nexternal-account = { key-id = \"k\" }",
            4,
            "acme.external-account",
            "needs `key-id` and `key-file`",
        ),
    ] {
        assert_error(&with(acme), line, key, words);
    }
    let no_folder = format!("[acme]\nterms-agreed = true\n{LISTENER}");
    assert_error(&no_folder, 1, "acme", "needs `state-dir`");
    let no_section = format!("state-dir = \"s\"\n{LISTENER}");
    assert_error(&no_section, 3, "listeners.address", "there is no `[acme]`");
    let config = load("state-dir = \"s\"\n[acme]\nterms-agreed = true");
    assert!(
        config
            .warnings
            .iter()
            .any(|w| w.contains("nothing is ordered"))
    );
}
