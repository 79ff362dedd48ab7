//! The names of fields that mean something to the proxy itself, in one table.
//!
//! The codec drops by it, forwarding replaces by it, and policies may not write what is in it. Backends that hand fields
//! on as variables (CGI, WSGI, PHP, lighttpd) can't tell `x-forwarded-for` from `X_Forwarded_For` or `x.forwarded.for`, so
//! every character but a letter or a digit counts as `-` here.

/// What a field of a name is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Framing and this hop: it never crosses the proxy.
    Hop,
    /// Announces trailers. It crosses, and only the host says it.
    Trailer,
    /// Who the client is, how it came and what it asked for, as a proxy in front would say it.
    Client,
    /// Which proxies a message has passed.
    Trace,
    /// How far a request may go yet (`Max-Forwards`).
    Reach,
    /// Waypost's own.
    Waypost,
}

/// A name of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// What it is about.
    pub owner: Owner,
    /// The name only looks like the one in the table: `content_length`.
    pub look_alike: bool,
}

/// Whole names, or beginnings of names if they end in `*`.
type Names = &'static [(&'static [u8], Owner)];

use Owner::{Client, Hop, Reach, Trace, Trailer, Waypost};

const C: Names = &[
    (b"connection", Hop),
    (b"content-length", Hop),
    (b"cdn-loop", Trace),
    (b"cf-connecting-*", Client),
    (b"cf-pseudo-ipv4", Client),
    (b"cf-visitor", Client),
    (b"client-cert*", Client),
    (b"client-ip", Client),
    (b"cluster-client-ip", Client),
];
const D: Names = &[(b"do-connecting-ip", Client)];
const E: Names = &[(b"expect", Hop)];
const F: Names = &[
    (b"forwarded", Client),
    (b"forwarded-*", Client),
    (b"fastly-client*", Client),
    (b"fastly-ssl", Client),
    (b"front-end-https", Client),
];
const H: Names = &[(b"host", Hop)];
const K: Names = &[(b"keep-alive", Hop)];
const M: Names = &[(b"max-forwards", Reach)];
const P: Names = &[(b"proxy", Client), (b"proxy-*", Hop)];
const R: Names = &[(b"remote-addr", Client), (b"remote-user", Client)];
const S: Names = &[(b"ssl-client-*", Client)];
const T: Names = &[(b"te", Hop), (b"trailer", Trailer), (b"transfer-encoding", Hop), (b"true-client-*", Client)];
const U: Names = &[(b"upgrade", Hop)];
const V: Names = &[(b"via", Trace)];
const X: Names = &[
    (b"x-appengine-user-ip", Client),
    (b"x-arr-*", Client),
    (b"x-azure-clientip", Client),
    (b"x-azure-socketip", Client),
    (b"x-client-cert*", Client),
    (b"x-client-dn", Client),
    (b"x-client-ip", Client),
    (b"x-client-verify", Client),
    (b"x-cluster-client-ip", Client),
    (b"x-envoy-*", Client),
    (b"x-forwarded", Client),
    (b"x-forwarded-*", Client),
    (b"x-forwarder-*", Client),
    (b"x-host", Client),
    (b"x-http-destinationurl", Client),
    (b"x-http-host-override", Client),
    (b"x-nf-client-connection-ip", Client),
    (b"x-original-*", Client),
    (b"x-override-url", Client),
    (b"x-proxyuser-ip", Client),
    (b"x-real-*", Client),
    (b"x-remote-*", Client),
    (b"x-rewrite-*", Client),
    (b"x-scheme", Client),
    (b"x-ssl", Client),
    (b"x-ssl-*", Client),
    (b"x-true-client-ip", Client),
    (b"x-url-scheme", Client),
    (b"x-waypost-*", Waypost),
];

/// What this name means to the proxy, if it means anything. Letters may have any case.
#[inline]
pub fn owned(name: &[u8]) -> Option<Owned> {
    // By the first letter: most fields of a request are answered here.
    let names = match name.first()? | 0x20 {
        b'c' => C,
        b'd' => D,
        b'e' => E,
        b'f' => F,
        b'h' => H,
        b'k' => K,
        b'm' => M,
        b'p' => P,
        b'r' => R,
        b's' => S,
        b't' => T,
        b'u' => U,
        b'v' => V,
        b'x' => X,
        _ => return None,
    };
    let (_, owner) = names.iter().find(|(known, _)| is(name, known))?;
    Some(Owned { owner: *owner, look_alike: name.iter().any(|b| !b.is_ascii_alphanumeric() && *b != b'-') })
}

#[inline]
fn is(name: &[u8], known: &[u8]) -> bool {
    match known {
        [beginning @ .., b'*'] => name.get(..beginning.len()).is_some_and(|name| same(name, beginning)),
        _ => name.len() == known.len() && same(name, known),
    }
}

fn same(name: &[u8], known: &[u8]) -> bool {
    name.iter()
        .zip(known)
        .all(|(b, k)| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() == *k } else { *k == b'-' })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_table_is_found_in_any_case_and_spelling() {
        for (known, owner) in [C, D, E, F, H, K, M, P, R, S, T, U, V, X].concat() {
            let name = String::from_utf8(known.to_vec()).unwrap().replace('*', "anything");
            let found = Owned { owner, look_alike: false };
            assert_eq!(owned(name.as_bytes()), Some(found), "{name}");
            assert_eq!(owned(name.to_ascii_uppercase().as_bytes()), Some(found), "{name}");
            for other in ["_", ".", "~"] {
                let name = name.replace('-', other);
                let found = Owned { owner, look_alike: name.contains(other) };
                assert_eq!(owned(name.as_bytes()), Some(found), "{name}");
            }
        }
    }

    #[test]
    fn what_only_begins_or_ends_like_a_name_is_not_it() {
        for name in [
            "",
            "hosts",
            "x-te",
            "te-x",
            "expects",
            "vias",
            "upgrade-insecure-requests",
            "x-forwardedfor",
            "x-clientip",
            "x-client-version",
            "x-client-data",
            "x-request-id",
            "x-http-method-override",
            "content-type",
            "content-lengths",
            "cookie",
            "user-agent",
            "range",
            "accept",
            "x-waypost",
            "proxyx",
            "date",
            "x-requested-with",
            "trailers",
        ] {
            assert_eq!(owned(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn what_the_policies_here_take_for_the_hosts_is_in_the_table() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-policies");
        for file in [
            "sdk/src/request.rs",
            "header-router/src/settings.rs",
            "header-router-c/settings.c",
            "header-router-js/settings.js",
            "header-router-py/settings.py",
            "header-router-zig/settings.zig",
        ] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let middle = text.find("content-length").unwrap_or_else(|| panic!("{file}"));
            let start = text[..middle].rfind(['[', '{', '(']).unwrap();
            let end = middle + text[middle..].find([']', '}', ')']).unwrap();
            let names: Vec<&str> = text[start..end].split(['"', '\'']).skip(1).step_by(2).collect();
            assert!(names.len() >= 10, "{file}: {names:?}");
            for name in names {
                assert!(owned(name.as_bytes()).is_some_and(|found| !found.look_alike), "{file}: {name}");
            }
        }
    }
}
