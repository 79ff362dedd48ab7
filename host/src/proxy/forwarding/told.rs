//! What proxies in front said of a request, read from either family of fields and written to both.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::ForwardedSource;
use crate::message::forwarded::{self, Element};
use crate::message::{Fields, RequestHead, Scheme, syntax};

/// Trusted proxies that one request may have come through; a longer way is one that was made up.
pub(super) const MAX_HOPS: usize = 64;
/// A node without an address, in either family of fields.
pub(super) const UNKNOWN: &str = "unknown";

/// Which proxies are believed, and in which fields.
#[derive(Debug)]
pub(super) struct Trust {
    pub networks: Vec<IpNet>,
    /// Clients of Unix sockets, whose address is unspecified.
    pub unix: bool,
    pub source: ForwardedSource,
}

impl Trust {
    /// Whether this is the address of a trusted proxy.
    pub(in crate::proxy) fn covers(&self, address: IpAddr) -> bool {
        // The peer of a Unix socket has no address, whatever networks are trusted.
        if address.is_unspecified() {
            return self.unix;
        }
        self.networks.iter().any(|net| net.contains(&address))
    }
}

/// The two families of fields say different things. The proxy in front writes one of them and
/// passes the other on as the client sent it; the configuration does not say which. To believe
/// either lets a client choose, and to believe neither takes the proxy for the client.
#[derive(Debug, PartialEq, Eq)]
pub struct Contradiction;

/// What trusted proxies said of a request, as far as it is believed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The way of the request: the client first, then the trusted proxies up to the one before the
    /// peer. Empty if the peer is the last that is known.
    way: Vec<IpAddr>,
    scheme: Option<Scheme>,
    host: Option<String>,
    port: Option<u16>,
}

impl Told {
    pub(in crate::proxy) fn read(
        trust: &Trust,
        fields: &Fields,
        peer: IpAddr,
    ) -> Result<Self, Contradiction> {
        let has = |name: &str| fields.contains(name);
        let de_facto =
            has("x-forwarded-for") || has("x-forwarded-proto") || has("x-forwarded-host");
        let (use_de_facto, use_standard) = match trust.source {
            ForwardedSource::Any => (de_facto, has("forwarded")),
            ForwardedSource::XForwardedFor => (true, false),
            ForwardedSource::Forwarded => (false, true),
        };
        let mut told = match (use_de_facto, use_standard) {
            (true, false) => Self::by_x_forwarded(trust, fields, peer),
            (false, _) => Self::by_forwarded(trust, fields, peer),
            (true, true) => {
                let named = has("x-forwarded-for");
                let ours = Self::by_x_forwarded(trust, fields, peer);
                ours.agreed(Self::by_forwarded(trust, fields, peer), named)?
            }
        };
        told.port = fields
            .values("x-forwarded-port")
            .last()
            .and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
        Ok(told)
    }

    fn by_x_forwarded(trust: &Trust, fields: &Fields, peer: IpAddr) -> Self {
        // Members are added at the end, so the nearest comes last.
        let lists: Vec<&[u8]> = fields.values("x-forwarded-for").collect();
        let members = lists
            .iter()
            .rev()
            .flat_map(|list| list.rsplit(|b| *b == b','));
        let nodes = members
            .map(syntax::trim)
            .filter(|m| !m.is_empty())
            .map(forwarded::node);
        // The peer itself has added the last member of a list.
        let last = |name| {
            fields
                .values(name)
                .last()
                .and_then(|value| syntax::list(value).last())
        };
        Self {
            way: way(trust, nodes, peer).0,
            scheme: last("x-forwarded-proto").and_then(Scheme::parse),
            host: last("x-forwarded-host")
                .and_then(forwarded::host)
                .map(str::to_owned),
            port: None,
        }
    }

    fn by_forwarded(trust: &Trust, fields: &Fields, peer: IpAddr) -> Self {
        let mut elements: Vec<Element> = Vec::new();
        let lists: Vec<&[u8]> = fields.values("forwarded").collect();
        for list in lists.iter().rev() {
            // Members before an unreadable field are as unreliable as that field.
            let Some(more) = forwarded::elements(list) else {
                break;
            };
            elements.extend(more.into_iter().rev());
        }
        let (way, looked_at) = way(trust, elements.iter().map(|e| e.node), peer);
        // The element where the way ends was added by the last of the trusted: it says how the
        // client came to it.
        match looked_at
            .checked_sub(1)
            .and_then(|at| elements.into_iter().nth(at))
        {
            Some(element) => Self {
                way,
                scheme: element.scheme,
                host: element.host,
                port: None,
            },
            None => Self {
                way,
                ..Self::default()
            },
        }
    }

    fn agreed(self, other: Self, way_was_named: bool) -> Result<Self, Contradiction> {
        fn one<T: PartialEq>(a: Option<T>, b: Option<T>) -> Result<Option<T>, Contradiction> {
            match (&a, &b) {
                (Some(one), Some(other)) if one != other => Err(Contradiction),
                _ => Ok(a.or(b)),
            }
        }
        if way_was_named && self.way.first() != other.way.first() {
            return Err(Contradiction);
        }
        let way = if way_was_named { self.way } else { other.way };
        Ok(Self {
            way,
            scheme: one(self.scheme, other.scheme)?,
            host: one(self.host, other.host)?,
            port: None,
        })
    }

    /// Makes the head, and every field, say this. A peer without an address is `unknown` (RFC 7239
    /// section 6.2).
    pub(in crate::proxy) fn write(self, head: &mut RequestHead, peer: IpAddr, has_address: bool) {
        let Self {
            way,
            scheme,
            host,
            port,
        } = self;
        head.client = way.first().copied().unwrap_or(peer);
        head.scheme = scheme.unwrap_or(head.scheme);
        let host = host.unwrap_or_else(|| head.authority.clone());
        let (mut list, mut forwarded) = (String::new(), String::new());
        let peer = has_address.then_some(peer);
        let nodes = way.into_iter().map(Some).chain([peer]).map(Node);
        for (at, node) in nodes.enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            // Writing to a string does not fail.
            let _ = write!(list, "{comma}{node}");
            let _ = write!(forwarded, "{comma}for={node:#}");
            if at == 0 {
                let _ = write!(forwarded, ";proto={}", head.scheme);
                if !host.is_empty() {
                    let quote = match syntax::is_token(host.as_bytes()) {
                        true => "",
                        false => "\"",
                    };
                    let _ = write!(forwarded, ";host={quote}{host}{quote}");
                }
            }
        }
        head.fields.append(b"x-forwarded-for", list.as_bytes());
        head.fields
            .append(b"x-forwarded-proto", head.scheme.as_str().as_bytes());
        if !host.is_empty() {
            head.fields.append(b"x-forwarded-host", host.as_bytes());
        }
        if let Some(port) = port {
            head.fields
                .append(b"x-forwarded-port", port.to_string().as_bytes());
        }
        head.fields.append(b"forwarded", forwarded.as_bytes());
    }
}

/// The way of a request by what proxies said, the nearest first, and how many of them were looked
/// at.
///
/// The walk continues as long as the reporting hop is trusted, and ends at a member that is not an
/// address: any client may have written the members before it.
fn way(
    trust: &Trust,
    nodes: impl Iterator<Item = Option<IpAddr>>,
    peer: IpAddr,
) -> (Vec<IpAddr>, usize) {
    let (mut way, mut looked_at, mut speaker) = (Vec::new(), 0, peer);
    for node in nodes.take(MAX_HOPS) {
        if !trust.covers(speaker) {
            break;
        }
        looked_at += 1;
        let Some(node) = node else { break };
        way.push(node);
        speaker = node;
    }
    way.reverse();
    (way, looked_at)
}

/// A member of a list: plain as `X-Forwarded-For` has it, in its alternate form as `Forwarded` does
/// (RFC 7239 section 6).
struct Node(Option<IpAddr>);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(UNKNOWN),
            Some(IpAddr::V6(v6)) if f.alternate() => write!(f, "\"[{v6}]\""),
            Some(address) => write!(f, "{address}"),
        }
    }
}
