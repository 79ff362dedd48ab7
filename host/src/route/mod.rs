//! Route: which rule applies?
//!
//! Exact host, then the longest `*.suffix`, then `*`; within the host, the longest path prefix at a segment border. A host
//! whose prefixes don't match falls through to the next best host. Built by `app` when the configuration is read, asked by
//! `proxy` for each request. Pure: no I/O, no allocation to answer.

mod path;

use std::collections::HashMap;

use crate::config::{HostPattern, Route};

/// All routes, ordered for look-up. The cost of an answer does not grow with the number of hosts.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, Prefixes>,
    /// By suffix, with its leading dot.
    suffix: HashMap<Box<str>, Prefixes>,
    any: Prefixes,
    /// The routes that the prefixes point into.
    rules: Vec<Rule>,
}

/// What a route decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Index of the pool.
    pub pool: u32,
    /// Indices of the policies, in the order in which they are asked.
    pub policies: Box<[usize]>,
}

/// Path prefixes of one host, longest first, with indices of their rules.
type Prefixes = Vec<(Box<str>, usize)>;

impl RouteTable {
    /// Orders the routes of a configuration.
    pub fn new(routes: &[Route]) -> Self {
        let mut table = Self::default();
        for route in routes {
            let rule = table.rules.len();
            let pool = u32::try_from(route.pool).unwrap_or(u32::MAX);
            table.rules.push(Rule { pool, policies: route.policies.clone().into() });
            let prefixes = match &route.host {
                HostPattern::Exact(host) => table.exact.entry(host.as_str().into()).or_default(),
                HostPattern::Suffix(suffix) => table.suffix.entry(suffix.as_str().into()).or_default(),
                HostPattern::Any => &mut table.any,
            };
            prefixes.push((route.path.trim_end_matches('/').into(), rule));
        }
        for prefixes in table.exact.values_mut().chain(table.suffix.values_mut()).chain([&mut table.any]) {
            prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
        table
    }

    /// The rule for a normalised host (lower case, no port, no trailing dot) and a path.
    ///
    /// Dot segments of the path are resolved for matching only, so that `/public/../admin` is a request for `/admin`.
    pub fn find(&self, host: &str, path: &str) -> Option<&Rule> {
        let resolved = path::without_dot_segments(path);
        self.by_host(host).find_map(|prefixes| longest(prefixes, &resolved)).map(|rule| &self.rules[rule])
    }

    /// The candidates for a host, best first.
    fn by_host<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Prefixes> {
        let exact = self.exact.get(host);
        let suffixes = match self.suffix.is_empty() {
            true => "",
            false => host,
        };
        let suffix = suffixes.match_indices('.').filter_map(|(dot, _)| self.suffix.get(&host[dot..]));
        exact.into_iter().chain(suffix).chain([&self.any])
    }
}

fn longest(prefixes: &Prefixes, path: &str) -> Option<usize> {
    prefixes.iter().find(|(prefix, _)| is_prefix(prefix, path)).map(|(_, rule)| *rule)
}

/// `/a` is a prefix of `/a`, `/a/` and `/a/b`, not of `/ab`. The empty prefix is one of everything, `*` included.
fn is_prefix(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(HostPattern, &str)]) -> RouteTable {
        let routes: Vec<Route> = routes
            .iter()
            .enumerate()
            .map(|(pool, (host, path))| Route { host: host.clone(), path: (*path).to_owned(), pool, policies: vec![] })
            .collect();
        RouteTable::new(&routes)
    }

    fn exact(host: &str) -> HostPattern {
        HostPattern::Exact(host.to_owned())
    }

    fn suffix(suffix: &str) -> HostPattern {
        HostPattern::Suffix(suffix.to_owned())
    }

    #[test]
    fn exact_then_longest_suffix_then_any_and_the_longest_prefix_within() {
        let t = table(&[
            (exact("a.example"), "/"),
            (exact("a.example"), "/x/"),
            (exact("a.example"), "/x/y"),
            (suffix(".example"), "/"),
            (suffix(".b.example"), "/"),
            (HostPattern::Any, "/"),
            (exact("only.example"), "/here"),
        ]);
        for (host, path, pool) in [
            ("a.example", "/", 0),
            ("a.example", "/x", 1),
            ("a.example", "/xy", 0),
            ("a.example", "/x/y/z", 2),
            ("a.example", "/x/../q", 0),
            ("a.example", "/q/%2e%2E/x/./y", 2),
            ("c.example", "/", 3),
            ("c.b.example", "/", 4),
            ("b.example", "/", 3),
            ("example", "/", 5),
            ("", "*", 5),
            ("only.example", "/here", 6),
            ("only.example", "/elsewhere", 3),
        ] {
            assert_eq!(t.find(host, path).map(|r| r.pool), Some(pool), "{host}{path}");
        }
    }

    #[test]
    fn no_route() {
        let t = table(&[(exact("a.example"), "/x")]);
        assert_eq!(t.find("b.example", "/x"), None);
        assert_eq!(t.find("a.example", "/"), None);
    }
}
