//! When certificates that are kept are renewed.

use std::time::{Duration, SystemTime};

use base64::Engine;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::server::{AcmeServer, Answer};
use super::{Ordering, Settings};
use crate::fixtures::tls::Authority;
use crate::fixtures::{Scratch, eventually};

/// What an earlier process has kept.
fn kept(scratch: &Scratch, directory: &str, names: &str, pem: &str) {
    let digits = |text: &str| {
        let digest = Sha256::digest(text);
        digest
            .iter()
            .take(6)
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    };
    let host: String = directory.split('/').nth(2).unwrap().replace(':', "");
    let state = scratch.path().join("state");
    let folder = state.join(format!(".acme/{host}-{}", digits(directory)));
    std::fs::create_dir_all(&folder).unwrap();
    for path in [&state, &state.join(".acme"), &folder] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    std::fs::write(folder.join(format!("{names}-{}.pem", digits(names))), pem).unwrap();
    let key = KeyPair::generate().unwrap().serialize_der();
    let account = json!({
        "id": directory.replace("/dir", "/account/1"),
        "key_pkcs8": base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(key),
        "directory": directory,
    });
    std::fs::write(folder.join("account.json"), account.to_string()).unwrap();
}

/// A certificate of an authority that names itself in it, valid from some days ago, for some days.
fn issued(names: &[&str], (since, until): (i64, i64)) -> String {
    let authority = Authority::new();
    authority
        .issue_with(names, |params: &mut CertificateParams| {
            let days = |days: i64| {
                let now = SystemTime::now();
                let length = Duration::from_secs(days.unsigned_abs() * 24 * 3600);
                let at = if days < 0 { now - length } else { now + length };
                at.into()
            };
            (params.not_before, params.not_after) = (days(-since), days(until));
            params.use_authority_key_identifier_extension = true;
        })
        .both()
}

/// An authority that suggests this window, in days from now, and refuses orders.
fn suggesting(window: Option<(i64, i64)>) -> AcmeServer {
    let day = |days: i64| {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let at = now.as_secs().cast_signed() + days * 24 * 3600;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at.cast_unsigned());
        humantime::format_rfc3339_seconds(at).to_string()
    };
    let window = window
        .map(|(start, end)| json!({ "suggestedWindow": { "start": day(start), "end": day(end) } }));
    AcmeServer::start(move |path| {
        if path.starts_with("/renewal/") {
            let answer = window.as_ref().map(|window| Answer::json("200 OK", window));
            // More than any clock can add.
            return Some(answer?.field("Retry-After: 18446744073709551615"));
        }
        let problem = json!({ "type": "urn:ietf:params:acme:error:serverInternal" });
        (path == "/order").then(|| Answer::json("500 Internal Server Error", &problem))
    })
}

fn start(server: &AcmeServer, pem: &str) -> Ordering {
    let directory = server.directory();
    let scratch = Scratch::new();
    kept(&scratch, &directory, "edge.test", pem);
    let settings = Settings {
        directory: &directory,
        ca: &server.ca,
        names: &["edge.test"],
        ..Settings::default()
    };
    Ordering::start_in(scratch, &settings)
}

const DAY: f64 = 24.0 * 3600.0;

#[test]
fn a_certificate_that_is_kept_is_served_at_once_and_renewed_after_two_thirds_of_its_life() {
    let pem = issued(&["edge.test"], (10, 80));
    let server = suggesting(None);
    let this = start(&server, &pem);
    assert!(!this.notes().contains("notes"), "{}", this.notes());
    assert_eq!(this.metric("waypost_certificate_refused{"), 0.0);
    let next = this.next_order();
    assert!((next - 50.0 * DAY).abs() < 100.0, "{next}");
    eventually("the authority is asked for its suggestion", || {
        (server.count("GET /renewal/") > 0).then_some(())
    });
    assert_eq!(server.count("POST /order"), 0);
}

#[test]
fn a_suggested_window_decides_when_a_certificate_is_renewed() {
    let pem = issued(&["edge.test"], (10, 80));
    let server = suggesting(Some((3, 5)));
    let this = start(&server, &pem);
    let next = eventually("the window is known", || {
        let next = this.next_order();
        (next < 40.0 * DAY).then_some(next)
    });
    assert!((2.9 * DAY..=5.1 * DAY).contains(&next), "{next}");
    assert_eq!(server.count("POST /order"), 0);
}

#[test]
fn a_window_in_the_past_is_an_order_at_once_which_names_what_it_replaces() {
    let pem = issued(&["edge.test"], (10, 80));
    let server = suggesting(Some((-3, -1)));
    let this = start(&server, &pem);
    eventually("the order has failed", || {
        let notes = this.notes();
        let stays = notes.contains("serverInternal") && notes.contains("stays in use");
        stays.then_some(())
    });
    let order = &server.payloads("POST /order")[0];
    assert!(order.contains("\"replaces\":\""), "{order}");
}

#[test]
fn a_file_that_is_no_certificate_any_more_is_not_served_and_ordered_anew() {
    let server = suggesting(None);
    let this = start(&server, "nonsense");
    eventually("it is ordered", || {
        (server.count("POST /order") > 0).then_some(())
    });
    this.proxy.stderr.says("was ordered before can't be used");
}

#[test]
fn a_certificate_for_some_of_the_names_is_served_until_the_next_is_there() {
    let pem = issued(&["edge.test"], (10, 80));
    let expired = issued(&["edge.test", "more.test"], (90, -1));
    let server = suggesting(None);
    let directory = server.directory();
    let scratch = Scratch::new();
    kept(&scratch, &directory, "edge.test", &pem);
    kept(&scratch, &directory, "edge.test,more.test", &expired);
    let settings = Settings {
        directory: &directory,
        ca: &server.ca,
        names: &["edge.test", "new.test", "more.test"],
        ..Settings::default()
    };
    let this = Ordering::start_in(scratch, &settings);
    let served = this.presented("edge.test");
    let kept = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    assert_eq!(served, kept);
    eventually("the others are ordered", || {
        (server.count("POST /order") > 0).then_some(())
    });
}
