//! The head of a request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use memchr::memchr;

use super::path::{self, PathNotes};
use super::{Fields, Malformed, Scheme, TlsSession, TraceContext, Upgrade, Version, syntax};

/// A request head. One per connection, reused for each request, so that its buffers stay warm.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method, case and all.
    pub method: Method,
    /// Path and query in origin form, such as `/a?b=c`, or `*`.
    pub target: String,
    /// Length of the path within `target`; a `?` follows if there is a query.
    pub path_len: usize,
    /// The path in normal form; empty if it is as it was received.
    pub normal_path: String,
    /// Constructs in the path that servers read differently.
    pub path_notes: PathNotes,
    /// Whether a backend gets the normal form.
    pub forward_normal: bool,
    /// Host and port as the client gave them, for the upstream's `Host`. Empty if there was none
    /// (HTTP/1.0).
    pub authority: String,
    /// The host for matching: lower case, without port, without trailing dot.
    pub host: String,
    /// The client's version.
    pub version: Version,
    /// How the client reached the proxy, or the trusted proxy in front of it. The proxy sets it;
    /// no codec knows it.
    pub scheme: Scheme,
    /// The client: the connection's peer, or the address that a trusted proxy in front reported.
    /// The proxy sets it; before that it is the unspecified address.
    pub client: IpAddr,
    /// The TLS session of the connection that it came by; `None` if that is not encrypted. The
    /// proxy sets it.
    pub tls: Option<Arc<TlsSession>>,
    /// Until when the client waits for the answer, if it says so. The proxy sets it.
    pub deadline: Option<Instant>,
    /// What it is called in logs and for backends; empty if nothing wants to know. The proxy sets
    /// it.
    pub id: String,
    /// Its span, if it belongs to a trace. The proxy sets it.
    pub trace: Option<TraceContext>,
    /// The header fields.
    pub fields: Fields,
    /// The protocols that the client offers to change to. The proxy keeps those that the route
    /// allows.
    pub upgrade: Upgrade,
    /// What its route has decided; `None` for most routes.
    pub by_route: Option<Box<ByRoute>>,
}

/// What a route has decided about a request beside its pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByRoute {
    /// The path and the query that a backend gets; empty for the client's.
    pub target: String,
    /// The host that a backend gets; empty for the client's.
    pub authority: String,
    /// Whether that is the backend's own, which is set when it is chosen.
    pub names_backend: bool,
    /// The origin whose scripts may read the answer.
    pub reader: Option<Box<[u8]>>,
    /// The name of the pool, where fields say it.
    pub pool: Option<Box<str>>,
}

impl RequestHead {
    /// Clears the previous request and keeps the buffers.
    pub fn clear(&mut self) {
        self.target.clear();
        self.authority.clear();
        self.host.clear();
        self.fields.clear();
        self.upgrade.clear();
        self.path_len = 0;
        self.normal_path.clear();
        self.path_notes = PathNotes::default();
        self.forward_normal = false;
        self.client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.tls = None;
        self.deadline = None;
        self.id.clear();
        self.trace = None;
        self.by_route = None;
    }

    /// The path in normal form, without the query: routes and policies match this one
    /// ([`super::path`]).
    pub fn path(&self) -> &str {
        if self.normal_path.is_empty() {
            self.raw_path()
        } else {
            &self.normal_path
        }
    }

    /// The path as it was received.
    pub fn raw_path(&self) -> &str {
        &self.target[..self.path_len]
    }

    /// The path that a backend gets.
    pub fn forwarded_path(&self) -> &str {
        if self.forward_normal {
            self.path()
        } else {
            self.raw_path()
        }
    }

    /// The path that a backend gets, and the query with its `?`.
    #[inline]
    pub fn forwarded_target(&self) -> (&str, &str) {
        match &self.by_route {
            Some(by_route) if !by_route.target.is_empty() => (&by_route.target, ""),
            _ => (self.forwarded_path(), &self.target[self.path_len..]),
        }
    }

    /// The host that a backend gets; `host` if the client named none.
    #[inline]
    pub fn forwarded_authority<'a>(&'a self, host: &'a str) -> &'a str {
        match &self.by_route {
            Some(by_route) if !by_route.authority.is_empty() => &by_route.authority,
            _ if self.authority.is_empty() => host,
            _ => &self.authority,
        }
    }

    /// Makes the host that a backend gets its own, if the route says so.
    #[inline]
    pub fn name_backend(&mut self, authority: impl FnOnce() -> String) {
        if let Some(by_route) = &mut self.by_route
            && by_route.names_backend
        {
            by_route.authority = authority();
        }
    }

    /// The method that a browser asks for by a preflight (Fetch section 3.2.2); `None` if it is
    /// none.
    pub fn preflight_for(&self) -> Option<&[u8]> {
        let asks = self.method == Method::OPTIONS && self.fields.contains("origin");
        asks.then(|| self.fields.first("access-control-request-method"))?
    }

    /// The query without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path_len + 1..)
    }

    /// Sets the path and the query, if there is one.
    pub fn set_target(&mut self, target: &str) {
        self.target.clear();
        self.target.push_str(target);
        self.path_len = memchr(b'?', target.as_bytes()).unwrap_or(target.len());
        self.path_notes = path::normalise(&target[..self.path_len], &mut self.normal_path);
    }

    /// Takes a path with its query, or the `*` of an `OPTIONS` request; false if the target is of
    /// another form.
    ///
    /// # Errors
    ///
    /// Another method has no `*`.
    pub fn take_path(&mut self, target: &str) -> Result<bool, Malformed> {
        match (target.starts_with('/'), target == "*") {
            (false, false) => return Ok(false),
            (false, true) if self.method != Method::OPTIONS => return Err(Malformed::Target),
            _ => self.set_target(target),
        }
        Ok(true)
    }

    /// Takes the server that the request is for.
    ///
    /// # Errors
    ///
    /// It names none, or not as RFC 9110 section 7.2 has it.
    pub fn take_authority(&mut self, named: &str) -> Result<(), Malformed> {
        take_authority(named, &mut self.authority, &mut self.host)
    }
}

/// Takes the server that a request is for: `authority` as it is named, and `host` in normal form.
/// Both are empty before.
///
/// # Errors
///
/// [`Malformed::Host`]
#[inline]
pub fn take_authority(
    named: &str,
    authority: &mut String,
    host: &mut String,
) -> Result<(), Malformed> {
    let name = syntax::host_of_authority(named).ok_or(Malformed::Host)?;
    if name.starts_with('[') {
        // One IPv6 address has many spellings; routes are written in the canonical one.
        let address = name[1..name.len() - 1].parse::<Ipv6Addr>();
        let address = address.map_err(|_| Malformed::Host)?;
        *host = format!("[{address}]");
        authority.push_str(named);
        return Ok(());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(Malformed::Host);
    }
    authority.push_str(named);
    host.push_str(name);
    host.make_ascii_lowercase();
    Ok(())
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: String::new(),
            path_len: 0,
            normal_path: String::new(),
            path_notes: PathNotes::default(),
            forward_normal: false,
            authority: String::new(),
            host: String::new(),
            version: Version::Http11,
            scheme: Scheme::Http,
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            tls: None,
            deadline: None,
            id: String::new(),
            trace: None,
            fields: Fields::new(),
            upgrade: Upgrade::default(),
            by_route: None,
        }
    }
}
