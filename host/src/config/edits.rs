//! What a route changes of requests and responses.

use std::fmt;

use super::conditions::PathMatch;
use super::field_value::{Fact, FieldValue};
use super::location_rewrite::LocationRewrite;
use super::template::Template;

/// What a route changes of requests and responses; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteEdits {
    /// `strip-prefix` or `rewrite`: the path and the query that backends get.
    pub rewrite: Option<Rewrite>,
    /// `host-rewrite`: the host that backends get.
    pub host: Option<HostRewrite>,
    /// `location-rewrite`: redirects to addresses that only backends know.
    pub location: Option<LocationRewrite>,
    /// `request-headers`
    pub request: FieldEdits,
    /// `response-headers`
    pub response: FieldEdits,
    /// `cors`: which scripts of other origins may read the answers.
    pub cors: Option<Cors>,
    /// Whether a field that is written has the request's number in it.
    pub says_id: bool,
    /// The same of its pool's name.
    pub says_pool: bool,
}

/// Another path for backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The path, perhaps with a query.
    pub to: Template,
    /// As it was written.
    pub written: String,
    /// Whether the request's query is appended: unless `to` has one.
    pub keeps_query: bool,
    /// What every path that is made is, or lies below; without a slash at its end.
    pub base: String,
    /// The route's path, which says what `{rest}` and groups are.
    pub path: PathMatch,
    /// `strip-prefix`: what backends are told that they don't see.
    pub stripped: Option<String>,
}

/// Another host for backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRewrite {
    /// This one, perhaps with a port.
    To(String),
    /// The backend's own, as the operator wrote it.
    OfBackend,
}

/// What becomes of header fields: some are removed, some replaced, some added, in this order. Names
/// are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// `remove`
    pub remove: Vec<String>,
    /// `set`: a name has as many fields then as it has values here.
    pub set: Vec<(String, FieldValue)>,
    /// `add`
    pub add: Vec<(String, FieldValue)>,
}

/// `cors` (Fetch section 3.2)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// `origins`
    pub origins: Vec<OriginMatch>,
    /// `methods`. Default: those of the route, or those that need no permission.
    pub methods: CorsList,
    /// `headers` of requests. Default: none but those that need no permission.
    pub headers: CorsList,
    /// `expose`: the fields of responses that scripts may read, as a value; `*` for all.
    pub expose: Option<String>,
    /// `credentials`: whether requests may come with cookies and the like.
    pub credentials: bool,
    /// `max-age`, in seconds: for how long a browser may remember the answer to a preflight.
    pub max_age: Option<u64>,
}

/// What a preflight may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsList {
    /// Whatever it asks for.
    All,
    /// These, as a value; may be empty.
    These(String),
}

/// Origins, in the form in which browsers send them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginMatch {
    /// `*`
    Any,
    /// This one, or `null`.
    Exact(String),
    /// All whose host lies below another one.
    Below {
        /// Such as `https://`.
        scheme: String,
        /// Such as `.example.com:8443`.
        ending: String,
    },
}

impl RouteEdits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same of a route that is called so.
    pub fn of_route(&self, name: &str) -> Self {
        let mut edits = self.clone();
        for fields in [&mut edits.request, &mut edits.response] {
            let written = fields.set.iter_mut().chain(&mut fields.add);
            written.for_each(|(_, value)| value.name_route(name));
        }
        edits
    }
}

impl FieldEdits {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether a field that is written has this fact in it.
    pub(super) fn says(&self, fact: &Fact) -> bool {
        let mut written = self.set.iter().chain(&self.add);
        written.any(|(_, value)| value.says(fact))
    }
}

impl Cors {
    /// Whether every origin is given the same answer, which names none.
    pub fn is_public(&self) -> bool {
        self.origins.contains(&OriginMatch::Any)
    }

    /// The origin that an answer to a request of this origin names, if its scripts may read that.
    pub fn reader<'o>(&self, origin: Option<&'o [u8]>) -> Option<&'o [u8]> {
        if self.is_public() {
            return Some(b"*");
        }
        origin.filter(|origin| self.origins.iter().any(|known| known.is(origin)))
    }
}

impl OriginMatch {
    fn is(&self, origin: &[u8]) -> bool {
        let is_label = |label: &[u8]| {
            let is_of_name = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
            !label.is_empty() && !label.starts_with(b"-") && label.iter().all(is_of_name)
        };
        match self {
            Self::Any => true,
            Self::Exact(known) => known.as_bytes() == origin,
            Self::Below { scheme, ending } => {
                let labels = origin.strip_prefix(scheme.as_bytes());
                let labels = labels.and_then(|rest| rest.strip_suffix(ending.as_bytes()));
                labels.is_some_and(|labels| labels.split(|b| *b == b'.').all(is_label))
            }
        }
    }
}

impl fmt::Display for RouteEdits {
    /// What there is of them, in the keys of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rewrite = self.rewrite.as_ref().map(|rewrite| match rewrite.stripped {
            Some(_) => "strip-prefix".to_owned(),
            None => format!("rewrite {}", rewrite.written),
        });
        let host = self.host.as_ref().map(|host| match host {
            HostRewrite::To(host) => format!("host-rewrite {host}"),
            HostRewrite::OfBackend => "host-rewrite of the backend".to_owned(),
        });
        let named = |is_there: bool, key: &str| is_there.then(|| key.to_owned());
        let paths = self
            .location
            .as_ref()
            .is_some_and(|location| location.paths);
        let all = [
            rewrite,
            host,
            named(paths, "location-rewrite paths"),
            named(!self.request.is_empty(), "request-headers"),
            named(!self.response.is_empty(), "response-headers"),
            named(self.cors.is_some(), "cors"),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_that_was_written_or_lies_below_one() {
        let cors = Cors {
            origins: vec![
                OriginMatch::Exact("https://a.test".to_owned()),
                OriginMatch::Below {
                    scheme: "https://".to_owned(),
                    ending: ".b.test:8443".to_owned(),
                },
            ],
            methods: CorsList::All,
            headers: CorsList::All,
            expose: None,
            credentials: true,
            max_age: None,
        };
        for origin in [
            "https://a.test",
            "https://x.b.test:8443",
            "https://x.y.b.test:8443",
        ] {
            let origin = origin.as_bytes();
            assert_eq!(cors.reader(Some(origin)), Some(origin));
        }
        for origin in [
            "https://..b.test:8443",
            "https://x..b.test:8443",
            "https://-.b.test:8443",
            "",
            "null",
            "http://a.test",
            "https://a.test:443",
            "https://a.test.evil",
            "https://A.test",
            "https://b.test:8443",
            "https://.b.test:8443",
            "https://x.b.test",
            "https://evil.test/.b.test:8443",
            "https://evil.test:1@.b.test:8443",
        ] {
            assert_eq!(cors.reader(Some(origin.as_bytes())), None, "{origin}");
        }
        assert_eq!(cors.reader(None), None);
    }
}
