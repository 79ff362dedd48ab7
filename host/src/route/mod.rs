//! Route: which rule applies?
//!
//! Exact host, then the longest `*.suffix`, then `*`; within the host, the longest path prefix at a
//! segment border. A host whose prefixes don't match falls through to the next best host. Built by
//! `app` when the configuration is read, asked by `proxy` for each request. Pure: no I/O. Finding a
//! rule allocates nothing; only comparing the readings of an ambiguous path does.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use memchr::{memchr, memchr_iter, memrchr_iter};

use crate::config::{HostPattern, RetryPolicy, Route};
use crate::message::path::{self, PathNotes};
use crate::policy::PolicyId;
use crate::upstream::PoolId;

/// All routes, ordered for look-up. The cost of an answer does not grow with the number of hosts.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, Prefixes, RandomState>,
    /// By suffix, with its leading dot.
    suffix: HashMap<Box<str>, Prefixes, RandomState>,
    /// Labels of the longest suffix.
    suffix_labels: usize,
    any: Prefixes,
    /// The routes that the prefixes point into.
    rules: Vec<Rule>,
}

/// What a route decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its place among the routes of the configuration.
    pub number: u32,
    /// The pool.
    pub pool: PoolId,
    /// The policies, in the order in which they are asked.
    pub policies: Box<[PolicyId]>,
    /// Whether header names keep the case in which client and backend sent them.
    pub preserve_case: bool,
    /// When a request is sent again.
    pub retry: Box<RetryPolicy>,
    /// The protocols to which a connection may change.
    pub upgrade: Box<[Box<str>]>,
}

/// Path prefixes of one host, longest first, with indices of their rules.
type Prefixes = Vec<(Box<str>, usize)>;

impl RouteTable {
    /// The rule of the route with this number.
    pub fn of_number(&self, number: u32) -> Option<&Rule> {
        let at = self.rules.binary_search_by_key(&number, |rule| rule.number);
        self.rules.get(at.ok()?)
    }

    /// Orders the routes of a configuration, whose pools and policies have these ids.
    pub fn new(routes: &[Route], pools: &[PoolId], policies: &[PolicyId]) -> Self {
        let mut table = Self::default();
        for (number, route) in (0..).zip(routes) {
            let ids = route.policies.iter().map(|at| policies.get(*at).copied());
            // The configuration has no route to a pool or a policy that is not there; without its
            // policies it would serve what they guard.
            let (Some(&pool), Some(policies)) = (pools.get(route.pool), ids.collect()) else {
                continue;
            };
            let rule = table.rules.len();
            table.rules.push(Rule {
                number,
                pool,
                policies,
                preserve_case: route.preserve_header_case,
                retry: Box::new(route.retry.clone()),
                upgrade: route
                    .upgrade
                    .iter()
                    .map(|name| name.as_str().into())
                    .collect(),
            });
            let prefixes = match &route.host {
                HostPattern::Exact(host) => table.exact.entry(host.as_str().into()).or_default(),
                HostPattern::Suffix(suffix) => {
                    table.suffix.entry(suffix.as_str().into()).or_default()
                }
                HostPattern::Any => &mut table.any,
            };
            prefixes.push((route.path.trim_end_matches('/').into(), rule));
        }
        let labels = table
            .suffix
            .keys()
            .map(|suffix| memchr_iter(b'.', suffix.as_bytes()).count());
        table.suffix_labels = labels.max().unwrap_or(0);
        for prefixes in table
            .exact
            .values_mut()
            .chain(table.suffix.values_mut())
            .chain([&mut table.any])
        {
            prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        }
        table
    }

    /// The rule for a normalised host (lower case, no port, no trailing dot) and a path in normal
    /// form.
    pub fn find(&self, host: &str, path: &str) -> Option<&Rule> {
        self.locate(host, path).map(|(_, rule)| rule)
    }

    /// The same, with its path.
    fn locate<'t>(&'t self, host: &str, path: &str) -> Option<(&'t str, &'t Rule)> {
        let found = self
            .by_host(host)
            .find_map(|prefixes| longest(prefixes, path));
        found.map(|(prefix, rule)| (prefix, &self.rules[rule]))
    }

    /// Whether every server that may be behind a rule would read an ambiguous path, as it is sent
    /// there, so that it still is the path's rule.
    ///
    /// `/x/..%2Fadmin` is `/admin` to some: if that has another rule, neither the one nor the other
    /// can be right.
    ///
    /// An unusual reading may have the rule of a path above: `/admin//../x` and `//g/admin` must
    /// not pass that of `/admin`, and `//admin` has it.
    pub fn is_sure(&self, rule: &Rule, host: &str, sent: &str, notes: PathNotes) -> bool {
        let Some(readings) = path::readings(sent, notes) else {
            return false;
        };
        // The first is the normal form.
        let mut own = None;
        for reading in readings {
            let found = self.locate(host, &reading.path);
            let agrees = match found {
                Some((prefix, other)) if reading.unusual => {
                    other == rule || own.is_some_and(|own: &str| is_prefix(prefix, own))
                }
                None if reading.unusual => true,
                found => found.is_some_and(|(_, other)| other == rule),
            };
            if !agrees {
                return false;
            }
            own = own.or(found.map(|(prefix, _)| prefix));
        }
        true
    }

    /// The candidates for a host, best first. A name has as many suffixes as labels, but only those
    /// can be known that have no more labels than the longest that is.
    fn by_host<'t, 'h>(
        &'t self,
        host: &'h str,
    ) -> impl Iterator<Item = &'t Prefixes> + use<'t, 'h> {
        let exact = self.exact.get(host);
        let start = memrchr_iter(b'.', host.as_bytes())
            .take(self.suffix_labels)
            .last()
            .unwrap_or(host.len());
        let dots = memchr_iter(b'.', &host.as_bytes()[start..]);
        let suffix = dots.filter_map(move |dot| self.suffix.get(&host[start + dot..]));
        exact.into_iter().chain(suffix).chain([&self.any])
    }
}

fn longest<'p>(prefixes: &'p Prefixes, path: &str) -> Option<(&'p str, usize)> {
    prefixes
        .iter()
        .find(|(prefix, _)| is_prefix(prefix, path))
        .map(|(prefix, rule)| (&**prefix, *rule))
}

/// `/a` is a prefix of `/a`, `/a/`, `/a/b` and `/a;v=1`, not of `/ab`. The empty prefix is one of
/// everything, `*` included.
fn is_prefix(prefix: &str, path: &str) -> bool {
    let rest = match path.as_bytes().strip_prefix(prefix.as_bytes()) {
        Some(rest) => rest,
        // A path without a percent sign can't say the same in another way.
        None if memchr(b'%', path.as_bytes()).is_none() => return false,
        None => match after(prefix.as_bytes(), path.as_bytes()) {
            Some(rest) => rest,
            None => return false,
        },
    };
    prefix.is_empty() || matches!(rest.first(), None | Some(b'/' | b';'))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Registry;

    fn table(routes: &[(HostPattern, &str)]) -> RouteTable {
        let routes: Vec<Route> = routes
            .iter()
            .enumerate()
            .map(|(pool, (host, path))| Route {
                host: host.clone(),
                path: (*path).to_owned(),
                pool,
                policies: vec![],
                preserve_header_case: false,
                retry: RetryPolicy::default(),
                upgrade: vec![],
            })
            .collect();
        RouteTable::new(&routes, &pools(routes.len()), &[])
    }

    fn pools(count: usize) -> Vec<PoolId> {
        let names: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        Registry::new(1).pools(names.iter().map(String::as_str))
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
            ("a.example", "/x;v=1", 1),
            ("a.example", "/%78/y", 2),
            ("a.example", "/x%2Fy", 0),
            ("c.example", "/", 3),
            ("c.b.example", "/", 4),
            ("b.example", "/", 3),
            ("example", "/", 5),
            ("", "*", 5),
            ("only.example", "/here", 6),
            ("only.example", "/elsewhere", 3),
        ] {
            assert_eq!(
                t.find(host, path).map(|r| r.pool.number()),
                Some(pool),
                "{host}{path}"
            );
        }
    }

    #[test]
    fn no_route() {
        let t = table(&[(exact("a.example"), "/x")]);
        assert_eq!(t.find("b.example", "/x"), None);
        assert_eq!(t.find("a.example", "/"), None);
    }

    fn sure(table: &RouteTable, path: &str) -> bool {
        let notes = path::normalise(path, &mut String::new());
        assert!(notes.is_ambiguous(), "{path}");
        let rule = table.find("a.example", &path::normal(path)).unwrap();
        table.is_sure(rule, "a.example", path, notes)
    }

    #[test]
    fn an_ambiguous_path_has_a_rule_only_if_all_readings_have_the_same() {
        let guarded = table(&[(exact("a.example"), "/"), (exact("a.example"), "/admin")]);
        let open = table(&[(exact("a.example"), "/"), (exact("b.example"), "/admin")]);
        for path in [
            "/x/..%2fadmin",
            "/x/..%5cadmin",
            "/x\\..\\admin",
            "/x/..;/admin",
            "/%2561dmin",
            "/x/..%c0%afadmin",
            "/x;/../admin%00",
            "/admin/..%2f..%2fx",
            "/%2fadmin",
            "/%2f\\;%00%c0%af",
            "/admin%2f..",
            "/admin//../x",
            "/admin/a//../../x",
            "///admin//../x",
            "//g/admin",
            "///g/admin/x",
            "//user@g:80/%61dmin",
            "/\\g/admin",
            "/\\\\g/admin",
            "/\\/g/admin",
            "/%5C%5Cg/admin",
            "/admin/../x",
            "/admin/%2e%2e/x",
            "/admin/x/../../y",
            "//admin/../x",
            "//g/admin//../x",
            "/\\g/admin//../x",
            "//g/admin/../x",
            "/x\\..\\admin\\z%5c..%5c..\\y",
            "/x%5c..%5cadmin%5cz\\..\\..%5cy",
        ] {
            assert!(!sure(&guarded, path), "{path}");
        }
        let beside = table(&[
            (exact("a.example"), "/"),
            (exact("a.example"), "/api"),
            (exact("a.example"), "/api-docs"),
        ]);
        for path in [
            "//api-docs/api/secret",
            "/api//../api-docs/x",
            "/api/../api-docs/x",
            "/api-docs/../api/x",
        ] {
            assert!(!sure(&beside, path), "{path}");
        }
        assert!(
            sure(&beside, "//api/x")
                && sure(&beside, "//api-docs//x")
                && sure(&beside, "/api/x/../y")
        );
        for path in [
            "//admin",
            "//x/y",
            "///admin/x",
            "/x//../admin",
            "/x/../admin",
            "/admin/y/../x",
            "/x//../y",
            "/../x",
            "//g/administration",
        ] {
            assert!(sure(&guarded, path), "{path}");
            assert!(sure(&open, path), "{path}");
        }
        for path in [
            "/a%2Fb/c",
            "/x;v=1/y",
            "/a%5Cb",
            "/admin;v=1",
            "/admin/a%2fb",
            "/%2fx",
        ] {
            assert!(sure(&guarded, path), "{path}");
            assert!(sure(&open, path), "{path}");
        }
        assert!(sure(&open, "/x/..%2fadmin"), "there is one rule only");
        let part = table(&[(exact("a.example"), "/only")]);
        assert!(
            !sure(&part, "/only/..%2fadmin"),
            "a reading without a rule is another one"
        );
    }

    #[test]
    fn no_more_labels_are_looked_at_than_the_longest_suffix_has() {
        let t = table(&[
            (suffix(".example"), "/"),
            (suffix(".b.example"), "/"),
            (exact("a.example"), "/"),
        ]);
        assert_eq!(t.suffix_labels, 2);
        for labels in [1, 10, 100, 20_000] {
            let host = format!("{}b.example", "a.".repeat(labels));
            let start = memrchr_iter(b'.', host.as_bytes())
                .take(t.suffix_labels)
                .count();
            assert_eq!(
                (t.find(&host, "/").map(|r| r.pool.number()), start),
                (Some(1), 2)
            );
        }
        assert_eq!(table(&[(exact("a.example"), "/")]).suffix_labels, 0);
    }
}
