//! The routes of one host, in the order in which they are asked.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::{mem, ptr, slice};

use http::Method;
use memchr::memchr;
use percent_encoding::percent_decode;

use super::action::Action;
use crate::config::{Conditions, PathMatch, Pattern, Route};
use crate::message::RequestHead;
use crate::message::path;

/// A route of a host.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Path prefix, without a trailing slash; empty if an expression decides.
    prefix: Box<str>,
    /// What becomes of its requests.
    pub(super) action: Action,
    /// What a prefix doesn't say.
    more: Option<Box<More>>,
}

/// The routes of one host. Most hosts have one, which stands in the table itself.
#[derive(Debug)]
pub(super) enum OfHost {
    One(Candidate),
    Several(Vec<Candidate>),
}

impl Default for OfHost {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl OfHost {
    pub(super) fn push(&mut self, candidate: Candidate) {
        let mut all = match mem::take(self) {
            Self::One(first) => vec![first],
            Self::Several(all) => all,
        };
        if all.is_empty() {
            *self = Self::One(candidate);
        } else {
            all.push(candidate);
            *self = Self::Several(all);
        }
    }
}

impl Deref for OfHost {
    type Target = [Candidate];

    #[inline]
    fn deref(&self) -> &[Candidate] {
        match self {
            Self::One(candidate) => slice::from_ref(candidate),
            Self::Several(all) => all,
        }
    }
}

impl DerefMut for OfHost {
    fn deref_mut(&mut self) -> &mut [Candidate] {
        match self {
            Self::One(candidate) => slice::from_mut(candidate),
            Self::Several(all) => all,
        }
    }
}

#[derive(Debug)]
struct More {
    kind: Kind,
    conditions: Conditions,
    /// It answers preflights, which have neither the method nor the fields of the requests that
    /// they ask for.
    takes_preflights: bool,
}

#[derive(Debug)]
enum Kind {
    Exact,
    Regex(Pattern),
    Prefix,
}

impl Candidate {
    pub(super) fn new(route: &Route, action: Action) -> Self {
        let (prefix, kind) = match &route.path {
            PathMatch::Exact(path) => (path.as_str(), Kind::Exact),
            PathMatch::Regex(pattern) => ("", Kind::Regex(pattern.clone())),
            PathMatch::Prefix(path) => (path.trim_end_matches('/'), Kind::Prefix),
        };
        let plain = matches!(kind, Kind::Prefix) && route.conditions.count() == 0;
        let more = More {
            kind,
            conditions: route.conditions.clone(),
            takes_preflights: route.edits.cors.is_some(),
        };
        Self {
            prefix: prefix.into(),
            action,
            more: (!plain).then(|| Box::new(more)),
        }
    }

    pub(super) fn is_expression(&self) -> bool {
        let kind = self.more.as_ref().map(|more| &more.kind);
        matches!(kind, Some(Kind::Regex(_)))
    }

    /// Whether it is a prefix of the path that the other one is for.
    pub(super) fn is_above(&self, other: &Self) -> bool {
        let kind = self.more.as_ref().map(|more| &more.kind);
        matches!(kind, None | Some(Kind::Prefix))
            && is_above(&self.prefix, rest(&self.prefix, &other.prefix))
    }

    fn conditions(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.conditions.count())
    }

    fn pattern(&self) -> Option<&Pattern> {
        match &self.more.as_ref()?.kind {
            Kind::Regex(pattern) => Some(pattern),
            Kind::Exact | Kind::Prefix => None,
        }
    }
}

/// Decoded text of a request.
type Text<'h> = Cow<'h, [u8]>;

/// What conditions look at, which is the same whatever the path is read as.
pub(super) struct Facts<'h> {
    head: &'h RequestHead,
    /// The parameters of the query by name, decoded when the first condition asks.
    parameters: OnceCell<HashMap<Text<'h>, Vec<Text<'h>>>>,
    /// Which conditions hold, by where they are in the table, for requests whose path is read in
    /// several ways.
    held: Option<RefCell<HashMap<*const More, bool>>>,
}

impl<'h> Facts<'h> {
    #[inline]
    pub(super) fn new(head: &'h RequestHead) -> Self {
        Self {
            head,
            parameters: OnceCell::new(),
            held: None,
        }
    }

    /// For several readings of one path.
    pub(super) fn remembered(head: &'h RequestHead) -> Self {
        Self {
            held: Some(RefCell::default()),
            ..Self::new(head)
        }
    }

    fn hold(&self, more: &More) -> bool {
        let Some(held) = &self.held else {
            return self.look(more);
        };
        let known = held.borrow().get(&ptr::from_ref(more)).copied();
        known.unwrap_or_else(|| {
            let holds = self.look(more);
            held.borrow_mut().insert(more, holds);
            holds
        })
    }

    fn look(&self, more: &More) -> bool {
        let Conditions {
            methods,
            headers,
            query,
        } = &more.conditions;
        let head = self.head;
        let asked_for = match more.takes_preflights {
            true => head.preflight_for(),
            false => None,
        };
        let is_asked_for = |method: &Method| Some(method.as_str().as_bytes()) == asked_for;
        let of_method = methods.is_empty()
            || methods.contains(&head.method)
            || methods.iter().any(is_asked_for);
        let mut headers = headers.iter();
        let mut query = query.iter();
        of_method
            && (asked_for.is_some()
                || headers.all(|(name, value)| value.holds(head.fields.values(name))))
            && query.all(|(name, value)| value.holds(self.parameter(name.as_bytes())))
    }

    /// The decoded values of the query's parameters of this name.
    fn parameter(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let all = self.parameters.get_or_init(|| {
            let mut all: HashMap<_, Vec<_>> = HashMap::new();
            for (name, value) in parameters(self.head.query().unwrap_or_default()) {
                all.entry(name).or_default().push(value);
            }
            all
        });
        let values = all.get(name).into_iter().flatten();
        values.map(|value| &**value)
    }
}

/// A path, and what candidates want to know of it: worked out once, when the first asks.
pub(super) struct Asked<'p> {
    path: &'p str,
    /// With every character decoded that may be; `None` if none is encoded.
    literal: OnceCell<Option<String>>,
}

impl<'p> Asked<'p> {
    #[inline]
    pub(super) fn new(path: &'p str) -> Self {
        Self {
            path,
            literal: OnceCell::new(),
        }
    }

    #[inline(never)]
    fn literal(&self) -> Option<&str> {
        let literal = self.literal.get_or_init(|| {
            memchr(b'%', self.path.as_bytes())?;
            Some(path::literal(self.path))
        });
        literal.as_deref()
    }

    /// What follows the prefix.
    #[inline]
    fn rest(&self, prefix: &str) -> Option<&'p [u8]> {
        match self.path.as_bytes().strip_prefix(prefix.as_bytes()) {
            Some(rest) => Some(rest),
            // A path without a percent sign can't say the same in another way.
            None => self.literal().and_then(|_| rest(prefix, self.path)),
        }
    }
}

/// The first candidate that takes a request.
#[inline]
pub(super) fn best<'c>(
    of_host: &'c [Candidate],
    facts: &Facts<'_>,
    path: &Asked<'_>,
) -> Option<&'c Candidate> {
    of_host.iter().find(|candidate| {
        is_above(&candidate.prefix, path.rest(&candidate.prefix))
            && candidate
                .more
                .as_ref()
                .is_none_or(|more| more.takes(&candidate.prefix, facts, path))
    })
}

/// Brings the candidates of a host, which are in the file's order, in the order in which they are
/// asked.
pub(super) fn in_order(of_host: &mut [Candidate]) {
    let mut patterns: HashMap<String, usize> = HashMap::new();
    for pattern in of_host.iter().filter_map(Candidate::pattern) {
        let next = patterns.len();
        patterns.entry(pattern.to_string()).or_insert(next);
    }
    of_host.sort_by_cached_key(|candidate| {
        let class = match candidate.more.as_ref().map(|more| &more.kind) {
            Some(Kind::Exact) => (0, 0),
            Some(Kind::Regex(pattern)) => {
                let place = patterns.get(&pattern.to_string());
                (1, place.copied().unwrap_or(0))
            }
            Some(Kind::Prefix) | None => (2, 0),
        };
        let length = Reverse(candidate.prefix.len());
        (class, length, Reverse(candidate.conditions()))
    });
}

impl More {
    #[inline(never)]
    fn takes(&self, path: &str, facts: &Facts<'_>, asked: &Asked<'_>) -> bool {
        let fits = match &self.kind {
            Kind::Prefix => true,
            Kind::Exact => asked.rest(path).is_some_and(<[u8]>::is_empty),
            Kind::Regex(pattern) => {
                let looked_at = asked.literal().unwrap_or(asked.path);
                pattern.is_in(looked_at.as_bytes())
            }
        };
        fits && facts.hold(self)
    }
}

/// The decoded parameters of a query, which are read as forms are written.
fn parameters(query: &str) -> impl Iterator<Item = (Text<'_>, Text<'_>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    })
}

fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('+') {
        return percent_decode(text.as_bytes()).into();
    }
    let text = text.replace('+', " ");
    percent_decode(text.as_bytes()).collect::<Vec<u8>>().into()
}

/// `/a` is a prefix of `/a`, `/a/`, `/a/b` and `/a;v=1`, not of `/ab`. The empty prefix is one of
/// everything, `*` included.
#[inline]
pub(super) fn is_above(prefix: &str, rest: Option<&[u8]>) -> bool {
    rest.is_some_and(|rest| prefix.is_empty() || matches!(rest.first(), None | Some(b'/' | b';')))
}

/// What follows the prefix in a path.
#[inline]
pub(super) fn rest<'p>(prefix: &str, path: &'p str) -> Option<&'p [u8]> {
    match path.as_bytes().strip_prefix(prefix.as_bytes()) {
        Some(rest) => Some(rest),
        // A path without a percent sign can't say the same in another way.
        None if memchr(b'%', path.as_bytes()).is_none() => None,
        None => after(prefix.as_bytes(), path.as_bytes()),
    }
}

/// What follows the prefix in a path that may have any character of it encoded: `/%40me` is `/@me`
/// to every server.
fn after<'p>(prefix: &[u8], mut path: &'p [u8]) -> Option<&'p [u8]> {
    for &wanted in prefix {
        path = match path {
            [b, rest @ ..] if *b == wanted => rest,
            [b'%', high, low, rest @ ..] if path::is_encoded(*high, *low, wanted) => rest,
            _ => return None,
        };
    }
    Some(path)
}
