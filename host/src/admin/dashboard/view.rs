//! What a page shows of all that there is, and the fields of its forms.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters of a filter.
const LONGEST: usize = 100;

/// The choice of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Only what has this in its name, address, label or state is shown; empty = everything.
    pub find: String,
    /// The number of a result that is to be shown.
    pub result: String,
}

/// Fields of a form or a query, in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`; what is no UTF-8 is replaced.
    pub(super) fn read(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The first field of this name; empty without one.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl View {
    pub(super) fn of(fields: &Fields) -> Self {
        let find = fields.get("find").trim().chars().take(LONGEST);
        Self {
            find: find.collect(),
            result: fields.get("result").chars().take(LONGEST).collect(),
        }
    }

    pub(super) fn of_query(query: Option<&str>) -> Self {
        Self::of(&Fields::read(query.unwrap_or_default()))
    }

    /// The page with the same filter, and this result if there is one.
    pub(super) fn location(&self, result: Option<&str>) -> String {
        let mut parts = Vec::new();
        if !self.find.is_empty() {
            parts.push(format!("find={}", encoded(&self.find)));
        }
        parts.extend(result.map(|id| format!("result={id}")));
        match parts.is_empty() {
            true => "/".to_owned(),
            false => format!("/?{}", parts.join("&")),
        }
    }

    /// Whether the filter lets one of these texts through.
    pub(super) fn wants<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> bool {
        if self.find.is_empty() {
            return true;
        }
        let find = self.find.to_lowercase();
        texts.into_iter().any(|t| t.to_lowercase().contains(&find))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_and_a_filter_survives_the_way_back() {
        let fields = Fields::read("find=zone%3Da+b&x&do=%64rain&do=up&bad=%ff");
        assert_eq!(fields.get("do"), "drain");
        assert_eq!((fields.get("x"), fields.get("y")), ("", ""));
        let view = View::of(&fields);
        assert_eq!(view.find, "zone=a b");
        let back = view.location(Some("r1"));
        assert_eq!(back, "/?find=zone%3Da%20b&result=r1");
        let again = View::of_query(back.strip_prefix("/?"));
        assert_eq!((again.find, &*again.result), (view.find.clone(), "r1"));
        assert!(view.wants(["x", "Zone=A B"]) && !view.wants(["zone=b"]));
        assert_eq!(View::default().location(None), "/");
        let hostile = View::of_query(Some("find=%0d%0aset-cookie:x"));
        assert!(!hostile.location(None).contains(['\r', '\n', ':']));
    }
}
