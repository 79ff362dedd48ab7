//! Reads the connection that a scenario's request comes by.

use std::net::IpAddr;
use std::sync::Arc;

use super::request::unix;
use crate::document::{Findings, Node, Section};
use crate::message::{
    ClientCertificate, RequestHead, Scheme, SubjectName, TlsSession, TlsVersion, Version,
};
use crate::units::parse_hex;

/// The most names, as in the proxy.
const MAX_NAMES: usize = 256;
/// When a certificate expires unless it says so: at the end of 2036.
const EXPIRES: u64 = 2_114_380_799_000;

/// Takes the keys of a request that are about its connection. It is encrypted if one of them is
/// about TLS, and `https` then.
pub(super) fn take(section: &mut Section, head: &mut RequestHead, findings: &mut Findings) {
    if let Some(node) = section.take("protocol") {
        let version = node.parsed(findings, version);
        head.version = version.map_or(head.version, |version| version.value);
    }
    if let Some(node) = section.take("tls") {
        let session = tls(node, head, findings);
        head.scheme = match session {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        };
        head.tls = session.map(Arc::new);
    }
    if let Some(node) = section.take("client-certificate") {
        let client = certificate(node, findings);
        if client.is_none() && head.tls.is_none() {
            return;
        }
        let session = head.tls.as_deref().cloned();
        let session = session.unwrap_or_else(|| usual(head));
        head.scheme = Scheme::Https;
        head.tls = Some(Arc::new(TlsSession { client, ..session }));
    }
}

fn version(written: &str) -> Result<Version, String> {
    Version::parse(written).ok_or_else(|| {
        format!(
            "{written:?} is not a version of HTTP; write \"HTTP/1.0\", \"HTTP/1.1\" or \"HTTP/2\""
        )
    })
}

/// `true`, `false`, or a table.
fn tls(node: Node, head: &RequestHead, findings: &mut Findings) -> Option<TlsSession> {
    let mut session = usual(head);
    if !node.is_table() {
        return node.boolean(findings)?.then_some(session);
    }
    let mut section = node.section(findings)?;
    let tls_version = |written: &str| {
        TlsVersion::parse(written).ok_or_else(|| {
            format!("{written:?} is not a version of TLS; write \"TLSv1.2\" or \"TLSv1.3\"")
        })
    };
    if let Some(node) = section.take("version") {
        let version = node.parsed(findings, tls_version);
        session.version = version.map_or(session.version, |version| version.value);
    }
    let mut text = |key| {
        let node = section.take(key)?;
        node.string(findings).map(|text| text.value)
    };
    if let Some(suite) = text("cipher-suite") {
        session.cipher_suite = suite.into();
    }
    // An empty text stands for none.
    if let Some(name) = text("server-name") {
        session.server_name = (!name.is_empty()).then(|| name.into());
    }
    if let Some(name) = text("application-protocol") {
        session.protocol = (!name.is_empty()).then(|| name.into());
    }
    section.finish(findings);
    Some(session)
}

/// What a client of this time and this proxy agree on.
fn usual(head: &RequestHead) -> TlsSession {
    let is_name = !head.host.is_empty() && !head.host.starts_with('[');
    let is_name = is_name && head.host.parse::<IpAddr>().is_err();
    let protocol = match head.version {
        Version::Http2 => "h2",
        Version::Http10 | Version::Http11 => "http/1.1",
    };
    TlsSession {
        version: TlsVersion::Tls13,
        cipher_suite: "TLS_AES_128_GCM_SHA256".into(),
        server_name: is_name.then(|| head.host.as_str().into()),
        protocol: Some(protocol.into()),
        client: None,
    }
}

/// `false`, or a table.
fn certificate(node: Node, findings: &mut Findings) -> Option<Box<ClientCertificate>> {
    if !node.is_table() {
        let place = node.place.clone();
        if node.boolean(findings)? {
            findings.error(
                &place,
                "is a table of `subject` and `names`, or false if there is none",
            );
        }
        return None;
    }
    let mut section = node.section(findings)?;
    let mut certificate = ClientCertificate {
        serial_number: [1].into(),
        expires: EXPIRES,
        ..ClientCertificate::default()
    };
    if let Some(subject) = section.take("subject").and_then(|n| n.string(findings)) {
        certificate.subject = subject.value.into();
    }
    if let Some(node) = section.take("names") {
        certificate.names = names(node, findings);
    }
    if let Some(node) = section.take("serial-number") {
        let digits = node.parsed(findings, hexadecimal);
        certificate.serial_number = digits.map(|digits| digits.value).unwrap_or_default().into();
    }
    if let Some(node) = section.take("fingerprint") {
        let digits = node.parsed(findings, fingerprint);
        certificate.fingerprint = digits.map(|digits| digits.value).unwrap_or_default();
    }
    if let Some(time) = section
        .take("expires")
        .and_then(|n| n.parsed_scalar(findings, unix))
    {
        certificate.expires = time.value;
    }
    section.finish(findings);
    Some(Box::new(certificate))
}

fn names(node: Node, findings: &mut Findings) -> Box<[SubjectName]> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.len() > MAX_NAMES {
        findings.error(&place, format!("lists more than {MAX_NAMES}; write fewer"));
    }
    let name = |written: &str| {
        SubjectName::parse(written).ok_or_else(|| {
            format!(
                "{written:?} is not an alternative name; write its kind in front, such as \
                 \"DNS:a.test\", \"URI:spiffe://a.test/web\", \"email:a@b.test\" or \"IP:10.0.0.1\""
            )
        })
    };
    let nodes = nodes.into_iter().take(MAX_NAMES);
    nodes
        .filter_map(|node| node.parsed(findings, name).map(|name| name.value))
        .collect()
}

fn hexadecimal(written: &str) -> Result<Vec<u8>, String> {
    parse_hex(written)
        .ok_or_else(|| format!("{written:?} is not hexadecimal; write two digits for each byte"))
}

fn fingerprint(written: &str) -> Result<[u8; 32], String> {
    let bytes = hexadecimal(written)?;
    bytes
        .try_into()
        .map_err(|_| format!("{written:?} is not a SHA-256; write 64 hexadecimal digits"))
}

/// About how many bytes a session takes.
pub(super) fn weight(session: &TlsSession, each: usize) -> usize {
    let texts = [&session.server_name, &session.protocol];
    let texts = texts.into_iter().flatten().map(|text| text.len());
    let client = session.client.as_deref().map_or(0, |own| {
        let text = |name: &SubjectName| match name {
            SubjectName::Dns(text) | SubjectName::Uri(text) | SubjectName::Email(text) => {
                text.len()
            }
            SubjectName::Address(_) => 0,
        };
        let names = own.names.iter().map(|name| each + text(name));
        own.subject.len() + own.serial_number.len() + names.sum::<usize>()
    });
    session.cipher_suite.len() + texts.sum::<usize>() + client + each
}
