//! `[acme]` as written, and what other sections say of it.

use std::path::{Path, PathBuf};

use http::Uri;

use super::authority::{Acme, AcmeChallenge, ExternalAccount};
use super::{Listener, values};
use crate::document::{At, Findings, Node, Place, Section};

/// Let's Encrypt's.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// `[acme]` as written, at its place.
pub(super) fn acme(root: &mut Section, base: &Path, findings: &mut Findings) -> Option<At<Acme>> {
    let node = root.take("acme")?;
    let place = node.place.clone();
    let mut section = node.section(findings)?;
    let directory = section
        .take("directory")
        .and_then(|node| node.parsed(findings, directory));
    let contact = section.take("contact").map(|node| {
        let nodes = node.one_or_many().into_iter();
        let read = |node: Node| Some(node.parsed(findings, contact)?.value);
        nodes.filter_map(read).collect()
    });
    let challenge = section
        .take("challenge")
        .and_then(|node| node.parsed(findings, challenge));
    let ca = section
        .take("ca")
        .and_then(|node| node.parsed(findings, |path| values::relative_to(base, path)));
    let external_account = section
        .take("external-account")
        .and_then(|node| external_account(node, base, findings));
    terms(&mut section, &place, findings);
    section.finish(findings);
    let acme = Acme {
        directory: directory.map_or_else(|| DIRECTORY.to_owned(), |d| d.value),
        contact: contact.unwrap_or_default(),
        challenge: challenge.map_or(AcmeChallenge::TlsAlpn01, |c| c.value),
        ca: ca.map(|path| path.value),
        external_account,
    };
    Some(At::new(acme, place))
}

/// The terms are a contract between the operator and the authority.
fn terms(section: &mut Section, place: &Place, findings: &mut Findings) {
    let node = section.take("terms-agreed");
    let place = node.as_ref().map_or(place, |node| &node.place).clone();
    let is_written = node.is_some();
    let agreed = node.and_then(|node| node.boolean(findings));
    // What is not a boolean has its own error.
    if agreed == Some(false) || !is_written {
        findings.error(
            &place,
            "needs `terms-agreed = true`: an account is a contract with the authority, which the \
             proxy can't agree to for you; read the authority's terms of service first",
        );
    }
}

/// What the sections say of each other.
pub(super) fn check(
    acme: &Option<At<Acme>>,
    state_dir: &Option<PathBuf>,
    listeners: &[At<Listener>],
    findings: &mut Findings,
) {
    let mut ordering = listeners
        .iter()
        .filter(|l| l.value.tls.as_ref().is_some_and(|tls| !tls.acme.is_empty()));
    let first = ordering.next();
    let (acme, place) = match (acme, first) {
        (None, None) => return,
        (None, Some(listener)) => {
            let message = "has `tls.acme`, and there is no `[acme]`; write that section, with \
                           terms-agreed = true";
            return findings.error(&listener.place, message);
        }
        (Some(acme), None) => {
            let message = "no listener has `tls.acme`: nothing is ordered";
            return findings.warning(&acme.place, message);
        }
        (Some(acme), Some(_)) => (&acme.value, &acme.place),
    };
    if state_dir.is_none() {
        findings.error(
            place,
            "needs `state-dir`, which keeps the account's key and the certificates: without it \
             every start would order new ones, and authorities limit how many they give",
        );
    }
    let is_plain =
        |l: &At<Listener>| l.value.tls.is_none() && l.value.tcp.is_none() && !l.value.forward;
    if acme.challenge == AcmeChallenge::Http01 && !listeners.iter().any(is_plain) {
        findings.error(
            place,
            "has challenge = \"http-01\", which the authority asks for on port 80, and no listener \
             is plain HTTP; add one, or write challenge = \"tls-alpn-01\"",
        );
    }
}

fn directory(written: &str) -> Result<String, String> {
    let uri = written.trim().parse::<Uri>().ok();
    // A user and a password would be in each line of the log about it.
    let is_good = |uri: &Uri| {
        let authority = uri.authority().map_or("", |a| a.as_str());
        let has_port = uri.host().is_some_and(|host| host.len() < authority.len());
        uri.scheme_str() == Some("https")
            && !authority.is_empty()
            && !authority.contains('@')
            && (!has_port || uri.port_u16().is_some_and(|port| port > 0))
    };
    match uri.filter(is_good) {
        Some(uri) => Ok(uri.to_string()),
        None => Err(format!(
            "this is not the URL of a directory; write one that begins with https:// and has no \
             user, such as \"{DIRECTORY}\""
        )),
    }
}

/// A URI, or an address of e-mail alone.
fn contact(written: &str) -> Result<String, String> {
    let text = written.trim();
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let is_address = address
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
    match is_address
        && address
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b',' && b != b'?')
    {
        true => Ok(format!("mailto:{address}")),
        false => Err(format!(
            "{written:?} is not an address of e-mail; write for example \"admin@example.org\""
        )),
    }
}

fn challenge(written: &str) -> Result<AcmeChallenge, String> {
    match written {
        "tls-alpn-01" => Ok(AcmeChallenge::TlsAlpn01),
        "http-01" => Ok(AcmeChallenge::Http01),
        "dns-01" => Err(
            "\"dns-01\" is not built in, because each provider of DNS has its own interface; write \
             \"tls-alpn-01\" or \"http-01\""
                .to_owned(),
        ),
        _ => Err(format!(
            "{written:?} is not a challenge; write \"tls-alpn-01\" or \"http-01\""
        )),
    }
}

fn external_account(node: Node, base: &Path, findings: &mut Findings) -> Option<ExternalAccount> {
    let mut section = node.section(findings)?;
    let key_id = section.take("key-id").and_then(|n| n.string(findings));
    let key_file = section
        .take("key-file")
        .and_then(|n| n.parsed(findings, |path| values::relative_to(base, path)));
    if key_id.is_none() || key_file.is_none() {
        let message = "needs `key-id` and `key-file`; write for example { key-id = \"kid-1\", \
                       key-file = \"eab.key\" }, as the authority shows them";
        findings.error(&section.place, message);
    }
    section.finish(findings);
    Some(ExternalAccount {
        key_id: key_id?.value,
        key_file: key_file?.value,
    })
}
