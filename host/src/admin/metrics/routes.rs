//! The families of routes: of those that have had requests.

use std::fmt;

use super::Snapshot;
use super::families::{Families, Labels};
use crate::admin::report::CountedRoute;

impl Snapshot {
    /// What is counted of routes of which it is more than nothing. The counters are bounded, and
    /// those of other routes are one entry.
    fn of_routes(
        &self,
        value: fn(&CountedRoute) -> u64,
    ) -> impl Iterator<Item = (Labels<'_, 1>, u64)> {
        let all = self.0.routes.iter();
        let all = all.map(move |(name, route)| ([("route", name.as_str())], value(route)));
        all.filter(|(_, n)| *n > 0)
    }

    pub(super) fn routes(&self, out: &mut Families<'_>) -> fmt::Result {
        out.counter(
            "route_requests",
            "Requests that took a route, or connections that are passed on",
            None,
            self.of_routes(|route| route.requests),
        )?;
        out.counter(
            "route_errors",
            "Those whose client got a status from 500 on or only a part of the answer, or that were \
             not passed on",
            None,
            self.of_routes(|route| route.errors),
        )
    }
}
