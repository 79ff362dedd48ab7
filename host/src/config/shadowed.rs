//! Routes that no request can come to, because another one takes all of them.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Route;
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
        for (at, route) in group.iter().enumerate() {
            let conditions = &route.value.conditions;
            let asked = group[..at].iter();
            let mut all = asked.filter(|other| conditions.imply(&other.value.conditions));
            if let Some(earlier) = all.next() {
                let message = format!(
                    "no request comes to this route: the one at {} is asked before it and takes \
                     all that it would; remove one of them, or change the conditions",
                    earlier.place
                );
                findings.error(&route.place, message);
            }
        }
    }
}
