//! What a backend is told about the client: `X-Forwarded-*`, `Forwarded` (RFC 7239) and `Via` (RFC 9110 section 7.6.3).
//!
//! What a client says of itself counts only if the connection comes from a trusted proxy; else it is replaced.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::wire::{Control, RequestHead, Version, syntax};

/// The peer of a connection, in the forms that the fields want; made once per connection.
#[derive(Debug)]
pub struct Peer {
    /// The address.
    pub address: IpAddr,
    /// As in `X-Forwarded-For` and in logs.
    pub text: String,
    /// As in `Forwarded`: IPv6 in brackets and quotes.
    node: String,
    trusted: bool,
}

impl Peer {
    /// The peer of a new connection.
    pub fn new(address: IpAddr, trusted_proxies: &[IpNet]) -> Self {
        // A dual-stack listener shows IPv4 clients as mapped addresses.
        let address = address.to_canonical();
        let node = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("\"[{v6}]\""),
        };
        Self { address, text: address.to_string(), node, trusted: is_trusted(address, trusted_proxies) }
    }
}

/// Sets the forwarding fields of a request, and `head.client` and `head.scheme` by what a trusted proxy said.
pub fn set_fields(head: &mut RequestHead, control: Control, peer: &Peer, trusted_proxies: &[IpNet]) {
    head.client = peer.address;
    head.scheme = "http";
    if control.forwarding {
        if peer.trusted {
            believe(head, trusted_proxies);
        } else {
            head.fields.retain(|name, _| !is_forwarding(name));
        }
    }
    append_for(head, control, peer);
    append_proto_and_host(head);
    append_forwarded(head, peer);
    let via: &[u8] = if head.version == Version::Http10 { b"1.0 waypost" } else { b"1.1 waypost" };
    head.fields.append(b"via", via);
}

fn is_forwarding(name: &[u8]) -> bool {
    matches!(name, b"forwarded" | b"x-forwarded-for" | b"x-forwarded-proto" | b"x-forwarded-host")
}

fn is_trusted(address: IpAddr, trusted_proxies: &[IpNet]) -> bool {
    trusted_proxies.iter().any(|net| net.contains(&address))
}

/// The client is the nearest address in the list that is not itself a trusted proxy.
fn believe(head: &mut RequestHead, trusted_proxies: &[IpNet]) {
    let listed: Vec<IpAddr> = head
        .fields
        .values("x-forwarded-for")
        .flat_map(syntax::list)
        .filter_map(|m| std::str::from_utf8(m).ok()?.parse::<IpAddr>().ok())
        .map(|a| a.to_canonical())
        .collect();
    let untrusted = listed.iter().rev().find(|a| !is_trusted(**a, trusted_proxies));
    if let Some(client) = untrusted.or(listed.first()) {
        head.client = *client;
    }
    if head.fields.first("x-forwarded-proto").is_some_and(|p| p.eq_ignore_ascii_case(b"https")) {
        head.scheme = "https";
    }
}

fn append_for(head: &mut RequestHead, control: Control, peer: &Peer) {
    if !(control.forwarding && head.fields.contains("x-forwarded-for")) {
        head.fields.append(b"x-forwarded-for", peer.text.as_bytes());
        return;
    }
    let mut list = head.fields.values("x-forwarded-for").collect::<Vec<_>>().join(&b", "[..]);
    list.extend_from_slice(b", ");
    list.extend_from_slice(peer.text.as_bytes());
    head.fields.set(b"x-forwarded-for", &list);
}

fn append_proto_and_host(head: &mut RequestHead) {
    if !head.fields.contains("x-forwarded-proto") {
        head.fields.append(b"x-forwarded-proto", head.scheme.as_bytes());
    }
    if !head.authority.is_empty() && !head.fields.contains("x-forwarded-host") {
        head.fields.append(b"x-forwarded-host", head.authority.as_bytes());
    }
}

fn append_forwarded(head: &mut RequestHead, peer: &Peer) {
    let (node, authority) = (peer.node.as_bytes(), head.authority.as_bytes());
    // A host with a port or brackets is not a token and has to be quoted; its characters need no escape.
    let quote: &[u8] = if syntax::is_token(authority) { b"" } else { b"\"" };
    if authority.is_empty() {
        head.fields.append_parts(b"forwarded", &[b"for=", node, b";proto=http"]);
    } else {
        head.fields.append_parts(b"forwarded", &[b"for=", node, b";host=", quote, authority, quote, b";proto=http"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HeadLimits;

    const LIMITS: HeadLimits = HeadLimits { first_line: 256, bytes: 4096, fields: 50 };

    fn forwarded(fields: &str, peer: &str, trusted: &[&str]) -> RequestHead {
        let trusted: Vec<IpNet> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        let mut head = RequestHead::default();
        let text = format!("GET / HTTP/1.1\r\nHost: a.example:81\r\n{fields}\r\n");
        let meta = head.parse(text.as_bytes(), LIMITS).unwrap().unwrap();
        set_fields(&mut head, meta.control, &Peer::new(peer.parse().unwrap(), &trusted), &trusted);
        head
    }

    fn values(head: &RequestHead, name: &str) -> Vec<String> {
        head.fields.values(name).map(|v| String::from_utf8(v.to_vec()).unwrap()).collect()
    }

    #[test]
    fn an_untrusted_client_is_not_believed() {
        let head = forwarded(
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Host: evil\r\n",
            "::ffff:192.0.2.1",
            &["10.0.0.0/8"],
        );
        assert_eq!(values(&head, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(values(&head, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&head, "x-forwarded-host"), ["a.example:81"]);
        assert_eq!(values(&head, "forwarded"), ["for=192.0.2.1;host=\"a.example:81\";proto=http"]);
        assert_eq!(values(&head, "via"), ["1.1 waypost"]);
        assert_eq!(head.client.to_string(), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_continued() {
        let head = forwarded(
            "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.7\r\n",
            "10.0.0.1",
            &["10.0.0.0/8"],
        );
        assert_eq!(values(&head, "x-forwarded-for"), ["6.6.6.6, 192.0.2.7, 10.0.0.9, 10.0.0.1"]);
        assert_eq!((head.client.to_string().as_str(), head.scheme), ("192.0.2.7", "https"));
        assert_eq!(values(&head, "forwarded"), ["for=192.0.2.7", "for=10.0.0.1;host=\"a.example:81\";proto=http"]);
    }
}
