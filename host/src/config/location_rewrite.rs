//! `location-rewrite` of a route: what becomes of redirects to addresses that only its backends
//! know.

/// How the redirects of a backend become those of its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationRewrite {
    /// Whether paths without a host are changed as well as URLs.
    pub paths: bool,
    /// What all paths that backends get lie below; without a slash at its end.
    pub below: String,
    /// What clients have in its place.
    pub prefix: String,
}

impl LocationRewrite {
    /// The path of clients for a path of the backend, each perhaps with a query and a fragment;
    /// `None` if it is not sure that there is one, or that it would be read as a path.
    pub fn of_client(&self, path: &str) -> Option<String> {
        let only_path = path.split(['?', '#']).next().unwrap_or_default();
        if only_path.split('/').any(is_dots) {
            return None;
        }
        let end = |rest: &str| rest.is_empty() || rest.starts_with(['/', ';', '?', '#']);
        let below = |of: &str| path.strip_prefix(of).filter(|rest| end(rest));
        // Backends that know of the prefix write it themselves, unless what they get begins with it
        // anyway.
        let is_theirs = !self.prefix.is_empty() && below(&self.prefix).is_some();
        let begins_so = self.below.strip_prefix(&self.prefix).is_some_and(end);
        let changed = match below(&self.below) {
            Some(rest) if !is_theirs || begins_so => format!("{}{rest}", self.prefix),
            _ if is_theirs => path.to_owned(),
            _ => return None,
        };
        let changed = match changed.starts_with('/') {
            true => changed,
            false => format!("/{changed}"),
        };
        // Browsers would take what follows for a host.
        let second = changed.as_bytes().get(1);
        (!matches!(second, Some(b'/' | b'\\'))).then_some(changed)
    }
}

/// Whether a segment leads elsewhere, in any spelling.
fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    matches!(plain.as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_backend_becomes_the_clients() {
        let of = |below: &str, prefix: &str, path: &str| {
            let (below, prefix) = (below.to_owned(), prefix.to_owned());
            let location = LocationRewrite {
                paths: true,
                below,
                prefix,
            };
            location.of_client(path)
        };
        for (below, prefix, path, changed) in [
            ("", "/api", "/x?a=/b#c", Some("/api/x?a=/b#c")),
            ("", "/api", "/", Some("/api/")),
            ("", "/api", "/api/x", Some("/api/x")),
            ("", "/api", "/api", Some("/api")),
            ("", "/api", "/apis", Some("/api/apis")),
            ("/v2", "/api", "/v2/x", Some("/api/x")),
            ("/v2", "/api", "/v2", Some("/api")),
            ("/v2", "/api", "/v2;v=1", Some("/api;v=1")),
            ("/v2", "/api", "/v20/x", None),
            ("/v2", "/api", "/v2/../x", None),
            ("", "/api", "/../x", None),
            ("", "/api", "/a/%2E%2e/x", None),
            ("", "/api", "/a..b?c=/../d", Some("/api/a..b?c=/../d")),
            // The backend's part begins with the client's.
            ("/app/v1", "/app", "/app/v1/x", Some("/app/x")),
            ("/app/v1", "/app", "/app/other", Some("/app/other")),
            ("/app/v1", "/app", "/other", None),
            ("/v2", "/api", "/other", None),
            ("/v2", "", "/v2", Some("/")),
            ("/v2", "", "/v2?a", Some("/?a")),
            ("/v2", "", "/v2/x", Some("/x")),
            ("", "", "/x", Some("/x")),
            // A path never becomes a host.
            ("", "", "//evil.test", None),
            ("", "", "/\\evil.test", None),
            ("/v2", "", "/v2//evil.test", None),
            ("", "/api", "//evil.test", Some("/api//evil.test")),
        ] {
            assert_eq!(
                of(below, prefix, path).as_deref(),
                changed,
                "{below} {prefix} {path}"
            );
        }
    }
}
