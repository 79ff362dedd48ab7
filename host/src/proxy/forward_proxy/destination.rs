//! Where a request wants to go, read so that nobody reads it otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::normalise_host;
use crate::message::{RequestHead, TargetForm};
use crate::proxy::refusal::ForwardRefusal;

/// The port of a URL of `http` that names none.
const HTTP: u16 = 80;

/// Where a request wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    /// The address, if that was written and not a name.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Destination {
    /// Reads it out of the head of a request whose target has this form. The host itself is
    /// `head.host`, of which policies read an address in one spelling from now on.
    pub(super) fn read(head: &mut RequestHead, form: TargetForm) -> Result<Self, ForwardRefusal> {
        let written = port(&head.authority);
        let port = match (form, written) {
            (TargetForm::Origin, _) => return Err(ForwardRefusal::NotToProxy),
            (TargetForm::Absolute { https: true }, _) => return Err(ForwardRefusal::Https),
            (TargetForm::Absolute { https: false }, "") => HTTP,
            (TargetForm::Authority, "") => return Err(ForwardRefusal::NoPort),
            (_, digits) => match digits.parse() {
                Ok(port @ 1..) => port,
                _ => return Err(ForwardRefusal::NoPort),
            },
        };
        let address = address(&head.host)?;
        // One of IPv4 may be written as one of IPv6 (RFC 4291 section 2.5.5.2).
        if let Some(IpAddr::V4(v4)) = address {
            head.host = v4.to_string();
        }
        Ok(Self { address, port })
    }
}

/// The digits behind the colon of an authority; none if there is no colon.
fn port(authority: &str) -> &str {
    let after = match authority.split_once(']') {
        Some((_, after)) => after.strip_prefix(':'),
        None => authority.split_once(':').map(|(_, after)| after),
    };
    after.unwrap_or_default()
}

/// The address that a host is; `None` if it is a name.
///
/// The C library would read `0x7f.1`, `017700000001` and `2130706433` as 127.0.0.1, and so would
/// some servers of names: what ends in a number is an address of four decimal parts here, or it is
/// refused.
fn address(host: &str) -> Result<Option<IpAddr>, ForwardRefusal> {
    if let Some(bracketed) = host.strip_prefix('[') {
        let v6 = bracketed
            .strip_suffix(']')
            .and_then(|v6| v6.parse::<Ipv6Addr>().ok());
        let v6 = v6.ok_or(ForwardRefusal::Host)?;
        return Ok(Some(IpAddr::V6(v6).to_canonical()));
    }
    if let Ok(v4) = host.parse::<Ipv4Addr>() {
        return Ok(Some(v4.into()));
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_hex = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let is_number = is_hex || last.bytes().all(|b| b.is_ascii_digit());
    match !is_number && normalise_host(host).is_some_and(|normal| normal == host) {
        true => Ok(None),
        false => Err(ForwardRefusal::Host),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    fn read(authority: &str, form: TargetForm) -> Result<(String, Destination), ForwardRefusal> {
        let mut head = RequestHead::default();
        // What is no authority never comes so far.
        if head.take_authority(authority).is_err() {
            head.authority.push_str(authority);
        }
        let destination = Destination::read(&mut head, form)?;
        Ok((head.host, destination))
    }

    fn connect(authority: &str) -> Result<(String, Destination), ForwardRefusal> {
        read(authority, TargetForm::Authority)
    }

    #[test]
    fn names_and_addresses_are_told_apart() {
        let name = |host: &str, port| {
            Ok((
                host.to_owned(),
                Destination {
                    address: None,
                    port,
                },
            ))
        };
        assert_eq!(
            connect("WWW.Example.com.:443"),
            name("www.example.com", 443)
        );
        assert_eq!(connect("0xcafe.example:1"), name("0xcafe.example", 1));
        assert_eq!(connect("1.2.3.com:1"), name("1.2.3.com", 1));
        let absolute = TargetForm::Absolute { https: false };
        assert_eq!(read("a_b.example", absolute), name("a_b.example", 80));
        assert_eq!(read("a:8080", absolute), name("a", 8080));
        let address = |text: &str| connect(text).unwrap().1.address.unwrap().to_string();
        assert_eq!(address("192.0.2.1:1"), "192.0.2.1");
        assert_eq!(address("192.0.2.1.:1"), "192.0.2.1");
        assert_eq!(address("[2001:DB8::1]:1"), "2001:db8::1");
        assert_eq!(address("[::ffff:127.0.0.1]:1"), "127.0.0.1");
        for mapped in ["[::ffff:127.0.0.1]:1", "[0:0:0:0:0:FFFF:7f00:1]:1"] {
            assert_eq!(connect(mapped).unwrap().0, "127.0.0.1");
        }
    }

    #[test]
    fn odd_spellings_are_refused() {
        for host in [
            "0x7f000001",
            "0x7f.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.0x1",
            "0x",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.1.1.1..",
            "a..b",
            "-a",
            "a.-b",
            "",
            ".",
            "a b",
            "a%2e",
            "[::1%25lo]",
            "[v1.a]",
        ] {
            let refused = connect(&format!("{host}:443"));
            assert_eq!(refused, Err(ForwardRefusal::Host), "{host}");
        }
        for authority in [
            "a", "a:", "a:0", "a:65536", "a:+1", "a:1x", "[::1]", "[::1]:",
        ] {
            assert!(connect(authority).is_err(), "{authority}");
        }
    }

    #[test]
    fn requests_for_servers_are_refused() {
        assert_eq!(
            read("a", TargetForm::Origin),
            Err(ForwardRefusal::NotToProxy)
        );
        let https = TargetForm::Absolute { https: true };
        assert_eq!(read("a", https), Err(ForwardRefusal::Https));
    }
}
