//! Redirects of a backend to addresses that only it knows.

use super::context::Target;
use crate::config::LocationRewrite;
use crate::message::{Fields, RequestHead, Scheme};

/// In front of the URL of a `Refresh`.
const URL: &[u8] = b"url=";

/// Changes the `Location` and the `Refresh` of a response to this request, as far as they lead to
/// the host that the backend got.
#[cold]
pub(super) fn rewrite(
    rewrite: &LocationRewrite,
    head: &RequestHead,
    to: Target<'_>,
    fields: &mut Fields,
) {
    let backend = &to.endpoint.name;
    let of_backend = match to.endpoint.is_secure() {
        true => Scheme::Https,
        false => Scheme::Http,
    };
    let known = Known {
        authority: head.forwarded_authority(backend),
        is_own: head
            .by_route
            .as_ref()
            .is_some_and(|by| !by.authority.is_empty()),
        of_backend,
        of_client: head.scheme,
    };
    for name in ["location", "refresh"] {
        let Some(value) = only(fields, name) else {
            continue;
        };
        let at = match name {
            "refresh" => match find_url(value) {
                Some(at) => at,
                None => continue,
            },
            _ => 0,
        };
        let (before, url) = value.split_at(at);
        let url = std::str::from_utf8(url).ok();
        if let Some(url) = url.and_then(|url| known.changed(rewrite, url)) {
            let changed = [before, url.as_bytes()].concat();
            fields.set(name.as_bytes(), &changed);
        }
    }
}

/// The value of a field that is there once.
fn only<'f>(fields: &'f Fields, name: &'f str) -> Option<&'f [u8]> {
    let mut values = fields.values(name);
    values.next().filter(|_| values.next().is_none())
}

fn find_url(value: &[u8]) -> Option<usize> {
    let found = value
        .windows(URL.len())
        .position(|part| part.eq_ignore_ascii_case(URL));
    found.map(|at| at + URL.len())
}

/// What the backend knows itself by.
struct Known<'a> {
    /// The host that it got.
    authority: &'a str,
    /// Whether that is another one than the client's.
    is_own: bool,
    of_backend: Scheme,
    of_client: Scheme,
}

impl Known<'_> {
    fn changed(&self, rewrite: &LocationRewrite, url: &str) -> Option<String> {
        if url.starts_with('/') && !url.starts_with("//") {
            return rewrite.paths.then(|| rewrite.of_client(url))?;
        }
        let (scheme, rest) = match url.strip_prefix("//") {
            Some(rest) => (None, rest),
            None => {
                let (scheme, rest) = url.split_once("://")?;
                (Some(Scheme::parse(scheme.as_bytes())?), rest)
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let is_known = scheme.is_none_or(|scheme| self.may_mean(scheme))
            && self.is(authority, scheme.unwrap_or(self.of_backend));
        is_known.then(|| rewrite.of_client(path))?
    }

    /// Whether a URL of this scheme may mean the client's. With the client's own host, one of
    /// `https` to a client of `http` is not: it sends it there.
    fn may_mean(&self, scheme: Scheme) -> bool {
        let upgrades = scheme == Scheme::Https && self.of_client == Scheme::Http;
        scheme == self.of_client || scheme == self.of_backend && (self.is_own || !upgrades)
    }

    fn is(&self, authority: &str, scheme: Scheme) -> bool {
        let port = match scheme {
            Scheme::Http => ":80",
            Scheme::Https => ":443",
        };
        let plain = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).len();
        let (one, other) = (authority, self.authority);
        one[..plain(one)].eq_ignore_ascii_case(&other[..plain(other)])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    fn known(authority: &str, is_own: bool, schemes: (Scheme, Scheme)) -> Known<'_> {
        Known {
            authority,
            is_own,
            of_backend: schemes.0,
            of_client: schemes.1,
        }
    }

    fn stripped(paths: bool) -> LocationRewrite {
        LocationRewrite {
            paths,
            below: String::new(),
            prefix: "/api".to_owned(),
        }
    }

    #[test]
    fn urls_of_the_host_that_the_backend_got_become_paths_of_the_client() {
        use Scheme::{Http, Https};
        let own = known("backend:8080", true, (Http, Https));
        for (url, changed) in [
            ("http://backend:8080/x?a#b", Some("/api/x?a#b")),
            ("HTTP://Backend:8080", Some("/api")),
            ("http://backend:8080?a", Some("/api?a")),
            ("//backend:8080/x", Some("/api/x")),
            ("https://backend:8080/x", Some("/api/x")),
            ("http://backend/x", None),
            ("http://u@backend:8080/x", None),
            ("http://backend:8080.evil.test/x", None),
            ("ftp://backend:8080/x", None),
            ("http:/backend:8080/x", None),
            ("x/y", None),
            ("?a", None),
            ("", None),
            ("/x", None),
        ] {
            let got = own.changed(&stripped(false), url);
            assert_eq!(got.as_deref(), changed, "{url}");
        }
        let path = own.changed(&stripped(true), "/x");
        assert_eq!(path.as_deref(), Some("/api/x"));
        // A port that a scheme has anyway says nothing.
        for (authority, url) in [
            ("backend", "http://backend:80/x"),
            ("backend:80", "http://backend/x"),
            ("[::1]", "http://[::1]:80/x"),
        ] {
            let known = known(authority, true, (Http, Http));
            let got = known.changed(&stripped(false), url);
            assert_eq!(got.as_deref(), Some("/api/x"), "{url}");
        }
    }

    #[test]
    fn who_sends_clients_to_https_is_not_made_a_loop() {
        use Scheme::{Http, Https};
        for (is_own, backend, client, url, is_changed) in [
            (false, Http, Http, "https://a.test/x", false),
            (false, Https, Http, "https://a.test/x", false),
            (true, Http, Http, "https://a.test/x", false),
            (true, Https, Http, "https://a.test/x", true),
            (false, Http, Https, "https://a.test/x", true),
            (false, Http, Https, "http://a.test/x", true),
            (false, Http, Http, "http://a.test/x", true),
        ] {
            let known = known("a.test", is_own, (backend, client));
            let got = known.changed(&stripped(false), url).is_some();
            assert_eq!(got, is_changed, "{is_own} {backend:?} {client:?} {url}");
        }
    }

    #[test]
    fn the_url_of_a_refresh_is_found() {
        assert_eq!(find_url(b"0; URL=http://a"), Some(7));
        assert_eq!(find_url(b"5"), None);
    }
}
