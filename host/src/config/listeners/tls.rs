//! `tls` of a listener.

use std::net::IpAddr;
use std::path::Path;

use super::super::host::is_label;
use super::super::values;
use super::meaning::{CertificateFiles, Certificates, ClientCertificates, ListenerTls, TlsVersion};
use crate::document::{Findings, Node, Section};

/// What Let's Encrypt puts into a certificate at most.
const MOST_NAMES: usize = 100;

pub(super) fn tls(
    mut section: Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<ListenerTls> {
    let place = section.place.clone();
    if let Some(node) = section.take("passthrough") {
        return passthrough(node, section, findings);
    }
    let acme = section.take("acme").map(|node| ordered(node, findings));
    let certificates = match section.take("certificates") {
        Some(node) => certificates(node, base, findings),
        None if acme.is_some() => Vec::new(),
        None => {
            findings.error(
                &place,
                "has no `certificates`; write for example certificates = [\"edge.pem\"], a file \
                 with a certificate and its key, acme = [\"example.org\"], or passthrough = true, \
                 if routes pass all of its connections on",
            );
            Vec::new()
        }
    };
    let acme = acme.unwrap_or_default();
    let clients = clients(&mut section, base, findings);
    let min_version = section.take("min-version").and_then(|node| {
        node.parsed(findings, |written| match written {
            "1.2" => Ok(TlsVersion::Tls12),
            "1.3" => Ok(TlsVersion::Tls13),
            _ => Err(format!(
                "{written:?} is not a version that is served; write \"1.2\" or \"1.3\""
            )),
        })
    });
    section.finish(findings);
    // Without a certificate an error was noted.
    let has_any = !certificates.is_empty() || !acme.is_empty();
    has_any.then(|| ListenerTls {
        certificates: Certificates::Files(certificates),
        acme,
        clients,
        min_version: min_version.map_or(TlsVersion::Tls12, |version| version.value),
    })
}

/// A listener that ends no TLS session itself: it has nothing else to say of them.
fn passthrough(node: Node, mut section: Section, findings: &mut Findings) -> Option<ListenerTls> {
    let place = node.place.clone();
    if node.boolean(findings) == Some(false) {
        findings.error(&place, "is what a listener without the key does; remove it");
    }
    for (key, node) in section.take_rest() {
        let message = format!(
            "says how the listener answers handshakes, and with `passthrough` it answers none; \
             remove `{key}`, or `passthrough`: connections that no route passes on are answered \
             then"
        );
        findings.error(&node.place, message);
    }
    Some(ListenerTls {
        certificates: Certificates::None,
        acme: Vec::new(),
        clients: None,
        min_version: TlsVersion::Tls12,
    })
}

/// The names of the certificate that is ordered from `[acme]`.
fn ordered(node: Node, findings: &mut Findings) -> Vec<String> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(
            &place,
            "is empty; write at least one name, or remove the key",
        );
    }
    if nodes.len() > MOST_NAMES {
        let message = format!(
            "has {} names, and authorities put {MOST_NAMES} into a certificate; write the others \
             at another listener",
            nodes.len()
        );
        findings.error(&place, message);
    }
    let mut all = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(name) = node.parsed(findings, ordered_name) else {
            continue;
        };
        if all.contains(&name.value) {
            let message = format!("{:?} is listed twice; remove one of them", name.value);
            findings.error(&name.place, message);
        }
        all.push(name.value);
    }
    all
}

/// A name that an authority can ask for by HTTP or TLS, in lower case.
fn ordered_name(written: &str) -> Result<String, String> {
    let text = written.trim();
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.starts_with("*.") {
        return Err(format!(
            "{written:?} is a wildcard, which authorities give only for the challenge dns-01, and \
             that is not built in; list the names, or take the certificate from files"
        ));
    }
    if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(format!(
            "{written:?} is an IP address, and certificates are ordered for names; write a name \
             that leads to it"
        ));
    }
    match !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(format!(
            "{written:?} is not a host name; write for example \"example.org\", and letters \
             beyond ASCII in their form with xn--"
        )),
    }
}

/// Paths, or tables with a path each. One alone counts as a list.
fn certificates(node: Node, base: &Path, findings: &mut Findings) -> Vec<CertificateFiles> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(
            &place,
            "is empty; write at least one file with a certificate and its key",
        );
    }
    let mut all: Vec<CertificateFiles> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let place = node.place.clone();
        let Some(files) = certificate(node, base, findings) else {
            continue;
        };
        if all
            .iter()
            .any(|earlier| earlier.certificate == files.certificate)
        {
            let message = format!(
                "{} is listed twice; remove one of them",
                files.certificate.display()
            );
            findings.error(&place, message);
        }
        all.push(files);
    }
    all
}

fn certificate(node: Node, base: &Path, findings: &mut Findings) -> Option<CertificateFiles> {
    if node.is_string() {
        let both = values::file(node, base, findings)?;
        return Some(CertificateFiles {
            certificate: both.value.clone(),
            key: both.value,
            ocsp: None,
        });
    }
    let mut section = node.section(findings)?;
    let has_certificate = section.has("certificate");
    let mut file = |key| {
        let node = section.take(key)?;
        Some(values::file(node, base, findings)?.value)
    };
    let (certificate, key, ocsp) = (file("certificate"), file("key"), file("ocsp"));
    if !has_certificate {
        findings.error(
            &section.place,
            "has no `certificate`; write for example { certificate = \"b.pem\", key = \"b.key\" }",
        );
    }
    section.finish(findings);
    let certificate = certificate?;
    Some(CertificateFiles {
        key: key.unwrap_or_else(|| certificate.clone()),
        certificate,
        ocsp,
    })
}

fn clients(
    section: &mut Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<ClientCertificates> {
    let ca = section.take("client-ca");
    let (has_ca, asked) = (ca.is_some(), section.take("client-certificate"));
    let ca = ca.and_then(|node| values::file(node, base, findings));
    let place = asked.as_ref().map(|node| node.place.clone());
    let required = asked.and_then(|node| {
        node.parsed(findings, |written| match written {
            "required" => Ok(true),
            "optional" => Ok(false),
            _ => Err(format!(
                "{written:?} is not known; write \"required\" or \"optional\""
            )),
        })
    });
    if let (Some(place), false) = (place, has_ca) {
        findings.error(
            &place,
            "says nothing without `client-ca`; name the file with the roots that sign clients' \
             certificates",
        );
    }
    Some(ClientCertificates {
        ca: ca?.value,
        required: required.is_none_or(|required| required.value),
    })
}
