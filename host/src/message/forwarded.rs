//! What proxies in front say about a request's way: `Forwarded` (RFC 7239) and the members of
//! `X-Forwarded-For`.

use std::net::{IpAddr, Ipv6Addr};

use super::{Scheme, syntax};

/// What one proxy said: an element of `Forwarded`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The node that connected to it; `None` if it named none, or none that is an address
    /// (`unknown`, `_hidden`).
    pub node: Option<IpAddr>,
    /// How that node connected.
    pub scheme: Option<Scheme>,
    /// The host that it asked for, with its port.
    pub host: Option<String>,
}

/// The address of a node: IPv4 or IPv6, with or without a port, IPv6 with or without brackets. An
/// IPv4 address that is mapped into IPv6 is the IPv4 address.
pub fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            port.strip_prefix(':')
                .map_or(port.is_empty(), is_port)
                .then_some(())?;
            address.parse::<Ipv6Addr>().ok()?.into()
        }
        None => match text.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => {
                let (address, port) = text.split_once(':').filter(|(_, port)| is_port(port))?;
                debug_assert!(!port.is_empty());
                IpAddr::V4(address.parse().ok()?)
            }
        },
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

/// A host and perhaps a port.
pub fn host(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    syntax::host_of_authority(text).map(|_| text)
}

/// The elements of a `Forwarded` field in the order in which they were added; `None` if it is not
/// one.
///
/// It is read as a whole or not at all: a quote that a client left open would swallow the elements
/// that proxies added behind it.
pub fn elements(value: &[u8]) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    let mut rest = value;
    loop {
        let mut element = Element::default();
        let mut seen = [false; 3];
        let mut pairs = 0;
        loop {
            rest = skip_space(rest);
            if !matches!(rest.first(), None | Some(b',' | b';')) {
                rest = pair(rest, &mut element, &mut seen)?;
                pairs += 1;
            }
            rest = skip_space(rest);
            match rest.split_first() {
                Some((b';', after)) => rest = after,
                _ => break,
            }
        }
        // RFC 9110 section 5.6.1: empty members count for nothing.
        if pairs > 0 {
            elements.push(element);
        }
        match rest.split_first() {
            None => return Some(elements),
            Some((b',', after)) => rest = after,
            Some(_) => return None,
        }
    }
}

/// `token "=" ( token / quoted-string )`, and what follows it.
fn pair<'a>(text: &'a [u8], element: &mut Element, seen: &mut [bool; 3]) -> Option<&'a [u8]> {
    let equals = memchr::memchr(b'=', text)?;
    let (name, after) = (&text[..equals], &text[equals + 1..]);
    if !syntax::is_token(name) {
        return None;
    }
    let mut unquoted = Vec::new();
    let (value, rest) = match after.split_first() {
        Some((b'"', quoted)) => {
            let rest = unquote(quoted, &mut unquoted)?;
            (unquoted.as_slice(), rest)
        }
        _ => {
            // Many proxies leave out the quotes that an address with a colon needs.
            let bare = |b: &u8| syntax::is_token(&[*b]) || matches!(b, b':' | b'[' | b']');
            let end = after.iter().position(|b| !bare(b)).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            after.split_at(end)
        }
    };
    let known: [&[u8]; 3] = [b"for", b"proto", b"host"];
    if let Some(which) = known
        .iter()
        .position(|known| name.eq_ignore_ascii_case(known))
    {
        // RFC 7239 section 4: each parameter once.
        if std::mem::replace(&mut seen[which], true) {
            return None;
        }
        match which {
            0 => element.node = node(value),
            1 => element.scheme = Scheme::parse(value),
            _ => element.host = host(value).map(str::to_owned),
        }
    }
    Some(rest)
}

/// The content of a quoted string (RFC 9110 section 5.6.4), and what follows it.
fn unquote<'a>(mut text: &'a [u8], content: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] => {
                content.push(*escaped);
                rest
            }
            [b, rest @ ..] => {
                content.push(*b);
                rest
            }
            [] => return None,
        };
    }
}

fn skip_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        for (text, address) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:5432", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8::1]:80", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ] {
            assert_eq!(
                node(text.as_bytes()).map(|a| a.to_string()).as_deref(),
                Some(address),
                "{text}"
            );
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.7:",
            "192.0.2.7:70000",
            "192.0.2.7:+1",
            "010.0.0.1",
            "[192.0.2.7]",
            "[2001:db8::1",
            "[2001:db8::1]80",
            "[2001:db8::1]:",
            "fe80::1%eth0",
            "192.0.2.7 ",
            "\"192.0.2.7\"",
            "a.example",
            "192.0.2.7:_port",
            "0x7f.1",
            "2130706433",
        ] {
            assert_eq!(node(text.as_bytes()), None, "{text}");
        }
    }

    fn element(node: &str, scheme: Option<Scheme>, host: Option<&str>) -> Element {
        Element {
            node: node.parse().ok(),
            scheme,
            host: host.map(str::to_owned),
        }
    }

    #[test]
    fn elements_of_forwarded() {
        for (value, expected) in [
            ("for=192.0.2.7", vec![element("192.0.2.7", None, None)]),
            (
                "For=\"[2001:db8::1]:4711\";PROTO=https ; host=\"a.example:81\", for=10.0.0.1",
                vec![
                    element("2001:db8::1", Some(Scheme::Https), Some("a.example:81")),
                    element("10.0.0.1", None, None),
                ],
            ),
            (
                "for=192.0.2.7:80;by=_x;ext=\"a,b;c\\\"d\"",
                vec![element("192.0.2.7", None, None)],
            ),
            (
                "for=unknown;proto=ftp;host=\"a b\"",
                vec![element("", None, None)],
            ),
            (
                ", ;, for=\"1.2.3.4\";",
                vec![element("1.2.3.4", None, None)],
            ),
            ("", vec![]),
        ] {
            assert_eq!(elements(value.as_bytes()), Some(expected), "{value}");
        }
    }

    #[test]
    fn an_invalid_forwarded_field_is_not_read_in_part() {
        for value in [
            "for=\"192.0.2.7",
            "for",
            "for=",
            "=1.2.3.4",
            "for=1.2.3.4;for=5.6.7.8",
            "for=1.2.3.4 proto=http",
            "for=\"a\\",
            "for=6.6.6.6, x=\", for=192.0.2.7",
            "for=6.6.6.6;x=\", for=\"[2001:db8::1]\"",
            "f or=1.2.3.4",
            "for = 1.2.3.4",
            "for=\"1.2.3.4\"x",
        ] {
            assert_eq!(elements(value.as_bytes()), None, "{value}");
        }
    }
}
