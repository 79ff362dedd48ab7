//! The names of backends.

use std::fmt;

use super::{Page, table};
use crate::admin::escaped::Escaped;
use crate::admin::names::NameStatus;
use crate::units::number;

/// Records of a name that are shown.
const SHOWN: usize = 8;

impl Page<'_> {
    /// Nothing if all backends are written as addresses.
    pub(super) fn names(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.names.is_empty() {
            return Ok(());
        }
        f.write_str("<h2>Names</h2>\n")?;
        let head = ["name", "state", "records", "look-ups", "failures"];
        table(f, &head, self.0.names.iter().map(row))
    }
}

fn row(name: &NameStatus) -> Vec<String> {
    let class = match name.state {
        "resolved" | "asked" => "good",
        _ => "bad",
    };
    let words = name.in_words();
    let shown: Vec<&str> = name
        .records
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect();
    let more = match name.records.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    vec![
        Escaped(&name.name).to_string(),
        format!("<span class=\"{class}\">{}</span>", Escaped(&words)),
        format!("{}{more}", Escaped(&shown.join(", "))),
        number(name.lookups),
        number(name.failures),
    ]
}
