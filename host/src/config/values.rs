//! Parsers of single values. Each returns the value, or a message that explains the mistake and
//! what to write.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::host::is_label;
use super::{Isolation, OnFailure, TrustedPeers};
use crate::document::{At, Findings, Node};
use crate::message::path;

/// Names appear in URLs, logs and metrics.
const MAX_NAME_LEN: usize = 64;

/// An address to listen on: `ip:port`, `[v6]:port` or `localhost:port`.
pub fn parse_listen(written: &str) -> Result<SocketAddr, String> {
    let text = written.trim();
    let ip_and_port = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    if let Ok(address) = ip_and_port.parse() {
        return Ok(address);
    }
    if text.starts_with("unix:") {
        return Err(format!(
            "{written:?} is a Unix socket, which the short form can't describe; write \
             `[[listeners]]` with address = {text:?}"
        ));
    }
    if let Some(sentence) = listen_of_nginx(written) {
        return Err(sentence);
    }
    let digits = text.strip_prefix(':').unwrap_or(text);
    Err(
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            match digits.parse::<u16>() {
                Ok(port) => format!(
                    "{written:?} has no address; write \"0.0.0.0:{port}\" for all addresses of \
                     IPv4 and \"[::]:{port}\" beside it for those of IPv6, or \
                     \"127.0.0.1:{port}\" for this machine only"
                ),
                Err(_) => format!("{written:?} is not a port; ports go from 0 to 65535"),
            }
        } else if let Ok(ip) = text.parse::<IpAddr>() {
            format!(
                "{written:?} has no port; write for example \"{}\"",
                SocketAddr::new(ip, 8080)
            )
        } else {
            format!(
                "{written:?} is not an address to listen on; write IP:PORT, such as \
                 \"0.0.0.0:8080\" or \"[::]:8080\""
            )
        },
    )
}

/// What stands in the place of a URL, of a star, and of what `listen` has behind an address.
fn listen_of_nginx(written: &str) -> Option<String> {
    let text = written.trim();
    if text.contains(',') {
        return Some(format!(
            "{written:?} is more than an address; write a list, each address in quotes of its own"
        ));
    }
    if let Some((first, _)) = text.split_once(' ') {
        let address = match first.parse::<u16>() {
            Ok(port) => format!("0.0.0.0:{port}"),
            Err(_) => first.to_owned(),
        };
        return Some(format!(
            "{written:?} is more than an address; write \"{address}\", and what is special about it \
             (`tls`, `protocols`, `proxy-protocol`) in `[[listeners]]`"
        ));
    }
    if let Some(port) = text.strip_prefix("*:") {
        return Some(format!(
            "{written:?} is not an address; write \"0.0.0.0:{port}\" for all addresses of IPv4, \
             and \"[::]:{port}\" beside it for those of IPv6"
        ));
    }
    text.contains("://").then(|| {
        format!(
            "{written:?} is a URL; write IP:PORT, such as \"0.0.0.0:443\" with `tls` in \
             `[[listeners]]`"
        )
    })
}

/// The name that a backend's certificate must have: a host name or an IP address, without a port.
pub(super) fn server_name(written: &str) -> Result<String, String> {
    let text = written.trim();
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let ok = !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label);
    match ok {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(format!(
            "{written:?} is not a host name or an IP address; write for example \
             \"api.example.com\", without a port"
        )),
    }
}

/// A network, or one address.
pub(super) fn network(written: &str) -> Result<IpNet, String> {
    let text = written.trim();
    let network = text.parse::<IpNet>().map(|net| net.trunc());
    let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| {
        format!(
            "{written:?} is not a network; write for example \"10.0.0.0/8\", \"fd00::/8\" or \
             \"192.0.2.7\", or \"unix:\" for clients of Unix sockets"
        )
    })
}

/// Networks, and `unix:` for the clients of Unix sockets.
pub(super) fn trusted_peers(nodes: Vec<Node>, findings: &mut Findings) -> TrustedPeers {
    let mut peers = TrustedPeers::default();
    for node in nodes {
        let peer = node.parsed(findings, |written| match written.trim() {
            "unix:" => Ok(None),
            _ => network(written).map(Some),
        });
        match peer.map(|peer| peer.value) {
            Some(Some(network)) => peers.networks.push(network),
            Some(None) => peers.unix = true,
            None => {}
        }
    }
    peers
}

/// How long an instance of a policy lives.
pub fn parse_isolation(written: &str) -> Result<Isolation, String> {
    match written {
        "worker" => Ok(Isolation::Worker),
        "request" => Ok(Isolation::Request),
        _ => Err(format!(
            "{written:?} is not known; write \"worker\" or \"request\""
        )),
    }
}

/// `on-failure`: "random", "next" or a status.
pub(super) fn on_failure(written: &str) -> Result<OnFailure, String> {
    match written.trim() {
        "random" => Ok(OnFailure::Random),
        "next" => Ok(OnFailure::Next),
        status => match status.parse::<u16>() {
            Ok(status @ 400..=599) => Ok(OnFailure::Status(status)),
            _ => Err(format!(
                "{written:?} is not a failure mode; write \"random\", \"next\" or a status from \
                 400 to 599"
            )),
        },
    }
}

/// The name of a policy or a pool, which appears in URLs, logs and metrics.
pub(super) fn name(written: &str) -> Result<(), String> {
    let ok = (1..=MAX_NAME_LEN).contains(&written.len())
        && written
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && written.as_bytes()[0].is_ascii_alphanumeric();
    if ok {
        return Ok(());
    }
    Err(format!(
        "{written:?} is not a name; write a letter or a digit, then letters, digits, `-`, `_` and \
         `.`, at most {MAX_NAME_LEN} characters"
    ))
}

/// The name of a header field, in lower case (RFC 9110 section 5.1).
pub(super) fn field_name(written: &str) -> Result<String, String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if written.is_empty() || written.len() > 256 || !written.bytes().all(token) {
        return Err(format!(
            "{written:?} is not the name of a header field; write for example \"authorization\""
        ));
    }
    Ok(written.to_ascii_lowercase())
}

/// `sha256:` and 64 hexadecimal digits, in lower case.
pub(super) fn digest(written: &str) -> Result<String, String> {
    match written.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(written.to_ascii_lowercase())
        }
        _ => Err(format!(
            "{written:?} is not a digest; write `sha256:` and 64 hexadecimal digits, as `waypost \
             check` and GET /policies show them"
        )),
    }
}

/// A route's path: a prefix at segment borders, without a trailing slash unless it is `/`.
pub(super) fn route_path(written: &str) -> Result<String, String> {
    if let Some(sentence) = of_nginx(written) {
        return Err(sentence);
    }
    url_path(written)?;
    // Requests are matched in the same form.
    let path = path::literal(written);
    let path = path.trim_end_matches('/');
    Ok(if path.is_empty() {
        "/".to_owned()
    } else {
        path.to_owned()
    })
}

/// What stands in the place of the signs in front of paths in nginx.
fn of_nginx(written: &str) -> Option<String> {
    let text = written.trim_start();
    let after = |sign| text.strip_prefix(sign).map(str::trim_start);
    let meant = if let Some(path) = after("=") {
        format!("{{ exact = {path:?} }}")
    } else if let Some(path) = after("^~") {
        format!("{path:?}, a prefix")
    } else if let Some(regex) = after("~*") {
        format!("{{ regex = '(?i){regex}' }}")
    } else if let Some(regex) = after("~") {
        format!("{{ regex = '{regex}' }}")
    } else if text.starts_with('^') {
        format!("{{ regex = '{text}' }}")
    } else {
        return None;
    };
    Some(format!("{written:?} is not a path; write {meant}"))
}

/// A path as a request's target has it.
pub(super) fn url_path(written: &str) -> Result<(), String> {
    if !written.starts_with('/') {
        return Err(format!(
            "{written:?} is not a path; begin it with `/`, such as \"/api\""
        ));
    }
    if written.contains(['?', '#']) {
        return Err(format!(
            "{written:?} is not a path; remove the query (`?`) and the fragment (`#`)"
        ));
    }
    if written.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(format!(
            "{written:?} is not a path; percent-encode spaces, control and non-ASCII characters"
        ));
    }
    // Requests are matched after these are resolved, in any encoding.
    let dots = |segment: &str| {
        matches!(
            segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
            "." | ".."
        )
    };
    if written.split('/').any(dots) {
        return Err(format!(
            "{written:?} is not a path to match; remove the `.` and `..` segments"
        ));
    }
    Ok(())
}

/// The file of a component.
pub(super) fn component(node: Node, base: &Path, findings: &mut Findings) -> Option<At<PathBuf>> {
    // As the command line names them.
    let file = node.parsed(findings, |written| match written.strip_prefix("builtin:") {
        Some(name) => Err(format!(
            "{written:?} is not the path of a file; for a built-in policy write builtin = {name:?} \
             in place of `component`"
        )),
        None => relative_to(base, written),
    })?;
    findings.note_file(&file);
    Some(file)
}

/// A file that is read later.
pub(super) fn file(node: Node, base: &Path, findings: &mut Findings) -> Option<At<PathBuf>> {
    let file = node.parsed(findings, |written| relative_to(base, written))?;
    findings.note_file(&file);
    Some(file)
}

/// Paths are relative to the file's folder, not to the process's.
pub(super) fn relative_to(base: &Path, written: &str) -> Result<PathBuf, String> {
    if written.trim().is_empty() || written.contains('\0') {
        return Err("is not a path of a file; write one, or remove the key".to_owned());
    }
    Ok(base.join(written))
}
