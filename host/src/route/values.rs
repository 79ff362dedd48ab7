//! What the values of fields say of a request.

use std::io::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::rewrite::with_parts;
use crate::config::{Fact, FieldPiece, FieldTemplate, NOT_OF_PATHS, NOT_OF_TEXT, Parts};
use crate::message::{ClientCertificate, RequestHead, TlsSession};
use crate::units::hex;

/// Of a query the same as of a path, but it may have brackets.
const NOT_OF_QUERIES: &AsciiSet = &NOT_OF_PATHS.remove(b'[').remove(b']');
/// As much as a value that is written may have.
const LONGEST: usize = 8 << 10;

/// Fills in a value; it is empty if it would have more than 8 KiB. Whatever the client sends, it is
/// visible ASCII with spaces: no line ends and no byte that servers read differently.
pub fn field_value(template: &FieldTemplate, head: &RequestHead) -> Vec<u8> {
    with_parts(&template.path, head, |parts| {
        let mut value = Vec::with_capacity(64);
        for piece in &template.pieces {
            match piece {
                FieldPiece::Text(text) => value.extend_from_slice(text),
                FieldPiece::Fact(fact) => add(&mut value, fact, head, parts),
            }
        }
        match value.len() {
            0..=LONGEST => value.trim_ascii().to_vec(),
            _ => Vec::new(),
        }
    })
}

fn add(value: &mut Vec<u8>, fact: &Fact, head: &RequestHead, parts: Parts<'_>) {
    let tls = |of: fn(&TlsSession) -> Option<&str>| head.tls.as_deref().and_then(of);
    let by_route = head.by_route.as_deref();
    let (text, encoded): (Option<&str>, &AsciiSet) = match fact {
        // Unspecified: the request was refused before its client was known.
        Fact::Client if head.client.is_unspecified() => (None, CONTROLS),
        Fact::Client => return write(value, format_args!("{}", head.client)),
        Fact::TraceId => match head.trace {
            Some(of) => return write(value, format_args!("{:032x}", of.trace)),
            None => (None, CONTROLS),
        },
        Fact::RequestId => (Some(&head.id), CONTROLS),
        Fact::CertificateFingerprint => {
            let digits = certificate(head).map(|certificate| hex(&certificate.fingerprint));
            return value.extend(digits.into_iter().flat_map(String::into_bytes));
        }
        Fact::Header(name) => {
            let field = head.fields.first(name).unwrap_or_default();
            return value.extend(percent_encode(field, CONTROLS).flat_map(str::bytes));
        }
        Fact::Scheme => (Some(head.scheme.as_str()), CONTROLS),
        Fact::Host => (Some(&head.host), CONTROLS),
        Fact::Authority => (Some(&head.authority), CONTROLS),
        Fact::Method => (Some(head.method.as_str()), CONTROLS),
        Fact::Path => (Some(parts.path), NOT_OF_PATHS),
        Fact::Rest => (Some(parts.rest), NOT_OF_PATHS),
        Fact::Group(at) => (parts.groups.get(*at).copied(), NOT_OF_PATHS),
        Fact::Query => (head.query(), NOT_OF_QUERIES),
        Fact::Sni => (tls(|tls| tls.server_name.as_deref()), CONTROLS),
        Fact::TlsVersion => (tls(|tls| Some(tls.version.as_str())), CONTROLS),
        Fact::CertificateSubject => {
            let subject = certificate(head).map(|certificate| &*certificate.subject);
            (subject, NOT_OF_TEXT)
        }
        // It became text when the table was made.
        Fact::Route => (None, CONTROLS),
        Fact::Pool => (by_route.and_then(|by| by.pool.as_deref()), NOT_OF_TEXT),
    };
    let text = text.unwrap_or_default().as_bytes();
    value.extend(percent_encode(text, encoded).flat_map(str::bytes));
}

fn write(value: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Memory takes everything.
    let _ = value.write_fmt(text);
}

fn certificate(head: &RequestHead) -> Option<&ClientCertificate> {
    head.tls.as_deref().and_then(|tls| tls.client.as_deref())
}
