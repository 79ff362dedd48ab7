//! `tls` of a listener.

use std::path::Path;

use super::super::values;
use super::meaning::{CertificateFiles, Certificates, ClientCertificates, ListenerTls, TlsVersion};
use crate::document::{Findings, Node, Section};

pub(super) fn tls(
    mut section: Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<ListenerTls> {
    let place = section.place.clone();
    let certificates = match section.take("certificates") {
        Some(node) => certificates(node, base, findings),
        None => {
            findings.error(
                &place,
                "has no `certificates`; write for example certificates = [\"edge.pem\"], a file \
                 with a certificate and its key",
            );
            Vec::new()
        }
    };
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
    (!certificates.is_empty()).then(|| ListenerTls {
        certificates: Certificates::Files(certificates),
        clients,
        min_version: min_version.map_or(TlsVersion::Tls12, |version| version.value),
    })
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
        let both = node.parsed(findings, |path| values::relative_to(base, path))?;
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
        let path = node.parsed(findings, |path| values::relative_to(base, path))?;
        Some(path.value)
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
    let ca = ca.and_then(|node| node.parsed(findings, |path| values::relative_to(base, path)));
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
