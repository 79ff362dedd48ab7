//! Where a request goes: its pool, what the backend is asked for, and the destinations of a forward
//! proxy.

use std::fmt;

use crate::{Response, contract::types};

/// What [`Route`](crate::Route) and [`DecideDestination`](crate::DecideDestination) answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum PoolDecision {
    /// This one, by its index in [`Request::pools`](crate::Request::pools), which
    /// [`Request::pool_index`](crate::Request::pool_index) finds. An index that the list does not
    /// have is an invalid answer.
    Pool(u32),
    /// The next policy decides, and after the last the host: by the weights of the route's pools,
    /// or by the rules of the forward proxy.
    Pass,
    /// The client gets this response.
    Answer(Response),
}

impl From<Option<u32>> for PoolDecision {
    #[inline]
    fn from(index: Option<u32>) -> Self {
        index.map_or(PoolDecision::Pass, PoolDecision::Pool)
    }
}

impl From<Response> for PoolDecision {
    #[inline]
    fn from(response: Response) -> Self {
        PoolDecision::Answer(response)
    }
}

/// Where a client of the forward proxy wants to go. The host is
/// [`Request::host`](crate::Request::host).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// That of the URL, or of the `CONNECT`.
    pub port: u16,
    /// The user who has signed in; `None` if the proxy asks nobody to.
    pub user: Option<String>,
}

/// What has made a response that is no backend's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseSource {
    /// The proxy: it refused the request, or no backend has answered.
    Proxy,
    /// A policy.
    Policy,
}

/// What the backend will be asked for, in [`EditTarget`](crate::EditTarget): with the route's own
/// changes and the edits of the policies before.
///
/// A policy may edit what the route allows (`policies-may-edit`), and write nothing that servers
/// could read in two ways.
#[derive(Debug)]
pub struct Target<'a> {
    told: &'a types::Target,
}

impl<'a> Target<'a> {
    #[doc(hidden)]
    #[inline]
    pub fn of(told: &'a types::Target) -> Self {
        Target { told }
    }

    /// The path, in normal form if the route or a policy has changed it; `*` for `OPTIONS *`.
    #[inline]
    pub fn path(&self) -> String {
        self.told.path()
    }

    /// The query without its `?`; `None` if there is none.
    #[inline]
    pub fn query(&self) -> Option<String> {
        self.told.query()
    }

    /// The host, with its port if it has one.
    #[inline]
    pub fn host(&self) -> String {
        self.told.host()
    }

    /// Replaces the path: it starts with `/` and is in normal form, as
    /// [`Request::path`](crate::Request::path) is, without `%2F`, `\`, `;` and their like.
    #[inline]
    pub fn set_path(&mut self, path: &str) -> Result<(), TargetError> {
        self.told.set_path(path).map_err(TargetError::from)
    }

    /// Replaces the query, percent-encoded and without its `?`; `None` removes it.
    #[inline]
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), TargetError> {
        self.told.set_query(query).map_err(TargetError::from)
    }

    /// Replaces the host: a name or an address, with `:` and a port if it has one. The backend
    /// stays the one that takes the request.
    #[inline]
    pub fn set_host(&mut self, host: &str) -> Result<(), TargetError> {
        self.told.set_host(host).map_err(TargetError::from)
    }
}

/// Why an edit of the target was refused. Nothing changed; the request goes on unless the hook
/// decides otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// The route does not let its policies edit this; or the request has none, as `OPTIONS *` has
    /// no path.
    NotAllowed,
    /// The host would refuse it from a client, or reads it in two ways.
    Invalid,
    /// More edits or more bytes than one hook may make (64 edits, 32 KiB).
    TooMany,
}

impl fmt::Display for TargetError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            TargetError::NotAllowed => "not-allowed",
            TargetError::Invalid => "invalid",
            TargetError::TooMany => "too-many",
        })
    }
}

impl std::error::Error for TargetError {}
