//! Which requests are allowed: the token, and protection from other sites' pages in a browser.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request, StatusCode};
use sha2::{Digest, Sha256};

use super::reply::{self, Reply};

/// Decides whether a request may be answered at all.
#[derive(Debug)]
pub(super) struct Guard {
    /// Only the token's digest is kept, so that a comparison takes the same time for every input.
    token: Option<[u8; 32]>,
}

impl Guard {
    pub(super) fn new(token: Option<&str>) -> Self {
        Self {
            token: token.map(|t| Sha256::digest(t.as_bytes()).into()),
        }
    }

    /// Whether requests have to show a token.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this is the token.
    pub(super) fn is_token(&self, text: &[u8]) -> bool {
        self.token.as_ref().is_some_and(|token| is(token, text))
    }

    /// The answer to a request that may not have been meant for here, whatever it shows: one for a
    /// strange host where there is no token, or one by another site's page.
    pub(super) fn strange<B>(&self, request: &Request<B>) -> Option<Reply> {
        let host = match self.token {
            Some(_) => None,
            None => check_host(request),
        };
        host.or_else(|| match request.method().is_safe() {
            true => None,
            false => check_site(request),
        })
    }

    /// The answer to another site's page, which could take what there is a limited number of.
    pub(super) fn elsewhere<B>(&self, request: &Request<B>) -> Option<Reply> {
        check_site(request)
    }

    /// The answer to a request that is not allowed.
    pub(super) fn refusal<B>(&self, request: &Request<B>) -> Option<Reply> {
        let token = self.token.as_ref();
        let unknown = token.and_then(|token| check_token(token, request.headers()));
        unknown.or_else(|| self.strange(request))
    }
}

fn check_token(token: &[u8; 32], headers: &HeaderMap) -> Option<Reply> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else {
        return Some(reply::unauthorised(
            "send the admin token as one field: Authorization: Bearer TOKEN",
        ));
    };
    let bearer = value
        .as_bytes()
        .split_at_checked(7)
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    let sent = bearer.map_or(&b""[..], |(_, token)| token.trim_ascii());
    if is(token, sent) && bearer.is_some() {
        None
    } else {
        Some(reply::unauthorised("this is not the admin token"))
    }
}

/// Takes the same time for every input.
fn is(token: &[u8; 32], text: &[u8]) -> bool {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let difference = digest
        .iter()
        .zip(token)
        .fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Without a token, a client proves itself only by being on this machine. A page in a browser here
/// could rebind its own name to a loopback address, but `Host` then holds that name.
fn check_host<B>(request: &Request<B>) -> Option<Reply> {
    if authorities(request)
        .iter()
        .all(|a| a.as_ref().is_some_and(is_loopback))
    {
        return None;
    }
    Some(reply::error(
        StatusCode::FORBIDDEN,
        "without a token, the admin listener accepts only localhost or a loopback address as \
         Host; use such an address, or set a token in [admin]",
    ))
}

/// A page of another site can make a browser send a request even if it can't read the answer.
fn check_site<B>(request: &Request<B>) -> Option<Reply> {
    let headers = request.headers();
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let same_site = sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    let host = headers.get(HOST).and_then(|h| h.to_str().ok());
    let mut origins = headers.get_all(ORIGIN).iter();
    let same_origin = origins.all(|origin| {
        let origin = origin
            .to_str()
            .ok()
            .and_then(|o| o.split_once("://"))
            .map(|(_, authority)| authority);
        matches!((origin, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host))
    });
    if same_site && same_origin {
        return None;
    }
    Some(reply::error(
        StatusCode::FORBIDDEN,
        "a page of another site may change nothing here",
    ))
}

/// The authorities that the request names: the target's and each `Host`; never empty.
fn authorities<B>(request: &Request<B>) -> Vec<Option<Authority>> {
    let target = request.uri().authority().cloned().map(Some);
    let hosts = request
        .headers()
        .get_all(HOST)
        .iter()
        .map(|h| Authority::try_from(h.as_bytes()).ok());
    let all: Vec<_> = target.into_iter().chain(hosts).collect();
    if all.is_empty() { vec![None] } else { all }
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_end_matches('.');
    let literal = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || literal
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}
