//! Challenges: what an authority asks the proxy, by plain HTTP and in a handshake.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use serde_json::json;

use super::server::{AcmeServer, Answer};
use super::{Ordering, Settings};
use crate::fixtures::tls::{Authority, session};
use crate::fixtures::{Client, Gate, eventually, get};

const TOKEN: &str = "an-unguessable_TOKEN";

/// An authority that has asked, and is about to refuse once the gate opens.
struct Asking {
    server: AcmeServer,
    asked: Gate,
    verdict: Gate,
}

impl Asking {
    fn start(kind: &'static str) -> Self {
        Self::with(kind, TOKEN)
    }

    fn with(kind: &'static str, token: &'static str) -> Self {
        let (asked, verdict) = (Gate::new(), Gate::new());
        let (asks, waits) = (asked.clone(), verdict.clone());
        let base = Arc::new(OnceLock::<String>::new());
        let of_server = Arc::clone(&base);
        let server = AcmeServer::start(move |path| {
            let url = |path: &str| format!("{}{path}", of_server.wait());
            let order = |status| {
                json!({
                    "status": status,
                    "authorizations": [url("/authorization")],
                    "finalize": url("/finalize"),
                })
            };
            let challenge = |status: &str| {
                let error = (status == "invalid").then(|| {
                    json!({
                        "type": "urn:ietf:params:acme:error:unauthorized",
                        "detail": "the answer is wrong",
                    })
                });
                json!({
                    "type": kind, "url": url("/challenge"), "token": token,
                    "status": status, "error": error,
                })
            };
            let authorization = |status: &str| {
                json!({
                    "identifier": { "type": "dns", "value": "edge.test" },
                    "status": status,
                    "challenges": [challenge(status)],
                })
            };
            let is_refused = waits.is_open();
            let now = if is_refused { "invalid" } else { "pending" };
            Some(match path {
                "/order" => Answer::json("201 Created", &order("pending"))
                    .field(&format!("Location: {}", url("/order/1"))),
                "/order/1" => Answer::json("200 OK", &order(now)),
                "/authorization" => Answer::json("200 OK", &authorization(now)),
                "/challenge" => {
                    asks.open();
                    Answer::json("200 OK", &challenge("pending"))
                }
                _ => return None,
            })
        });
        let url = server.directory();
        base.set(url.trim_end_matches("/dir").to_owned()).unwrap();
        Self {
            server,
            asked,
            verdict,
        }
    }

    fn settings<'a>(&self, directory: &'a str, ca: &'a str, acme: &'a str) -> Settings<'a> {
        let _ = &self.server;
        Settings {
            directory,
            ca,
            acme,
            names: &["edge.test"],
            ..Settings::default()
        }
    }
}

const HTTP_01: &str = "challenge = \"http-01\"";

fn challenge_path(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

#[test]
fn a_token_is_answered_on_plain_listeners_while_its_order_runs_and_others_go_to_the_routes() {
    for plain in ["", "redirect-to-https = true"] {
        let authority = Asking::start("http-01");
        let (directory, ca) = (authority.server.directory(), authority.server.ca.clone());
        let this = Ordering::start(&Settings {
            plain,
            ..authority.settings(&directory, &ca, HTTP_01)
        });
        authority.asked.wait();
        let ask = |address: SocketAddr, token: &str| {
            let path = challenge_path(token);
            Client::connect(address).ask(get("edge.test", &path)).text()
        };
        let answer = ask(this.plain(), TOKEN);
        let (token, thumbprint) = answer.split_once('.').unwrap();
        assert_eq!((token, thumbprint.len()), (TOKEN, 43), "{answer}");
        for other in ["", "x", "an-unguessable_TOKEN/", "an-unguessable_token"] {
            assert_eq!(ask(this.plain(), other), "hello", "{other:?} {plain:?}");
        }
        let status = |path: &str| this.ask_plain(path).status;
        let elsewhere = if plain.is_empty() { 200 } else { 308 };
        assert_eq!(status("/"), elsewhere);
        authority.verdict.open();
        eventually("the order is refused", || {
            let notes = this.notes();
            notes
                .contains("edge.test: the answer is wrong (unauthorized)")
                .then_some(())
        });
        assert_eq!(ask(this.plain(), TOKEN), "hello");
    }
}

#[test]
fn a_token_that_is_none_is_not_answered() {
    let authority = Asking::with("http-01", "../../admin");
    let (directory, ca) = (authority.server.directory(), authority.server.ca.clone());
    let this = Ordering::start(&authority.settings(&directory, &ca, HTTP_01));
    eventually("it is refused", || {
        this.notes().contains("token is not one").then_some(())
    });
    assert_eq!(authority.server.count("POST /challenge"), 0);
}

/// A client that offers only what an authority does (RFC 8737 section 3).
fn asking(protocols: &[&str]) -> Arc<ClientConfig> {
    Arc::new(Authority::trusting(protocols))
}

#[test]
fn a_handshake_of_an_authority_is_answered_for_the_name_while_its_order_runs_and_carries_nothing() {
    let authority = Asking::start("tls-alpn-01");
    let (directory, ca) = (authority.server.directory(), authority.server.ca.clone());
    let this = Ordering::start(&authority.settings(&directory, &ca, ""));
    authority.asked.wait();
    let usual = this.presented("edge.test");
    let mut asked = session(this.encrypted(), &asking(&["acme-tls/1"]), "edge.test").unwrap();
    assert_eq!(asked.conn.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let shown = asked.conn.peer_certificates().unwrap()[0].clone();
    assert_ne!(shown, usual);
    // id-pe-acmeIdentifier (1.3.6.1.5.5.7.1.31), critical, with a digest of 32 bytes.
    let extension = [
        0x06, 8, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 0x01, 1, 0xff, 0x04, 34, 0x04, 32,
    ];
    let has_it = shown
        .windows(extension.len())
        .any(|window| window == extension);
    assert!(has_it, "{shown:02x?}");
    let end = crate::fixtures::tls::read(&mut asked);
    assert!(
        end.is_ok_and(|bytes| bytes.is_empty()),
        "closed with a notice"
    );
    // Others are served as ever, and none of these is an authority's.
    assert_eq!(this.presented("edge.test"), usual);
    for (protocols, name) in [
        (&["acme-tls/1"][..], "other.test"),
        (&["acme-tls/1", "acme-tls/2"], "edge.test"),
    ] {
        assert!(
            session(this.encrypted(), &asking(protocols), name).is_err(),
            "{name}"
        );
    }
    let both = session(
        this.encrypted(),
        &asking(&["acme-tls/1", "http/1.1"]),
        "edge.test",
    );
    assert_eq!(both.unwrap().conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    authority.verdict.open();
    eventually("the order is refused", || {
        this.notes().contains("the answer is wrong").then_some(())
    });
    assert!(session(this.encrypted(), &asking(&["acme-tls/1"]), "edge.test").is_err());
}

#[test]
fn a_challenge_that_is_not_offered_is_named() {
    let authority = Asking::start("dns-01");
    let (directory, ca) = (authority.server.directory(), authority.server.ca.clone());
    let this = Ordering::start(&authority.settings(&directory, &ca, ""));
    eventually("it is said", || {
        let notes = this.notes();
        notes
            .contains("edge.test: it does not offer tls-alpn-01")
            .then_some(())
    });
}
