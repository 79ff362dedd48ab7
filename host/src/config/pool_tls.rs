//! How a pool's backends are spoken to: their protocol and TLS.

use std::path::Path;

use super::values::{self, server_name};
use super::{Backend, KeyPairFiles, PoolProtocol, PoolTls};
use crate::document::{At, Findings, Node, Place, Section};

/// `protocol = "..."`
pub(super) fn protocol(section: &mut Section, findings: &mut Findings) -> Option<At<PoolProtocol>> {
    let read = |written: &str| match written {
        "http/1.1" => Ok(PoolProtocol::Http11),
        "h2" => Ok(PoolProtocol::H2),
        "h2c" => Ok(PoolProtocol::H2c),
        "auto" => Ok(PoolProtocol::Auto),
        _ => Err(format!(
            "{written:?} is not a protocol; write \"http/1.1\", \"h2\", \"h2c\" or \"auto\""
        )),
    };
    section.take("protocol")?.parsed(findings, read)
}

/// `tls = true` or a table. `false` is as if it were not there.
pub(super) fn tls(node: Node, base: &Path, findings: &mut Findings) -> Option<At<PoolTls>> {
    let place = node.place.clone();
    if node.is_boolean() {
        let on = node.boolean(findings)?;
        return on.then(|| At::new(PoolTls::default(), place));
    }
    if !node.is_table() {
        let message = "is neither `true` nor a table; write for example tls = true, or \
                       tls = { ca = \"ca.pem\" }";
        findings.error(&place, message);
        return None;
    }
    let mut section = node.section(findings)?;
    let server_name = section
        .take("server-name")
        .and_then(|n| n.parsed(findings, server_name));
    let file = |written: &str| values::relative_to(base, written);
    let ca = section.take("ca");
    let ca_place = ca.as_ref().map(|node| node.place.clone());
    let ca = ca.and_then(|n| n.parsed(findings, file));
    let client_certificate = section
        .take("client-certificate")
        .and_then(|node| key_pair(node, base, findings));
    let insecure = section.take("insecure");
    let insecure_place = insecure.as_ref().map(|node| node.place.clone());
    let insecure = insecure
        .and_then(|node| node.boolean(findings))
        .unwrap_or(false);
    section.finish(findings);
    if insecure {
        warn_of_insecure(
            insecure_place.as_ref().unwrap_or(&place),
            ca_place.as_ref(),
            findings,
        );
    }
    let tls = PoolTls {
        server_name: server_name.map(|name| name.value),
        ca: ca.map(|path| path.value),
        client_certificate,
        insecure,
    };
    Some(At::new(tls, place))
}

fn warn_of_insecure(insecure: &Place, ca: Option<&Place>, findings: &mut Findings) {
    findings.warning(
        insecure,
        "any certificate is taken: whatever answers at the backends' addresses can read and change \
         requests; write `ca` with the certificate that vouches for them instead",
    );
    if let Some(ca) = ca {
        findings.error(
            ca,
            "is given beside `insecure`, which takes any certificate; remove one of them",
        );
    }
}

/// One file, or a table of two.
fn key_pair(node: Node, base: &Path, findings: &mut Findings) -> Option<KeyPairFiles> {
    let file = |written: &str| values::relative_to(base, written);
    if !node.is_table() {
        let both = node.parsed(findings, file)?.value;
        return Some(KeyPairFiles {
            certificate: both.clone(),
            key: both,
        });
    }
    let mut section = node.section(findings)?;
    let mut take = |key| {
        let taken = section.take(key);
        if taken.is_none() {
            let message = format!(
                "has no `{key}`; write {{ certificate = \"client.pem\", key = \"client.key\" }}, or \
                 one file with both"
            );
            findings.error(&section.place, message);
        }
        taken.and_then(|n| n.parsed(findings, file))
    };
    let (certificate, key) = (take("certificate"), take("key"));
    section.finish(findings);
    Some(KeyPairFiles {
        certificate: certificate?.value,
        key: key?.value,
    })
}

/// Checks the protocol against TLS. `plain` if a backend is reached without TLS, `secure` if one is
/// reached with it.
pub(super) fn check_protocol(
    protocol: &At<PoolProtocol>,
    backends: &[Backend],
    is_limited: bool,
    findings: &mut Findings,
) {
    let plain = backends.iter().find(|backend| backend.tls.is_none());
    let secure = backends.iter().find(|backend| backend.tls.is_some());
    let message = match (protocol.value, plain, secure) {
        (PoolProtocol::H2, Some(backend), _) => format!(
            "\"h2\" is HTTP/2 over TLS, but {} is reached without; write `tls = true`, or \
             protocol = \"h2c\"",
            backend.address
        ),
        (PoolProtocol::Auto, Some(backend), _) => format!(
            "\"auto\" is decided in the TLS handshake, but {} is reached without; write \
             `tls = true`, or protocol = \"http/1.1\" or \"h2c\"",
            backend.address
        ),
        (PoolProtocol::H2c, _, Some(backend)) => format!(
            "\"h2c\" is HTTP/2 without TLS, but {} is reached with it; write protocol = \"h2\"",
            backend.address
        ),
        (PoolProtocol::Auto, ..) if is_limited => {
            "\"auto\" can't be limited by `max-connections`, \
             which counts differently for the two protocols; write \"http/1.1\" or \"h2\""
                .to_owned()
        }
        _ => return,
    };
    findings.error(&protocol.place, message);
}
