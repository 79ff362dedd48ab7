//! The fields that describe the client to a backend: `X-Forwarded-*`, `Forwarded` (RFC 7239), and
//! `Via` (RFC 9110 section 7.6.3) or `CDN-Loop` (RFC 8586).
//!
//! Such fields of a request count only if the connection comes from a trusted proxy; otherwise they
//! are replaced. The client is determined once ([`Told`]), and every field agrees with that.

mod told;

use std::net::{IpAddr, SocketAddr};

use rand::Rng;

pub(super) use self::told::Contradiction;
use self::told::{Told, Trust, UNKNOWN};
use crate::config;
use crate::message::names::{self, Claim, Owner};
use crate::message::{Fields, Notes, RequestHead, Scheme, Version, syntax};
use crate::net::ConnectionInfo;

/// What `[forwarded]` decides, ready for use. One for all workers.
#[derive(Debug)]
pub struct Forwarding {
    trust: Trust,
    /// Fields about the client that pass as they came, in lower case.
    allow: Vec<String>,
    /// This proxy's name on a request's way, by which it knows a request that comes back.
    id: String,
    /// A name that no other process has.
    own: String,
    /// The field that carries it.
    mark: &'static str,
    /// Its values for clients of each version.
    marks: [String; 3],
    /// The values for responses of backends of each version, with the line's end.
    response_via: [String; 3],
    /// What this proxy is called in a structured field.
    item: String,
}

impl Forwarding {
    /// Without a name of the operator's, one that no other process has.
    pub fn new(config: &config::Forwarded) -> Self {
        Self::of(config, format!("waypost-{:016x}", rand::rng().next_u64()))
    }

    /// The same process with another configuration.
    pub fn next(&self, config: &config::Forwarded) -> Self {
        Self::of(config, self.own.clone())
    }

    fn of(config: &config::Forwarded, own: String) -> Self {
        let (id, shown) = match &config.via {
            config::Via::Name(name) => (name.clone(), name.as_str()),
            config::Via::Off | config::Via::On => (own.clone(), "waypost"),
        };
        let (mark, marks) = match config.via {
            config::Via::Off => ("cdn-loop", Version::ALL.map(|_| id.clone())),
            _ => ("via", Version::ALL.map(|v| format!("{} {id}", v.number()))),
        };
        Self {
            trust: Trust {
                networks: config.trusted.networks.clone(),
                unix: config.trusted.unix,
                source: config.source,
            },
            allow: config.allow.clone(),
            mark,
            marks,
            response_via: Version::ALL.map(|v| format!("{} {shown}\r\n", v.number())),
            item: item(shown),
            id,
            own,
        }
    }

    /// Whether a request has passed this proxy before.
    pub fn has_passed(&self, head: &RequestHead, notes: Notes) -> bool {
        if !notes.via {
            return false;
        }
        let is_own = |name: &[u8]| name.eq_ignore_ascii_case(self.id.as_bytes());
        let first = |member: &[u8]| {
            is_own(syntax::trim(
                member.split(|b| *b == b';').next().unwrap_or_default(),
            ))
        };
        // `1.1 name (comment)`
        let received_by = |member: &[u8]| {
            member
                .split(|b| matches!(b, b' ' | b'\t'))
                .filter(|word| !word.is_empty())
                .nth(1)
                .is_some_and(is_own)
        };
        head.fields
            .values("cdn-loop")
            .flat_map(syntax::list)
            .any(first)
            || head
                .fields
                .values("via")
                .flat_map(syntax::list)
                .any(received_by)
    }

    /// Sets the forwarding fields of a request, and `head.client` and `head.scheme` from those of a
    /// trusted proxy.
    ///
    /// # Errors
    ///
    /// It said two things; `head.client` is the peer then.
    pub fn set_fields(
        &self,
        head: &mut RequestHead,
        notes: Notes,
        connection: &ConnectionInfo,
    ) -> Result<(), Contradiction> {
        let peer = connection.peer.ip();
        head.client = peer;
        head.scheme = connection.scheme();
        head.tls = connection.session().cloned();
        match notes.forwarding && self.trust.covers(peer) {
            false => {
                if notes.forwarding {
                    head.fields.retain(|name, _| self.claims(name).is_none());
                }
                write_own(head, connection);
            }
            true => {
                let told = Told::read(&self.trust, &head.fields, peer)?;
                let addressed = self.take_claims(&mut head.fields);
                told.write(head, peer, !connection.is_without_address());
                let client = head.client.to_string();
                for name in &addressed {
                    head.fields.append(name, client.as_bytes());
                }
            }
        }
        self.write_mark(head);
        Ok(())
    }

    /// Notes who the client of a forward proxy is: fields about it go on as they came, and it adds
    /// none.
    pub(super) fn mark(&self, head: &mut RequestHead, connection: &ConnectionInfo) {
        head.client = connection.peer.ip();
        head.scheme = Scheme::Http;
        head.tls = connection.session().cloned();
    }

    /// Writes the field by which this proxy knows a request that comes back.
    #[inline]
    pub(super) fn write_mark(&self, head: &mut RequestHead) {
        let mark = &self.marks[head.version.place()];
        head.fields.append_lowered(self.mark, &[mark.as_bytes()]);
    }

    /// Whether this peer is a proxy that speaks for its clients.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trust.covers(peer)
    }

    /// The value of the `via` of a response that came in this version, with the line's end.
    pub fn response_via(&self, version: Version) -> &str {
        &self.response_via[version.place()]
    }

    /// What this proxy is called in `Proxy-Status`.
    pub fn item(&self) -> &str {
        &self.item
    }

    /// The claim of a field about the client, unless the operator lets it pass.
    fn claims(&self, name: &[u8]) -> Option<Claim> {
        let Owner::Client(claim) = names::owned(name)?.owner else {
            return None;
        };
        let passes =
            !names::is_written(name) && self.allow.iter().any(|allowed| allowed.as_bytes() == name);
        (!passes).then_some(claim)
    }

    /// Removes a trusted proxy's fields that could contradict the decision, and returns the names
    /// of those that held the client's address.
    fn take_claims(&self, fields: &mut Fields) -> Vec<Vec<u8>> {
        let mut addressed: Vec<Vec<u8>> = Vec::new();
        fields.retain(|name, _| match self.claims(name) {
            None | Some(Claim::Vouched) => true,
            Some(Claim::Way) => false,
            Some(Claim::Address) => {
                if !names::is_written(name) {
                    addressed.push(name.to_vec());
                }
                false
            }
        });
        // `cf-connecting-*` is any number of names.
        addressed.sort_unstable();
        addressed.dedup();
        addressed
    }
}

/// A token of RFC 9651 section 3.3.4 where the name is one, which begins with a letter; else a
/// string of it.
fn item(name: &str) -> String {
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

/// The fields of a request whose client is the peer.
fn write_own(head: &mut RequestHead, connection: &ConnectionInfo) {
    let text = match connection.is_without_address() {
        true => UNKNOWN,
        false => connection.peer_text(),
    };
    let (text, scheme) = (text.as_bytes(), head.scheme.as_str().as_bytes());
    head.fields.append_lowered("x-forwarded-for", &[text]);
    head.fields.append_lowered("x-forwarded-proto", &[scheme]);
    // As in [`told`].
    let (begin, end): (&[u8], &[u8]) = match connection.peer {
        SocketAddr::V4(_) => (b"for=", b";proto="),
        SocketAddr::V6(_) => (b"for=\"[", b"]\";proto="),
    };
    let authority = head.authority.as_bytes();
    if authority.is_empty() {
        head.fields
            .append_lowered("forwarded", &[begin, text, end, scheme]);
        return;
    }
    head.fields.append_lowered("x-forwarded-host", &[authority]);
    let quote = quote(authority);
    head.fields.append_lowered(
        "forwarded",
        &[begin, text, end, scheme, b";host=", quote, authority, quote],
    );
}

/// A host with a port or brackets is not a token and has to be quoted; its characters need no
/// escape.
fn quote(authority: &[u8]) -> &'static [u8] {
    if syntax::is_token(authority) {
        b""
    } else {
        b"\""
    }
}

#[cfg(test)]
mod tests {
    use super::told::MAX_HOPS;
    use super::*;
    use crate::config::ForwardedSource;
    use crate::h1::{HeadLimits, parse_request};
    use crate::message::forwarded::{self, Element};

    const LIMITS: HeadLimits = HeadLimits {
        first_line: 256,
        bytes: 40_000,
        fields: 50,
    };

    fn forwarding(trusted: &[&str]) -> config::Forwarded {
        config::Forwarded {
            trusted: config::TrustedPeers {
                networks: trusted.iter().map(|t| t.parse().unwrap()).collect(),
                unix: false,
            },
            ..Default::default()
        }
    }

    fn head(fields: &str, peer: &str, config: &config::Forwarded) -> RequestHead {
        try_head(fields, peer, config).unwrap()
    }

    fn try_head(
        fields: &str,
        peer: &str,
        config: &config::Forwarded,
    ) -> Result<RequestHead, Contradiction> {
        let mut head = RequestHead::default();
        let text = format!("GET / HTTP/1.1\r\nHost: a.example:81\r\n{fields}\r\n");
        let meta = parse_request(&mut head, text.as_bytes(), LIMITS)
            .unwrap()
            .unwrap();
        let forwarding = Forwarding::new(config);
        forwarding.set_fields(
            &mut head,
            meta.notes,
            &ConnectionInfo::new(
                SocketAddr::new(peer.parse().unwrap(), 40_000),
                ([127, 0, 0, 1], 80).into(),
            ),
        )?;
        Ok(head)
    }

    fn values(head: &RequestHead, name: &str) -> Vec<String> {
        head.fields
            .values(name)
            .map(|v| String::from_utf8(v.to_vec()).unwrap())
            .collect()
    }

    /// Client, scheme, host as each of the fields says them to a backend.
    fn told(fields: &str) -> (String, String, String) {
        let head = head(
            fields,
            "10.0.0.1",
            &forwarding(&["10.0.0.0/8", "2001:db8:f::/48"]),
        );
        let client = head.client.to_string();
        let [list, scheme, host, forwarded] = [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "forwarded",
        ]
        .map(|name| {
            let values = values(&head, name);
            assert_eq!(values.len(), 1, "{name}: {values:?}");
            values[0].clone()
        });
        assert_eq!(list.split(", ").next(), Some(client.as_str()), "{fields}");
        assert_eq!(scheme, head.scheme.as_str(), "{fields}");
        let elements = forwarded::elements(forwarded.as_bytes()).unwrap();
        let Element {
            node,
            scheme: proto,
            host: named,
        } = elements[0].clone();
        assert_eq!(
            (node, proto, named.as_deref()),
            (Some(head.client), Some(head.scheme), Some(host.as_str()))
        );
        assert_eq!(elements.len(), list.split(", ").count());
        (client, scheme, host)
    }

    #[test]
    fn a_stranger_is_not_believed_in_any_spelling() {
        let names = [
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "Forwarded",
            "X-Forwarded-Host",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-Ssl",
            "X-Forwarded-Server",
            "X-Forwarded-Scheme",
            "X-Forwarded-Client-Cert",
            "X_Forwarded_For",
            "x.forwarded.for",
            "X-Real-IP",
            "X_Real_IP",
            "True-Client-IP",
            "X-Client-IP",
            "Client-IP",
            "CF-Connecting-IP",
            "Fastly-Client-IP",
            "X-Cluster-Client-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-Original-Host",
            "Proxy",
            "X-Envoy-External-Address",
            "X-SSL-Client-Verify",
            "SSL-Client-Cert",
            "Client-Cert",
            "WL-Proxy-Client-IP",
            "Fly-Client-IP",
            "X-Auth-Request-User",
            "Remote-Groups",
            "X-Originating-IP",
            "$WSRA",
            "X-ForwardedFor",
            "X-Amzn-Oidc-Data",
            "Tailscale-User-Login",
            "OIDC_CLAIM_sub",
        ];
        let mut fields: String = names
            .iter()
            .map(|name| format!("{name}: 6.6.6.6\r\n"))
            .collect();
        fields.push_str("X-HTTP-Method-Override: PUT\r\nX-Tenant: a\r\n");
        let head = head(&fields, "::ffff:192.0.2.1", &forwarding(&["10.0.0.0/8"]));
        assert_eq!(values(&head, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(values(&head, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&head, "x-forwarded-host"), ["a.example:81"]);
        assert_eq!(
            values(&head, "forwarded"),
            ["for=192.0.2.1;proto=http;host=\"a.example:81\""]
        );
        assert_eq!(head.client.to_string(), "192.0.2.1");
        assert_eq!(
            (
                head.fields.contains("x-http-method-override"),
                head.fields.contains("x-tenant")
            ),
            (true, true)
        );
        assert!(
            head.fields.iter().all(|(_, value)| value != b"6.6.6.6"),
            "{:?}",
            head.fields
        );
    }

    #[test]
    fn allowed_fields_pass_but_not_those_that_the_proxy_writes() {
        let allow = vec!["x-real-ip".to_owned(), "x-forwarded-for".to_owned()];
        let config = config::Forwarded {
            allow,
            ..Default::default()
        };
        let head = head(
            "X-Real-IP: 1.1.1.1\r\nX_Real_IP: 2.2.2.2\r\nX-Forwarded-For: 3.3.3.3\r\n",
            "192.0.2.1",
            &config,
        );
        assert_eq!(values(&head, "x-real-ip"), ["1.1.1.1"]);
        assert_eq!(values(&head, "x-forwarded-for"), ["192.0.2.1"]);
        assert!(!head.fields.contains("x_real_ip"));
    }

    #[test]
    fn a_trusted_proxy_is_believed_up_to_the_first_member_that_is_not_an_address() {
        for (fields, client) in [
            ("X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7"),
            ("X-Forwarded-For: 6.6.6.6, 192.0.2.7:5432", "192.0.2.7"),
            (
                "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: [2001:db8::7]:80,10.0.0.9:1",
                "2001:db8::7",
            ),
            ("X-Forwarded-For: 6.6.6.6, unknown", "10.0.0.1"),
            ("X-Forwarded-For: 6.6.6.6, _hidden, 10.0.0.9", "10.0.0.9"),
            ("X-Forwarded-For: 6.6.6.6, 010.0.0.9, 10.0.0.8", "10.0.0.8"),
            ("X-Forwarded-For: 10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("X-Forwarded-For: , ,", "10.0.0.1"),
            ("Forwarded: for=6.6.6.6, for=192.0.2.7", "192.0.2.7"),
            (
                "Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:80\", for=\"[2001:db8:f::1]\"",
                "2001:db8::7",
            ),
            ("Forwarded: for=6.6.6.6\r\nForwarded: for=_x", "10.0.0.1"),
            ("Forwarded: for=6.6.6.6;x=\", for=192.0.2.7", "10.0.0.1"),
            ("Forwarded: for=\"\r\nForwarded: for=192.0.2.7", "192.0.2.7"),
            (
                "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7",
                "192.0.2.7",
            ),
            (
                "X-Forwarded-Host: a\r\nForwarded: for=192.0.2.7",
                "192.0.2.7",
            ),
        ] {
            assert_eq!(told(&format!("{fields}\r\n")).0, client, "{fields}");
        }
    }

    #[test]
    fn a_trusted_proxy_says_one_address_and_what_only_it_can_know() {
        let fields = "X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 6.6.6.6\r\nx-real-ip: 7.7.7.7\r\nCF-Connecting-IP: 6.6.6.6\r\n\
            X-Forwarded-Ssl: on\r\nX-Scheme: https\r\nX-Original-URL: /admin\r\nX-Forwarded-Server: a\r\n\
            X-Auth-Request-User: ada\r\nX-SSL-Client-Verify: SUCCESS\r\nX-Forwarded-Prefix: /app\r\n";
        let config = forwarding(&["10.0.0.0/8"]);
        let told = head(fields, "10.0.0.1", &config);
        for (name, values_of) in [
            ("x-real-ip", &["192.0.2.7"][..]),
            ("cf-connecting-ip", &["192.0.2.7"]),
            ("x-auth-request-user", &["ada"]),
            ("x-ssl-client-verify", &["SUCCESS"]),
            ("x-forwarded-prefix", &["/app"]),
            ("x-forwarded-ssl", &[]),
            ("x-scheme", &[]),
            ("x-original-url", &[]),
            ("x-forwarded-server", &[]),
            ("x-client-ip", &[]),
        ] {
            assert_eq!(values(&told, name), values_of, "{name}");
        }
        let allow = vec!["x-real-ip".to_owned(), "x-scheme".to_owned()];
        let told = head(fields, "10.0.0.1", &config::Forwarded { allow, ..config });
        assert_eq!(values(&told, "x-real-ip"), ["6.6.6.6", "7.7.7.7"]);
        assert_eq!(values(&told, "x-scheme"), ["https"]);
        assert_eq!(values(&told, "cf-connecting-ip"), ["192.0.2.7"]);
    }

    #[test]
    fn scheme_and_host_are_one_fact_each() {
        for (fields, scheme, host) in [
            ("X-Forwarded-Proto: https", "https", "a.example:81"),
            (
                "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: front.test",
                "https",
                "front.test",
            ),
            ("X-Forwarded-Proto: https, http", "http", "a.example:81"),
            ("X-Forwarded-Proto: wss", "http", "a.example:81"),
            ("X-Forwarded-Host: b a d", "http", "a.example:81"),
            (
                "X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.7",
                "https",
                "a.example:81",
            ),
            (
                "Forwarded: for=192.0.2.7;proto=https;host=\"front.test:8443\"",
                "https",
                "front.test:8443",
            ),
            (
                "Forwarded: for=192.0.2.7;proto=https;host=a, for=10.0.0.9;proto=http;host=b",
                "https",
                "a",
            ),
            (
                "Forwarded: for=6.6.6.6;proto=https, for=192.0.2.7;proto=http",
                "http",
                "a.example:81",
            ),
            (
                "Forwarded: for=unknown;proto=https",
                "https",
                "a.example:81",
            ),
            ("Forwarded: proto=https", "https", "a.example:81"),
        ] {
            let (_, is, named) = told(&format!("{fields}\r\n"));
            assert_eq!((is.as_str(), named.as_str()), (scheme, host), "{fields}");
        }
    }

    /// An nginx writes `X-Forwarded-*` and passes a client's `Forwarded`; others do the reverse.
    #[test]
    fn two_families_that_contradict_each_other_are_refused_unless_the_operator_says_which_is_written()
     {
        let config = forwarding(&["10.0.0.0/8"]);
        for fields in [
            "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=6.6.6.6\r\n",
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: \
             for=6.6.6.6;proto=http;host=evil\r\n",
            "X-Forwarded-For: 192.0.2.7\r\nForwarded: host=evil.example\r\n",
            "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=unknown\r\n",
            "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=\"\r\n",
            "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7, for=6.6.6.6\r\n",
            "X-Forwarded-For: unknown\r\nForwarded: for=6.6.6.6\r\n",
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: \
             for=192.0.2.7;proto=http\r\n",
            "X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.7;proto=http\r\n",
            "X-Forwarded-Host: a\r\nForwarded: for=192.0.2.7;host=b\r\n",
        ] {
            assert_eq!(
                try_head(fields, "10.0.0.1", &config).err(),
                Some(Contradiction),
                "{fields}"
            );
            assert!(
                try_head(fields, "192.0.2.1", &config).is_ok(),
                "a stranger's are replaced"
            );
            for source in [ForwardedSource::XForwardedFor, ForwardedSource::Forwarded] {
                assert!(
                    try_head(
                        fields,
                        "10.0.0.1",
                        &config::Forwarded {
                            source,
                            ..config.clone()
                        }
                    )
                    .is_ok()
                );
            }
        }
    }

    #[test]
    fn a_client_can_not_remove_fields_about_itself_by_naming_them_in_connection() {
        let config = forwarding(&["10.0.0.0/8"]);
        let fields = "Connection: close, X-Forwarded-For, x-real-ip, X-SSL-Client-Verify, X-Tenant\r\n\
            X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\nX-SSL-Client-Verify: NONE\r\nX-Tenant: a\r\n";
        let told = head(fields, "10.0.0.1", &config);
        assert_eq!(told.client.to_string(), "192.0.2.7");
        assert_eq!(values(&told, "x-real-ip"), ["192.0.2.7"]);
        assert_eq!(values(&told, "x-ssl-client-verify"), ["NONE"]);
        assert!(!told.fields.contains("x-tenant") && !told.fields.contains("connection"));
        let stranger = head(fields, "192.0.2.1", &config);
        assert!(!stranger.fields.contains("x-ssl-client-verify"));
    }

    #[test]
    fn the_operator_can_say_which_field_the_proxies_in_front_write() {
        let both = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Port: 443\r\nForwarded: \
            for=192.0.2.8;proto=https\r\n";
        for (source, client, scheme) in [
            (ForwardedSource::XForwardedFor, "192.0.2.7", "http"),
            (ForwardedSource::Forwarded, "192.0.2.8", "https"),
        ] {
            let config = config::Forwarded {
                source,
                ..forwarding(&["10.0.0.0/8"])
            };
            let head = head(both, "10.0.0.1", &config);
            assert_eq!(
                (head.client.to_string().as_str(), head.scheme.as_str()),
                (client, scheme),
                "{source:?}"
            );
            assert_eq!(values(&head, "x-forwarded-port"), ["443"]);
        }
    }

    #[test]
    fn a_way_has_an_end() {
        let many = vec!["10.0.0.9"; 3000].join(",");
        let head = head(
            &format!("X-Forwarded-For: 6.6.6.6,{many}\r\n"),
            "10.0.0.1",
            &forwarding(&["10.0.0.0/8"]),
        );
        assert_eq!(
            values(&head, "x-forwarded-for")[0].split(", ").count(),
            MAX_HOPS + 1
        );
        assert_eq!(head.client.to_string(), "10.0.0.9");
    }

    #[test]
    fn a_request_that_has_passed_is_known_by_either_field() {
        let config = config::Forwarded {
            via: config::Via::Name("edge-1".to_owned()),
            ..Default::default()
        };
        let forwarding = Forwarding::new(&config);
        for (fields, passed) in [
            ("", false),
            ("Via: 1.1 edge-1\r\n", true),
            (
                "Via: 1.0 fred, 1.1 EDGE-1 (a comment), 1.1 p.example.net\r\n",
                true,
            ),
            ("Via: 1.1 edge-12, edge-1 1.1\r\n", false),
            ("CDN-Loop: other.example, edge-1; a=b\r\n", true),
            ("CDN-Loop: edge-1x; edge-1\r\n", false),
        ] {
            let mut head = RequestHead::default();
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let meta = parse_request(&mut head, text.as_bytes(), LIMITS)
                .unwrap()
                .unwrap();
            assert_eq!(forwarding.has_passed(&head, meta.notes), passed, "{fields}");
        }
    }

    #[test]
    fn the_mark_is_unlike_that_of_any_other_process() {
        for (via, field) in [(config::Via::Off, "cdn-loop"), (config::Via::On, "via")] {
            let config = config::Forwarded {
                via,
                ..Default::default()
            };
            let [one, two] = [(); 2].map(|()| values(&head("", "192.0.2.1", &config), field));
            assert_eq!((one.len(), two.len()), (1, 1));
            assert_ne!(one, two);
        }
    }

    #[test]
    fn the_mark_stays_the_same_in_one_process() {
        let named = |via| config::Forwarded {
            via,
            ..Default::default()
        };
        let first = Forwarding::new(&named(config::Via::Off));
        let second = first.next(&named(config::Via::Name("edge".to_owned())));
        let third = second.next(&named(config::Via::On));
        assert_eq!((second.id.as_str(), &third.id), ("edge", &first.id));
    }
}
