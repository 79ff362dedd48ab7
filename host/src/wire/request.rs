//! The head of a request after it was parsed and checked.

use std::net::{IpAddr, Ipv4Addr};

use http::Method;

use super::Fields;

/// The client's HTTP version; both speak the syntax of RFC 9112.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0: closes by default, knows neither chunked bodies nor 1xx.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// A request head. One per connection, reused for each request, so that its buffers stay warm.
#[derive(Debug)]
pub struct RequestHead {
    /// The method, case and all.
    pub method: Method,
    /// Path and query in origin form, such as `/a?b=c`, or `*`.
    pub target: String,
    /// Length of the path within `target`; a `?` follows if there is a query.
    pub path_len: usize,
    /// Host and port as the client gave them, for the upstream's `Host`. Empty if there was none (HTTP/1.0).
    pub authority: String,
    /// The host for matching: lower case, without port, without trailing dot.
    pub host: String,
    /// The client's version.
    pub version: Version,
    /// `http` or `https`: how the client reached the proxy.
    pub scheme: &'static str,
    /// The client: the connection's peer, or what a trusted proxy in front said.
    pub client: IpAddr,
    /// The header fields.
    pub fields: Fields,
}

impl RequestHead {
    /// The path without the query.
    pub fn path(&self) -> &str {
        &self.target[..self.path_len]
    }

    /// The query without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path_len + 1..)
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: String::new(),
            path_len: 0,
            authority: String::new(),
            host: String::new(),
            version: Version::Http11,
            scheme: "http",
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            fields: Fields::new(),
        }
    }
}
