//! What a route answers itself, without a pool.

use std::fmt;

use super::PathMatch;
use super::template::Template;

/// What a route answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAnswer {
    /// `redirect`
    Redirect(RouteRedirect),
    /// `respond`
    Fixed(FixedResponse),
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRedirect {
    /// `status`. Default 308.
    pub status: u16,
    /// `to`, in pieces.
    pub to: Template,
    /// Whether the request's query is appended: unless `to` has one.
    pub keeps_query: bool,
    /// The route's path, which says what `{rest}` and groups are.
    pub path: PathMatch,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedResponse {
    /// `status`. Default 200.
    pub status: u16,
    /// `headers`, and the type of the body.
    pub fields: Vec<(String, Vec<u8>)>,
    /// `body`, or what `file` holds.
    pub body: Vec<u8>,
}

impl fmt::Display for RouteAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redirect(redirect) => write!(f, "redirect {}", redirect.status),
            Self::Fixed(response) => write!(f, "respond {}", response.status),
        }
    }
}
