//! One entry of `backends`: where it is, and how it is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::host::is_label;
use super::reach::{Backend, BackendKind, PoolProtocol, PoolTls};

/// The default port of a backend.
const DEFAULT_PORT: u16 = 80;
/// The same with TLS.
const DEFAULT_TLS_PORT: u16 = 443;

/// Where a backend is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrittenAddress {
    /// As [`Backend::address`] has it.
    pub text: String,
    pub kind: BackendKind,
    /// Whether it is reached with TLS.
    pub tls: bool,
    pub protocol: Option<PoolProtocol>,
}

impl Backend {
    /// One of weight 1 without labels, in a pool with this `tls`.
    pub(super) fn at(address: WrittenAddress, tls: Option<&PoolTls>) -> Self {
        Self {
            tls: match address.tls {
                true => Some(tls.cloned().unwrap_or_default()),
                false => None,
            },
            address: address.text,
            kind: address.kind,
            protocol: address.protocol,
            weight: 1,
            labels: Vec::new(),
        }
    }
}

/// A backend's address as [`parse_backend`] reads it, or with `https://` before it; or a service.
/// `tls` if its pool has it anyway.
pub(super) fn read(written: &str, tls: bool) -> Result<WrittenAddress, String> {
    let text = written.trim();
    if let Some((scheme, name)) = text.split_once("://")
        && let Some(scheme) = after("srv+", scheme)
    {
        return service((written, scheme, name), tls);
    }
    let host = |text, tls| WrittenAddress {
        text,
        kind: BackendKind::Address,
        tls,
        protocol: None,
    };
    let Some(authority) = after("https://", text) else {
        return Ok(host(address(written, default_port(tls))?, tls));
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(['/', '?', '#', '@']) {
        return Err(format!(
            "{written:?} is more than an address; write only https://HOST or https://HOST:PORT, \
             since requests bring their own paths"
        ));
    }
    Ok(host(address(authority, DEFAULT_TLS_PORT)?, true))
}

/// What follows these characters, in whatever case they are.
fn after<'t>(beginning: &str, text: &'t str) -> Option<&'t str> {
    let (found, rest) = text.split_at_checked(beginning.len())?;
    found.eq_ignore_ascii_case(beginning).then_some(rest)
}

/// `srv+http://NAME`, `srv+https://NAME` or `srv+h2c://NAME`.
fn service(
    (written, scheme, name): (&str, &str, &str),
    tls: bool,
) -> Result<WrittenAddress, String> {
    let (secure, protocol) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (false, None),
        "https" => (true, None),
        "h2c" => (false, Some(PoolProtocol::H2c)),
        _ => {
            return Err(format!(
                "{written:?} is a service of a scheme that is not spoken here; write srv+http://, \
                 srv+https:// or srv+h2c://"
            ));
        }
    };
    if tls && !secure {
        return Err(format!(
            "{written:?} is reached without TLS, but its pool has `tls`; write srv+https://, or \
             remove `tls`"
        ));
    }
    let name = name.strip_suffix('/').unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.contains(':') {
        return Err(format!(
            "{written:?} has a port; remove it, since the SRV records of a service have the ports"
        ));
    }
    if name.is_empty() || name.len() > 253 || !name.split('.').all(is_label) {
        return Err(format!(
            "{written:?} is not the name of a service; write for example \
             \"srv+http://_http._tcp.app.internal\""
        ));
    }
    Ok(WrittenAddress {
        text: name.to_ascii_lowercase(),
        kind: BackendKind::Srv,
        tls: secure,
        protocol,
    })
}

fn default_port(tls: bool) -> u16 {
    match tls {
        true => DEFAULT_TLS_PORT,
        false => DEFAULT_PORT,
    }
}

/// A backend's address: `host`, `host:port`, `ip`, `ip:port`, `v6` or `[v6]:port`, as `host:port`
/// with the default port filled in.
pub fn parse_backend(written: &str) -> Result<String, String> {
    address(written, DEFAULT_PORT)
}

/// Whether something can listen at this address. It may be this machine's.
pub fn can_be_reached(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// The error is a sentence.
fn reached(ip: IpAddr, written: &str) -> Result<(), String> {
    match can_be_reached(ip) {
        true => Ok(()),
        false => Err(format!(
            "{written:?} is no address where something can listen; write that of the backend, \
             such as \"127.0.0.1:8080\" for this machine"
        )),
    }
}

fn address(written: &str, default_port: u16) -> Result<String, String> {
    let text = written.trim();
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_http = scheme.eq_ignore_ascii_case("http");
        return Err(if is_http && address(authority, default_port).is_ok() {
            format!("{written:?} is a URL; write only the address: \"{authority}\"")
        } else if is_http {
            format!("{written:?} is a URL; write HOST:PORT, such as \"10.0.0.1:80\"")
        } else {
            format!(
                "{written:?} is a URL of a scheme that is not spoken here; write HOST:PORT, such \
                 as \"10.0.0.1:80\""
            )
        });
    }
    if let Some(sentence) = no_address(written) {
        return Err(sentence);
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        reached(address.into(), written)?;
        return Ok(format!("[{address}]:{default_port}"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port.map(str::parse::<u16>) {
        None => default_port,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => {
            return Err(format!(
                "{written:?} has no valid port; write HOST:PORT with a port from 1 to 65535"
            ));
        }
    };
    Ok(format!("{}:{port}", backend_host(host, written)?))
}

/// What to write in place of several addresses, of what other proxies have behind one, of a port
/// and of a socket.
fn no_address(written: &str) -> Option<String> {
    let text = written.trim();
    if text.contains(',') {
        return Some(format!(
            "{written:?} is more than an address; write a list, each address in quotes of its own: \
             [\"10.0.0.1:80\", \"10.0.0.2:80\"]"
        ));
    }
    if let Some((first, _)) = text
        .split_once(' ')
        .filter(|(first, _)| first.contains(':'))
    {
        return Some(format!(
            "{written:?} is more than an address; write what belongs to it in a table, such as \
             {{ address = {first:?}, weight = 2 }}"
        ));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && text.parse().is_ok_and(|port: u16| port > 0) {
        return Some(format!(
            "{written:?} is a port without a host; write for example \"127.0.0.1:{text}\""
        ));
    }
    if text.starts_with("unix:") {
        return Some(format!(
            "{written:?} is a Unix socket, and backends are reached by TCP only; have the backend \
             listen on an address, such as \"127.0.0.1:8080\""
        ));
    }
    None
}

fn backend_host(host: &str, written: &str) -> Result<String, String> {
    if host.contains(['[', ']', ':']) {
        let address = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .and_then(|v6| v6.parse::<Ipv6Addr>().ok());
        let message = || {
            format!(
                "{written:?} is not a valid IPv6 address with a port; write for example \
                 \"[2001:db8::1]:80\""
            )
        };
        let address = address.ok_or_else(message)?;
        reached(address.into(), written)?;
        return Ok(format!("[{address}]"));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() || name.len() > 253 || !name.split('.').all(is_label) {
        let advice = if host.contains('/') {
            "remove the path and "
        } else {
            ""
        };
        return Err(format!(
            "{written:?} is not a backend's address; {advice}write HOST:PORT, such as \
             \"10.0.0.1:80\" or \"app.internal:8000\""
        ));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        reached(address.into(), written)?;
    } else if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "{written:?} is not a valid IPv4 address; it has four numbers from 0 to 255"
        ));
    }
    Ok(name.to_ascii_lowercase())
}
