//! The `Accept` field (RFC 9110 section 12.5.1), as far as a choice between two types needs it.

/// Whether the client prefers the media type `this` to `that`. False without a field and between
/// equals.
pub(super) fn prefers(accept: Option<&[u8]>, this: &str, that: &str) -> bool {
    let Some(accept) = accept.and_then(|a| std::str::from_utf8(a).ok()) else {
        return false;
    };
    quality(accept, this) > quality(accept, that)
}

/// The q-value of the most specific range that matches (the highest of equally specific ones); 0 if
/// none matches.
fn quality(accept: &str, media_type: &str) -> f32 {
    let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let mut best = (0_u8, 0.0_f32);
    for entry in accept.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let specificity = if range.eq_ignore_ascii_case(media_type) {
            3
        } else if range
            .strip_suffix("/*")
            .is_some_and(|k| k.eq_ignore_ascii_case(kind))
        {
            2
        } else if range == "*/*" {
            1
        } else {
            continue;
        };
        let q = parts
            .filter_map(|p| p.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        // A q-value that is not a number is ignored.
        let q = q
            .and_then(|(_, q)| q.trim().parse::<f32>().ok())
            .filter(|q| q.is_finite())
            .unwrap_or(1.0);
        if specificity > best.0 || (specificity == best.0 && q > best.1) {
            best = (specificity, q.clamp(0.0, 1.0));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(accept: &str) -> bool {
        prefers(Some(accept.as_bytes()), "text/html", "application/json")
    }

    #[test]
    fn html_only_if_it_is_preferred() {
        assert!(html(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(html("TEXT/HTML"));
        assert!(html("application/json;q=0.5, text/*"));
        assert!(html("text/html;q=0.2, */*;q=0.1"));
        assert!(!html("*/*"));
        assert!(!html("application/json"));
        assert!(!html("text/html, application/json"));
        assert!(!html("text/html;q=0.5, application/json;q=0.6"));
        assert!(!html("text/html;q=0, */*"));
        assert!(!html("image/png"));
        assert!(!html(""));
        assert!(!prefers(None, "text/html", "application/json"));
        assert!(!prefers(
            Some(b"text/html\xff"),
            "text/html",
            "application/json"
        ));
    }

    #[test]
    fn an_invalid_q_value_is_ignored() {
        assert!(html("text/html;q=high, application/json;q=0.9"));
        assert!(html("text/html;q=NaN, application/json;q=0.9"));
    }

    #[test]
    fn prometheus_asks_for_open_metrics() {
        let scrape = b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
            text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert!(prefers(
            Some(scrape),
            "application/openmetrics-text",
            "text/plain"
        ));
        assert!(!prefers(
            Some(b"*/*"),
            "application/openmetrics-text",
            "text/plain"
        ));
    }
}
