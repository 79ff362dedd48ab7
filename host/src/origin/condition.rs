//! Does the client need this answer? (RFC 9110 section 13)

use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};

/// The result of the conditions of a `GET` or `HEAD`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer in full.
    Proceed,
    /// 304: the client has it.
    Unchanged,
    /// 412: the client has something else.
    Failed,
}

/// Weighs the conditions in the order of RFC 9110 section 13.2.2.
///
/// `etag` is a strong validator with its quotes, `modified` is in seconds since 1970.
pub(super) fn weigh(headers: &HeaderMap, etag: &str, modified: Option<u64>) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !names(headers, &IF_MATCH, etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let (Some(date), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), modified)
        && modified > date
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if names(headers, &IF_NONE_MATCH, etag, Comparison::Weak) {
            return Verdict::Unchanged;
        }
    } else if let (Some(date), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), modified)
        && modified <= date
    {
        return Verdict::Unchanged;
    }
    Verdict::Proceed
}

/// Whether `If-Range` lets a range be served: it is absent, or names exactly this representation.
///
/// `now` is in seconds since 1970: a date is a strong validator only if it is older than the answer
/// that carries it (RFC 9110 section 8.8.2.2), for a file may change twice in a second.
pub(super) fn range_holds(
    headers: &HeaderMap,
    etag: &str,
    modified: Option<u64>,
    now: u64,
) -> bool {
    let Some(field) = headers.get(IF_RANGE) else {
        return true;
    };
    if field.as_bytes() == etag.as_bytes() {
        return true;
    }
    modified.is_some_and(|modified| modified < now && date(headers, &IF_RANGE) == Some(modified))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags, or `*`, names `etag`.
fn names(headers: &HeaderMap, field: &HeaderName, etag: &str, comparison: Comparison) -> bool {
    headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| {
            let mut rest = list.trim();
            if rest == "*" {
                return true;
            }
            while let Some(start) = rest.find('"') {
                let weak = rest[..start].ends_with("W/");
                let Some(length) = rest[start + 1..].find('"') else {
                    return false;
                };
                let end = start + 1 + length + 1;
                if rest[start..end] == *etag && (comparison == Comparison::Weak || !weak) {
                    return true;
                }
                rest = &rest[end..];
            }
            false
        })
}

fn date(headers: &HeaderMap, field: &HeaderName) -> Option<u64> {
    let date = httpdate::parse_http_date(headers.get(field)?.to_str().ok()?).ok()?;
    Some(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc,d\"";
    const THEN: u64 = 784_111_777;
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn weighed(fields: &[(HeaderName, &'static str)]) -> Verdict {
        weigh(&headers(fields), ETAG, Some(THEN))
    }

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn if_none_match_compares_weakly_and_wins_over_the_date() {
        for list in [ETAG, "W/\"abc,d\"", "\"x\", \"abc,d\"", "*"] {
            assert_eq!(
                weighed(&[(IF_NONE_MATCH, list)]),
                Verdict::Unchanged,
                "{list}"
            );
        }
        for list in ["\"x\"", "abc,d", "\"abc", "", "\"abc\",\"d\""] {
            assert_eq!(
                weighed(&[(IF_NONE_MATCH, list), (IF_MODIFIED_SINCE, DATE)]),
                Verdict::Proceed,
                "{list}"
            );
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        assert_eq!(weighed(&[(IF_MATCH, ETAG)]), Verdict::Proceed);
        assert_eq!(weighed(&[(IF_MATCH, "W/\"abc,d\"")]), Verdict::Failed);
        assert_eq!(weighed(&[(IF_MATCH, "\"x\"")]), Verdict::Failed);
    }

    #[test]
    fn dates_count_to_the_second() {
        assert_eq!(weighed(&[(IF_MODIFIED_SINCE, DATE)]), Verdict::Unchanged);
        assert_eq!(weighed(&[(IF_MODIFIED_SINCE, BEFORE)]), Verdict::Proceed);
        assert_eq!(
            weighed(&[(IF_MODIFIED_SINCE, "yesterday")]),
            Verdict::Proceed
        );
        assert_eq!(weighed(&[(IF_UNMODIFIED_SINCE, DATE)]), Verdict::Proceed);
        assert_eq!(weighed(&[(IF_UNMODIFIED_SINCE, BEFORE)]), Verdict::Failed);
    }

    #[test]
    fn if_range_wants_the_very_same_representation() {
        let holds = |value| range_holds(&headers(&[(IF_RANGE, value)]), ETAG, Some(THEN), THEN + 1);
        assert!(holds(ETAG) && holds(DATE));
        assert!(!holds("W/\"abc,d\"") && !holds("\"x\"") && !holds(BEFORE));
        assert!(
            !range_holds(&headers(&[(IF_RANGE, DATE)]), ETAG, Some(THEN), THEN),
            "changed in this very second"
        );
        assert!(range_holds(&HeaderMap::new(), ETAG, None, THEN));
    }
}
