//! What is left out of targets where values of queries are not to be shown.

use std::borrow::Cow;

/// In place of a value that is not to be written.
const REDACTED: &str = "***";

/// A target, or an address, without the values of its query if those are left out.
pub fn target_shown(target: &str, redact: bool) -> Cow<'_, str> {
    if !redact {
        return target.into();
    }
    // What is behind a hash may be a token as well.
    let target = target.split('#').next().unwrap_or_default();
    match target.split_once('?') {
        Some((path, query)) => format!("{path}?{}", query_shown(query, redact)).into(),
        None => target.into(),
    }
}

/// A query without its values if those are left out.
pub(super) fn query_shown(query: &str, redact: bool) -> Cow<'_, str> {
    if !redact {
        return query.into();
    }
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) => format!("{name}={REDACTED}"),
        None if part.is_empty() => String::new(),
        // What has no name is the value.
        None => REDACTED.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&").into()
}
