//! Redirects of a backend to addresses that only it knows.

use std::ops::Range;

use http::Method;

use super::context::Target;
use crate::config::LocationRewrite;
use crate::message::{Fields, RequestHead, Scheme};

/// What may stand in front of the URL of a `Refresh`, with `=`.
const URL: &[u8] = b"url";

/// Changes the `Location` and the `Refresh` of a response to this request, as far as they lead to
/// the host that the backend got.
#[cold]
pub(super) fn rewrite(
    rewrite: &LocationRewrite,
    head: &RequestHead,
    (status, to): (u16, Target<'_>),
    fields: &mut Fields,
) {
    let backend = &to.endpoint.name;
    let of_backend = match to.endpoint.is_secure() {
        true => Scheme::Https,
        false => Scheme::Http,
    };
    let known = Known {
        authority: head.forwarded_authority(backend),
        of_client: (head.scheme, &head.authority),
        of_backend,
        asked: &head.target,
        repeats: is_repeated(&head.method, status),
    };
    for name in ["location", "refresh"] {
        let Some(value) = only(fields, name) else {
            continue;
        };
        let place = match name {
            "refresh" => match find_url(value) {
                Some(place) => place,
                None => continue,
            },
            _ => 0..value.len(),
        };
        let (before, after) = (&value[..place.start], &value[place.end..]);
        let url = std::str::from_utf8(&value[place]).ok();
        if let Some(url) = url.and_then(|url| known.changed(rewrite, url)) {
            let changed = [before, url.as_bytes(), after].concat();
            fields.set(name.as_bytes(), &changed);
        }
    }
}

/// Whether a client that follows this redirect asks by the same method again (RFC 9110, section
/// 15.4, and the Fetch standard): 303 means GET, and so do 301 and 302 after a POST.
fn is_repeated(method: &Method, status: u16) -> bool {
    match status {
        303 => matches!(*method, Method::GET | Method::HEAD),
        301 | 302 => *method != Method::POST,
        _ => true,
    }
}

/// The value of a field that is there once.
fn only<'f>(fields: &'f Fields, name: &'f str) -> Option<&'f [u8]> {
    let mut values = fields.values(name);
    values.next().filter(|_| values.next().is_none())
}

/// Where the URL of a `Refresh` stands, as browsers find it (HTML, "shared declarative refresh
/// steps").
fn find_url(value: &[u8]) -> Option<Range<usize>> {
    let after = |at: usize, is: fn(&u8) -> bool| {
        let end = value[at..].iter().position(|byte| !is(byte));
        end.map_or(value.len(), |end| at + end)
    };
    let time = after(0, |byte| byte.is_ascii_digit() || *byte == b'.');
    let mark = after(time, u8::is_ascii_whitespace);
    if !matches!(value.get(mark), Some(b';' | b',')) {
        return None;
    }
    let mut start = after(mark + 1, u8::is_ascii_whitespace);
    let named = value[start..].get(..URL.len());
    if named.is_some_and(|named| named.eq_ignore_ascii_case(URL)) {
        let equals = after(start + URL.len(), u8::is_ascii_whitespace);
        if value.get(equals) == Some(&b'=') {
            start = after(equals + 1, u8::is_ascii_whitespace);
        }
    }
    let quote = value.get(start).filter(|byte| matches!(byte, b'"' | b'\''));
    let Some(quote) = quote else {
        return (start < value.len()).then_some(start..value.len());
    };
    let end = value[start + 1..].iter().position(|byte| byte == quote);
    Some(start + 1..end.map_or(value.len(), |end| start + 1 + end))
}

/// What the backend knows itself by.
struct Known<'a> {
    /// The host that it got.
    authority: &'a str,
    of_backend: Scheme,
    /// What the client has asked for.
    of_client: (Scheme, &'a str),
    asked: &'a str,
    /// Whether a client that follows a redirect repeats its request: after a POST most ask by GET.
    repeats: bool,
}

impl Known<'_> {
    fn changed(&self, rewrite: &LocationRewrite, url: &str) -> Option<String> {
        // Browsers leave tabs and line ends out of URLs: what looks like a path may be a host.
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return None;
        }
        let changed = self.for_client(rewrite, url)?;
        // One that was to ask by HTTPS would go in a circle if it was sent back to where it comes
        // from. Any other redirect to the URL that was asked for is meant: a cookie is set, or a
        // form has been taken.
        let (of_client, _) = self.of_client;
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.as_bytes());
        let upgrades = scheme.and_then(Scheme::parse) == Some(Scheme::Https);
        let may_circle = self.repeats && upgrades && of_client == Scheme::Http;
        let is_back = changed.split('#').next() == Some(self.asked);
        (!may_circle || !is_back).then_some(changed)
    }

    fn for_client(&self, rewrite: &LocationRewrite, url: &str) -> Option<String> {
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
        if !self.is_own() && !rewrite.paths {
            return None;
        }
        let is_known = scheme.is_none_or(|scheme| self.may_mean(scheme))
            && is_same(
                (authority, self.authority),
                scheme.unwrap_or(self.of_backend),
            );
        is_known.then(|| rewrite.of_client(path))?
    }

    /// Whether a URL of this scheme may mean the client's. With the client's own host, one of
    /// `https` to a client of `http` is not: it sends it there.
    fn may_mean(&self, scheme: Scheme) -> bool {
        let (of_client, _) = self.of_client;
        let upgrades = scheme == Scheme::Https && of_client == Scheme::Http;
        scheme == of_client || scheme == self.of_backend && (self.is_own() || !upgrades)
    }

    /// Whether the backend got another host than the client has asked for.
    fn is_own(&self) -> bool {
        let (scheme, authority) = self.of_client;
        !is_same((authority, self.authority), scheme)
    }
}

/// Whether two hosts are the same; a port that the scheme has anyway says nothing.
fn is_same((one, other): (&str, &str), scheme: Scheme) -> bool {
    let port = match scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    let plain = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).len();
    one[..plain(one)].eq_ignore_ascii_case(&other[..plain(other)])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    fn known(authority: &str, is_own: bool, schemes: (Scheme, Scheme)) -> Known<'_> {
        Known {
            authority,
            of_backend: schemes.0,
            of_client: (schemes.1, if is_own { "client.test" } else { authority }),
            asked: "/asked",
            repeats: true,
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
            // Where the client comes from.
            ("http://backend:8080/sked", Some("/api/sked")),
            // Browsers take these for a host.
            ("http://backend:8080/\t/evil.test", None),
            ("//backend:8080/\r/evil.test", None),
            ("http://backend:8080/a b", None),
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
            let got = known.changed(&stripped(true), url).is_some();
            assert_eq!(got, is_changed, "{is_own} {backend:?} {client:?} {url}");
            let by_default = known.changed(&stripped(false), url).is_some();
            assert_eq!(by_default, is_changed && is_own, "the client's own host");
        }
    }

    #[test]
    fn only_some_redirects_repeat_the_method() {
        for (method, status, repeats) in [
            (Method::GET, 302, true),
            (Method::HEAD, 303, true),
            (Method::PUT, 301, true),
            (Method::DELETE, 302, true),
            (Method::POST, 301, false),
            (Method::POST, 302, false),
            (Method::PUT, 303, false),
            (Method::POST, 307, true),
            (Method::PUT, 308, true),
        ] {
            assert_eq!(is_repeated(&method, status), repeats, "{method} {status}");
        }
    }

    #[test]
    fn the_url_of_a_refresh_is_found() {
        for (value, url) in [
            ("0; URL=http://a", Some("http://a")),
            ("0;http://a", Some("http://a")),
            ("1.5 , url = 'http://a'x", Some("http://a")),
            ("0; url=\"http://a", Some("http://a")),
            ("0; http://b/?url=http://a", Some("http://b/?url=http://a")),
            ("0; urls", Some("urls")),
            ("5", None),
            ("5;", None),
            ("x; url=http://a", None),
        ] {
            let found = find_url(value.as_bytes()).map(|place| &value[place]);
            assert_eq!(found, url, "{value}");
        }
    }

    #[test]
    fn nobody_who_was_to_go_to_https_is_sent_back_to_where_they_come_from() {
        let rewrite = LocationRewrite {
            paths: true,
            below: String::new(),
            prefix: String::new(),
        };
        let apex = known("a.test", true, (Scheme::Https, Scheme::Http));
        for url in ["https://a.test/asked", "https://a.test/asked#x"] {
            assert_eq!(apex.changed(&rewrite, url), None, "{url}");
        }
        // After a POST, the form is asked for by GET.
        let posted = Known {
            repeats: false,
            ..known("a.test", true, (Scheme::Https, Scheme::Http))
        };
        let form = posted.changed(&rewrite, "https://a.test/asked");
        assert_eq!(form.as_deref(), Some("/asked"));
        // A backend that speaks of itself as it was asked sets a cookie, or means another method.
        let plain = known("backend:8080", true, (Scheme::Http, Scheme::Http));
        for url in [
            "http://backend:8080/asked",
            "//backend:8080/asked",
            "/asked",
        ] {
            let back = plain.changed(&rewrite, url);
            assert_eq!(back.as_deref(), Some("/asked"), "{url}");
        }
        let elsewhere = apex.changed(&rewrite, "https://a.test/asked?more");
        assert_eq!(elsewhere.as_deref(), Some("/asked?more"));
    }
}
