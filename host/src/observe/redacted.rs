//! What is left out of targets and URLs, because a log is read by more people than a request.

use std::borrow::Cow;

/// In place of a value that is not to be written.
const REDACTED: &str = "***";

/// A target, or an address, without the values of its query.
pub fn without_values(target: &str) -> Cow<'_, str> {
    // What is behind a hash may be a token as well.
    let target = target.split('#').next().unwrap_or_default();
    match target.split_once('?') {
        Some((path, query)) => format!("{path}?{}", values_left_out(query)).into(),
        None => target.into(),
    }
}

pub(super) fn values_left_out(query: &str) -> String {
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) => format!("{name}={REDACTED}"),
        None if part.is_empty() => String::new(),
        // What has no name is the value.
        None => REDACTED.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

/// A URL without the user and the password that some clients send with it.
pub(super) fn without_user(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("//") else {
        return url.into();
    };
    // A backslash is a slash for browsers.
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}//{REDACTED}{}", &rest[at..]).into(),
        None => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_left_out() {
        for (target, left) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?b=c&d=e=f&g", "/a?b=***&d=***&***"),
            ("https://h/a?b=c#d", "https://h/a?b=***"),
            ("/a#b?c=d", "/a"),
        ] {
            assert_eq!(without_values(target), left);
        }
    }

    #[test]
    fn a_password_in_a_url_is_left_out() {
        for (url, left) in [
            ("https://u:p@h/a?b", "https://***@h/a?b"),
            ("https://u@h", "https://***@h"),
            ("https://u:a@b@h\\c@d", "https://***@h\\c@d"),
            ("//u:p@h/a", "//***@h/a"),
            ("https://h/a@b", "https://h/a@b"),
            ("https://h?a@b", "https://h?a@b"),
            ("/a@b", "/a@b"),
            ("", ""),
        ] {
            assert_eq!(without_user(url), left);
        }
    }
}
