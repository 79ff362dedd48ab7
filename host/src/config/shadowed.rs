//! Routes that no request can come to, because another one takes all of them.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Conditions, Route, ValueMatch};
use crate::document::{At, Findings};

/// Notes an error for each route whose requests all go to another route of the same host and path.
pub(super) fn check(routes: &[At<Route>], findings: &mut Findings) {
    let mut alike: HashMap<(String, String), Vec<&At<Route>>> = HashMap::new();
    for route in routes.iter().filter(|route| route.value.layer4.is_none()) {
        let Route { host, path, .. } = &route.value;
        let key = (host.to_string(), path.to_string());
        alike.entry(key).or_default().push(route);
    }
    for mut group in alike.into_values().filter(|group| group.len() > 1) {
        // In the order in which they are asked.
        group.sort_by_key(|route| Reverse(route.value.conditions.count()));
        let mut asked = Asked::default();
        for (at, route) in group.iter().enumerate() {
            let conditions = &route.value.conditions;
            let takes = |other: &usize| conditions.imply(&group[*other].value.conditions);
            let taken_by = asked.first(conditions, takes);
            asked.add(conditions, at);
            if let Some(earlier) = taken_by {
                let message = format!(
                    "no request comes to this route: the one at {} is asked before it and takes \
                     all that it would; remove one of them, or change the conditions",
                    group[earlier].place
                );
                findings.error(&route.place, message);
            }
        }
    }
}

/// A field or a parameter, and the value that it must be.
type Exactly<'r> = (bool, &'r str, &'r str);

/// The routes that are asked before, by a value that their requests must have: a thousand routes
/// that differ by it are not compared with each other.
#[derive(Default)]
struct Asked<'r> {
    by_value: HashMap<Exactly<'r>, Vec<usize>>,
    others: Vec<usize>,
}

impl<'r> Asked<'r> {
    fn add(&mut self, conditions: &'r Conditions, at: usize) {
        match exact(conditions).next() {
            Some(value) => self.by_value.entry(value).or_default().push(at),
            None => self.others.push(at),
        }
    }

    /// The first that takes all requests with these conditions, as `takes` says.
    fn first(&self, conditions: &'r Conditions, takes: impl Fn(&usize) -> bool) -> Option<usize> {
        let alike = exact(conditions).filter_map(|value| self.by_value.get(&value));
        let groups = alike.chain([&self.others]);
        groups
            .filter_map(|group| group.iter().copied().find(&takes))
            .min()
    }
}

/// The values that a request must have.
fn exact(conditions: &Conditions) -> impl Iterator<Item = Exactly<'_>> {
    let headers = conditions.headers.iter().map(|one| (false, one));
    let query = conditions.query.iter().map(|one| (true, one));
    headers
        .chain(query)
        .filter_map(|(of_query, (name, value))| match value {
            ValueMatch::Exact(value) => Some((of_query, name.as_str(), value.as_str())),
            _ => None,
        })
}
