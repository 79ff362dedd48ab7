//! The routes of the page.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use super::{Page, table};
use crate::admin::escaped::Escaped;
use crate::admin::report::CountedRoute;
use crate::admin::times::timestamp;
use crate::units::number;

impl Page<'_> {
    /// What was counted of each route.
    pub(super) fn routes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<h2>Routes</h2>\n")?;
        if self.0.routes.is_empty() {
            return f.write_str("<p>none</p>\n");
        }
        let rows = self.0.routes.iter().map(|(name, route)| row(name, route));
        table(f, &["route", "requests", "errors", "last request"], rows)
    }
}

fn row(name: &str, route: &CountedRoute) -> Vec<String> {
    let last = match route.last_unix {
        0 => "never".to_owned(),
        at => timestamp(UNIX_EPOCH + Duration::from_secs(at)),
    };
    vec![
        Escaped(name).to_string(),
        number(route.requests),
        number(route.errors),
        last,
    ]
}
