//! Authorities that are away, answer nonsense, refuse or are silent: the proxy serves, says so and
//! tries again later.

use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use super::server::{AcmeServer, Answer};
use super::{Ordering, Settings};
use crate::fixtures::tls::Authority;
use crate::fixtures::{Request, eventually, refusing_address, waypost};

impl Ordering {
    /// The note about an order that has failed.
    #[track_caller]
    fn failure(&self, reason: &str) -> String {
        eventually(reason, || {
            let notes = self.notes();
            notes.contains(reason).then_some(notes)
        })
    }
}

#[test]
fn an_authority_that_is_away_leaves_a_self_signed_certificate_in_use_and_is_asked_again_later() {
    let (_held, nobody) = refusing_address();
    let directory = format!("https://localhost:{}/dir", nobody.port());
    let ca = Authority::new().pem();
    let this = Ordering::start(&Settings {
        directory: &directory,
        ca: &ca,
        ..Settings::default()
    });
    let note = this.failure("refused");
    for words in [
        "it can't be reached: ",
        "no certificate for edge.test and 1 more from",
        &directory,
        "self-signed one is served",
        "the next order is on",
    ] {
        assert!(note.contains(words), "{words}: {note}");
    }
    let log = &this.proxy.stderr;
    log.says("no certificate has been issued for edge.test");
    log.says("and the next order is on");
    // It is for the names.
    for name in ["edge.test", "www.edge.test"] {
        assert!(!this.presented(name).is_empty());
    }
    assert_eq!(this.metric("waypost_acme_orders_total{"), 0.0);
    assert_eq!(this.metric("waypost_acme_order_failures_total{"), 1.0);
    assert_eq!(this.metric("waypost_certificate_refused{"), 1.0);
    let next = this.next_order();
    assert!((50.0..=76.0).contains(&next), "{next}");
    assert_eq!(this.ask_plain("/").status, 200);
}

#[test]
fn an_authority_that_answers_nonsense_is_quoted_in_one_line_and_no_more_is_read_than_a_mebibyte() {
    let endless = "x".repeat(2 << 20);
    let wide = format!("{{\"newNonce\": \"{}\"}}", "\u{7}\\n".repeat(3_000));
    let no_url = "{\"newNonce\": \"no url\", \"newAccount\": \"\", \"newOrder\": \"\"}";
    for (status, body, reason) in [
        (
            "200 OK",
            "<html>nonsense</html>",
            "<html>nonsense</html>\\\", where an ACME server answers with JSON",
        ),
        ("200 OK", "{}", "newNonce"),
        ("200 OK", no_url, "newNonce is not a URL"),
        (
            "500 Internal Server Error",
            "",
            "with the status 500 Internal Server Error and nothing, where an ACME server",
        ),
        ("200 OK", &endless, "length limit"),
        ("200 OK", &wide, "JSON"),
    ] {
        let body = body.to_owned();
        let server =
            AcmeServer::start(move |path| (path == "/dir").then(|| Answer::text(status, &body)));
        let this = Ordering::start(&Settings {
            directory: &server.directory(),
            ca: &server.ca,
            ..Settings::default()
        });
        let note = this.failure("the next order is on");
        assert!(note.contains(reason), "{reason}: {note}");
        assert!(note.len() < 2_000, "{note}");
    }
}

/// It can be reached, and says so itself.
#[test]
fn an_authority_that_is_reached_and_not_understood_is_not_called_away() {
    let other = Authority::new().pem();
    let server = AcmeServer::start(|_| None);
    let directory = server.directory();
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("https://{}/dir", closing.local_addr().unwrap());
    std::thread::spawn(move || closing.incoming().for_each(drop));
    for (directory, ca, reason) in [
        (
            &directory,
            &other,
            "is not from an authority that is trusted",
        ),
        (&plain, &other, "the TLS handshake failed"),
    ] {
        let this = Ordering::start(&Settings {
            directory,
            ca,
            ..Settings::default()
        });
        let note = this.failure(reason);
        assert!(!note.contains("reached"), "{note}");
    }
}

#[test]
fn an_authority_that_refuses_is_quoted_and_left_alone_for_as_long_as_it_wishes() {
    let server = AcmeServer::start(|path| {
        let problem = json!({
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "too many\nnew accounts",
        });
        (path == "/account")
            .then(|| Answer::json("429 Too Many Requests", &problem).field("Retry-After: 7200"))
    });
    let this = Ordering::start(&Settings {
        directory: &server.directory(),
        ca: &server.ca,
        ..Settings::default()
    });
    let note = this.failure("rateLimited");
    assert!(note.contains("too many new accounts"), "{note}");
    let next = this.next_order();
    assert!((7_100.0..=7_201.0).contains(&next), "{next}");
    assert_eq!(server.count("POST /account"), 1);
    let payload = &server.payloads("POST /account")[0];
    for part in ["mailto:admin@edge.test", "\"termsOfServiceAgreed\":true"] {
        assert!(payload.contains(part), "{payload}");
    }
}

#[test]
fn the_same_names_in_another_order_are_one_certificate_and_one_order() {
    let server = AcmeServer::start(|_| None);
    let this = Ordering::start(&Settings {
        directory: &server.directory(),
        ca: &server.ca,
        plain: "[[listeners]]\naddress = \"127.0.0.1:0\"\n\
                tls = { acme = [\"www.edge.test\", \"edge.test\"] }",
        ..Settings::default()
    });
    let failures = eventually("every certificate's order has failed", || {
        let text = this.proxy.admin(Request::new("GET", "/metrics")).text();
        let of_orders = |line: &&str| line.starts_with("waypost_acme_order_failures_total{");
        let all: Vec<String> = text.lines().filter(of_orders).map(str::to_owned).collect();
        all.iter().all(|line| line.ends_with(" 1")).then_some(all)
    });
    assert_eq!(failures.len(), 2, "one for each listener: {failures:?}");
    assert_eq!(server.count("POST /order"), 1);
}

#[test]
fn a_nonce_that_is_refused_is_replaced_by_the_next() {
    let refused = AtomicBool::new(false);
    let server = AcmeServer::start(move |path| {
        let problem = json!({ "type": "urn:ietf:params:acme:error:badNonce" });
        let is_first = path == "/account" && !refused.swap(true, SeqCst);
        is_first.then(|| Answer::json("400 Bad Request", &problem))
    });
    let this = Ordering::start(&Settings {
        directory: &server.directory(),
        ca: &server.ca,
        ..Settings::default()
    });
    this.failure("the next order is on");
    assert_eq!(server.count("POST /account"), 2);
    assert_eq!(server.count("POST /order"), 1);
}

/// Nothing of the proxy waits for it, its end included.
#[test]
fn an_authority_that_is_silent_holds_up_neither_requests_nor_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = format!("https://{}/dir", listener.local_addr().unwrap());
    let ca = Authority::new().pem();
    let mut this = Ordering::start(&Settings {
        directory: &directory,
        ca: &ca,
        ..Settings::default()
    });
    let (_silent, _) = listener.accept().unwrap();
    assert!(!this.presented("edge.test").is_empty());
    assert_eq!(this.ask_plain("/").status, 200);
    this.proxy.signal("TERM");
    assert_eq!(this.proxy.exit_code(), 0);
}

#[test]
fn a_check_orders_nothing_and_says_that_there_is_no_certificate_yet() {
    let scratch = crate::fixtures::Scratch::new();
    scratch.write(
        "waypost.toml",
        "state-dir = \"state\"\n[acme]\nterms-agreed = true\n\
         [[listeners]]\naddress = \"127.0.0.1:8443\"\ntls = { acme = [\"edge.test\"] }\n\
         [hosts]\n\"*\" = [\"127.0.0.1:9\"]\n",
    );
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert_eq!(exit.code, Some(0), "{}", exit.stdout);
    assert!(
        exit.stdout.contains("no certificate has been issued"),
        "{}",
        exit.stdout
    );
    assert!(!scratch.path().join("state/.acme").exists());
    let to_come = "certificate of listener 127.0.0.1:8443: to be ordered, for edge.test";
    assert!(exit.stdout.contains(to_come), "{}", exit.stdout);
    assert!(!exit.stdout.contains("until 4"), "{}", exit.stdout);
    std::fs::create_dir_all(scratch.path().join("state")).unwrap();
    scratch.write("state/.acme", "");
    let exit = waypost(["check", "--config", "waypost.toml"], scratch.path());
    assert!(
        exit.stdout.contains("/.acme/") && exit.stdout.contains("can't be read"),
        "{}",
        exit.stdout
    );
}

#[test]
fn the_query_of_a_directory_may_be_a_secret_and_is_not_shown() {
    let (_held, nobody) = refusing_address();
    let directory = format!("https://localhost:{}/dir?key=s3cret", nobody.port());
    let ca = Authority::new().pem();
    let this = Ordering::start(&Settings {
        directory: &directory,
        ca: &ca,
        ..Settings::default()
    });
    let note = this.failure("refused");
    let config = this.proxy.admin(Request::new("GET", "/config")).text();
    for text in [&note, &config, &this.proxy.stderr.text()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert!(config.contains("/dir?"), "{config}");
}
