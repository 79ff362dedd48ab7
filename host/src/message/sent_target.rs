//! What a backend is asked for, where that is not what the client has sent.

use super::path::{self, PathNotes};
use super::{ByRoute, RequestHead, syntax};

/// As many bytes of a target as every server should take (RFC 9112 section 3 says it of the line,
/// in which a method and the version stand as well).
const LONGEST: usize = 7_900;

impl RequestHead {
    /// The path that a backend gets, and the query without its `?`.
    pub fn sent_parts(&self) -> (&str, Option<&str>) {
        let (path, query) = self.forwarded_target();
        match query.strip_prefix('?') {
            Some(query) => (path, Some(query)),
            None => match path.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (path, None),
            },
        }
    }

    /// Has a backend get another path, which all servers read alike, and the query as it was.
    /// Returns whether it may: `/` begins it, it is visible ASCII and in normal form, and the whole
    /// is not longer than 7,900 bytes or what the client has sent.
    pub fn send_path(&mut self, path: &str) -> bool {
        let mut normal = String::new();
        let is_visible = syntax::target(path.as_bytes()).is_ok() && !path.contains('?');
        let is_path = is_visible && path.starts_with('/');
        if !is_path || path::normalise(path, &mut normal) != PathNotes::default() {
            return false;
        }
        if !normal.is_empty() {
            return false;
        }
        let query = self.sent_parts().1.map(str::to_owned);
        self.send(path, query.as_deref())
    }

    /// Has a backend get another query, or none, and the path as it was. Returns whether it may.
    pub fn send_query(&mut self, query: Option<&str>) -> bool {
        let is_query = |query: &str| query.is_empty() || syntax::target(query.as_bytes()).is_ok();
        if !query.is_none_or(is_query) {
            return false;
        }
        let path = self.sent_parts().0.to_owned();
        self.send(&path, query)
    }

    /// Has a backend get another host, perhaps with a port. Returns whether it may.
    pub fn send_authority(&mut self, authority: &str) -> bool {
        let may = syntax::host_of_authority(authority).is_some();
        if may {
            let by_route = self.by_route.get_or_insert_default();
            authority.clone_into(&mut by_route.authority);
            by_route.names_backend = false;
        }
        may
    }

    fn send(&mut self, path: &str, query: Option<&str>) -> bool {
        let length = path.len() + query.map_or(0, |query| query.len() + 1);
        if length > LONGEST.max(self.target.len()) {
            return false;
        }
        let ByRoute { target, .. } = &mut **self.by_route.get_or_insert_default();
        path.clone_into(target);
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_target(target);
        head.authority.push_str("a.test:8080");
        head
    }

    fn sent(head: &RequestHead) -> String {
        let (path, query) = head.forwarded_target();
        format!("{} {path}{query}", head.forwarded_authority("b"))
    }

    #[test]
    fn path_query_and_host_change_one_by_one() {
        let mut changed = head("/a?b=c");
        assert_eq!(changed.sent_parts(), ("/a", Some("b=c")));
        assert!(changed.send_path("/x/y") && changed.send_path("/x"));
        assert_eq!(sent(&changed), "a.test:8080 /x?b=c");
        assert!(changed.send_query(Some("d=%20")));
        assert_eq!(sent(&changed), "a.test:8080 /x?d=%20");
        assert_eq!(changed.sent_parts(), ("/x", Some("d=%20")));
        assert!(changed.send_query(Some("")));
        assert_eq!(sent(&changed), "a.test:8080 /x?");
        assert!(changed.send_query(None));
        assert_eq!(sent(&changed), "a.test:8080 /x");
        assert!(changed.send_authority("[::1]:1"));
        assert_eq!(sent(&changed), "[::1]:1 /x");
        assert_eq!((changed.path(), changed.query()), ("/a", Some("b=c")));
    }

    #[test]
    fn a_query_alone_leaves_the_path_as_it_is_sent() {
        let mut raw = head("/a/%61//b");
        assert!(raw.send_query(Some("q")));
        assert_eq!(sent(&raw), "a.test:8080 /a/%61//b?q");
        let mut normal = head("/a/%61//b?p");
        normal.forward_normal = true;
        assert!(normal.send_query(None));
        assert_eq!(sent(&normal), "a.test:8080 /a/a/b");
    }

    #[test]
    fn a_target_that_servers_find_too_long_is_not_sent() {
        let long = format!("/{}", "x".repeat(7_890));
        let mut short = head("/a");
        assert!(short.send_path(&long) && short.send_query(Some("12345678")));
        assert!(!short.send_query(Some("123456789")) && !short.send_path(&format!("{long}x")));
        assert_eq!(sent(&short), format!("a.test:8080 {long}?12345678"));
        let mut as_long = head(&format!("{long}{long}"));
        assert!(as_long.send_path(&format!("{long}/{}", "x".repeat(7_890))));
    }

    #[test]
    fn a_host_of_the_backend_gives_way_to_one_that_is_named() {
        let mut named = head("/");
        named.by_route.get_or_insert_default().names_backend = true;
        assert!(named.send_authority("b.test"));
        named.name_backend(|| "of-the-backend".to_owned());
        assert_eq!(sent(&named), "b.test /");
    }

    #[test]
    fn what_is_read_in_two_ways_is_not_sent() {
        let mut head = head("/a?b");
        for path in [
            "",
            "a",
            "*",
            "//a",
            "/a//b",
            "/a/../b",
            "/a/./b",
            "/..",
            "/%61",
            "/a%2fb",
            "/a%2Fb",
            "/a\\b",
            "/a%5Cb",
            "/..;/a",
            "/a;b",
            "/a?b",
            "/a#b",
            "/a b",
            "/a\r\nb: c",
            "/\u{e4}",
            "/%",
            "/%0",
            "/%00",
            "/%0A",
            "/%252e%252e/a",
            "/%c0%af",
            "/a\0",
        ] {
            assert!(!head.send_path(path), "{path:?}");
        }
        for query in ["a b", "a#b", "a\r\nb: c", "\u{e4}", "\0"] {
            assert!(!head.send_query(Some(query)), "{query:?}");
        }
        for host in [
            "",
            "a b",
            "a/b",
            "a:b",
            "a:99999",
            "a@b",
            "[::1",
            "a,b",
            "a\r\nb: c",
            "\u{e4}",
        ] {
            assert!(!head.send_authority(host), "{host:?}");
        }
        assert_eq!(
            (sent(&head).as_str(), head.by_route),
            ("a.test:8080 /a?b", None)
        );
    }
}
