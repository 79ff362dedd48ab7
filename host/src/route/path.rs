//! Paths as a backend will read them.

use std::borrow::Cow;

/// Resolves `.` and `..` segments (RFC 3986 section 5.2.4), percent-encoded dots included. Borrows when there are none.
pub(super) fn without_dot_segments(path: &str) -> Cow<'_, str> {
    let suspicious = path.contains("/.") || path.as_bytes().windows(3).any(|w| w.eq_ignore_ascii_case(b"%2e"));
    if !suspicious || !path.starts_with('/') {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut directory = false;
    for segment in path[1..].split('/') {
        directory = false;
        match dots(segment) {
            Some(1) => directory = true,
            Some(2) => {
                kept.pop();
                directory = true;
            }
            _ => kept.push(segment),
        }
    }
    let end = if directory && !kept.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", kept.join("/")))
}

/// How many dots a segment consists of, if nothing else and one or two.
fn dots(segment: &str) -> Option<usize> {
    if segment.len() > 6 {
        return None;
    }
    match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => Some(1),
        ".." => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dot_segments() {
        for (path, resolved) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/.%2E/b", "/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("*", "*"),
        ] {
            assert_eq!(without_dot_segments(path), resolved, "{path}");
        }
    }

    proptest! {
        #[test]
        fn resolving_twice_changes_nothing(path in "(/(\\.|\\.\\.|a|%2e|b)){0,8}/?") {
            let once = without_dot_segments(&path).into_owned();
            prop_assert_eq!(without_dot_segments(&once).into_owned(), once);
        }
    }
}
