//! The pools and the backends of the page.

use std::fmt;

use super::backends::backend_row;
use super::{Page, table};
use crate::admin::escaped::Escaped;
use crate::admin::report::{ShownEndpoint, is_usable};
use crate::units::number;

impl Page<'_> {
    /// Where the endpoints of each pool come from, and how they are.
    pub(super) fn pools(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<h2>Pools</h2>\n")?;
        for (name, pool) in &self.0.topology {
            let refused = pool.file.as_ref().and_then(|file| file.refused.as_ref());
            if let Some(refused) = refused {
                writeln!(f, "<p>{}: {}</p>", Escaped(name), Escaped(refused))?;
            }
        }
        let rows = self.0.topology.iter().flat_map(|(name, pool)| {
            let endpoints = pool.endpoints.iter();
            endpoints.map(move |endpoint| endpoint_row(name, endpoint))
        });
        let head = [
            "pool", "address", "source", "weight", "limit", "state", "reason",
        ];
        table(f, &head, rows)
    }

    pub(super) fn backends(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<h2>Backends</h2>\n")?;
        if self.0.backends.is_empty() {
            return f.write_str("<p>none</p>\n");
        }
        let head = [
            "address",
            "state",
            "requests",
            "failures",
            "in a row",
            "in flight",
            "connections",
            "average",
            "median",
            "90 %",
            "99 %",
        ];
        table(
            f,
            &head,
            self.0
                .backends
                .iter()
                .map(|(address, backend)| backend_row(address, backend)),
        )
    }
}

fn endpoint_row(pool: &str, e: &ShownEndpoint) -> Vec<String> {
    let class = if is_usable(e.state) { "good" } else { "bad" };
    vec![
        Escaped(pool).to_string(),
        Escaped(&e.said.address).to_string(),
        e.said.source.to_owned(),
        number(e.said.weight.into()),
        e.said
            .request_limit
            .map_or("none".to_owned(), |limit| number(limit as u64)),
        format!("<span class=\"{class}\">{}</span>", e.state),
        Escaped(e.reason.as_deref().unwrap_or_default()).to_string(),
    ]
}
