//! Checks a guest's answers and converts them.

use super::answer::{ByteRange, Edited, RangeVerdict, Reply, Routed, Selected};
use super::bindings::waypost::policy::types::HeaderError;
use super::contract::{WitByteRange, WitResponse};
use super::edits::{check_name, check_value};

/// The most fields of a reply.
const MAX_REPLY_FIELDS: usize = 64;
/// The largest body of a reply.
const MAX_REPLY_BODY: usize = 64 * 1024;
/// The most ranges of one answer.
const MAX_RANGES: usize = 64;

/// An answer that breaks the contract; holds the reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidAnswer(String);

/// Judges `selection.select`; `backends` is how many the pool has.
pub(super) fn selected(
    answer: Result<Option<u32>, WitResponse>,
    backends: u32,
) -> Result<Selected, InvalidAnswer> {
    match answer {
        Ok(None) => Ok(Selected::NoChoice),
        Ok(Some(index)) if index < backends => Ok(Selected::Backend(index)),
        Ok(Some(index)) => invalid(format!("backend {index} of a pool that has {backends}")),
        Err(response) => reply(response).map(Selected::Answer),
    }
}

/// Judges `routing.route` and `destination.decide`; `pools` is how many there are to choose from.
pub(super) fn routed(
    answer: Result<Option<u32>, WitResponse>,
    pools: usize,
) -> Result<Routed, InvalidAnswer> {
    match answer {
        Ok(None) => Ok(Routed::NoChoice),
        Ok(Some(index)) if (index as usize) < pools => Ok(Routed::Pool(index)),
        Ok(Some(index)) => invalid(format!(
            "pool {index} where there are {pools} to choose from"
        )),
        Err(response) => reply(response).map(Routed::Answer),
    }
}

/// Judges the header hooks.
pub(super) fn edited(answer: Result<(), WitResponse>) -> Result<Edited, InvalidAnswer> {
    match answer {
        Ok(()) => Ok(Edited::Done),
        Err(response) => reply(response).map(Edited::Answer),
    }
}

/// Judges `range.check`.
pub(super) fn ranges(
    answer: Result<Option<Vec<WitByteRange>>, WitResponse>,
) -> Result<RangeVerdict, InvalidAnswer> {
    let list = match answer {
        Ok(None) => return Ok(RangeVerdict::Untouched),
        Ok(Some(list)) => list,
        Err(response) => return reply(response).map(RangeVerdict::Answer),
    };
    if list.is_empty() {
        return Ok(RangeVerdict::Ignore);
    }
    if list.len() > MAX_RANGES {
        return invalid(format!("{} ranges; {MAX_RANGES} is the most", list.len()));
    }
    list.into_iter()
        .map(byte_range)
        .collect::<Result<_, _>>()
        .map(RangeVerdict::Ranges)
}

fn byte_range(range: WitByteRange) -> Result<ByteRange, InvalidAnswer> {
    match (range.first, range.last) {
        (Some(first), Some(last)) if first <= last => Ok(ByteRange::FromTo(first, last)),
        (Some(first), Some(last)) => invalid(format!("a range from {first} to {last}")),
        (Some(first), None) => Ok(ByteRange::From(first)),
        (None, Some(last)) => Ok(ByteRange::Suffix(last)),
        (None, None) => invalid("a range without first and last byte".to_owned()),
    }
}

fn reply(response: WitResponse) -> Result<Reply, InvalidAnswer> {
    let WitResponse {
        status,
        mut headers,
        body,
    } = response;
    if !(200..=599).contains(&status) {
        return invalid(format!("a response with status {status}"));
    }
    if headers.len() > MAX_REPLY_FIELDS {
        return invalid(format!(
            "a response with {} header fields; {MAX_REPLY_FIELDS} is the most",
            headers.len()
        ));
    }
    if body.len() > MAX_REPLY_BODY {
        return invalid(format!(
            "a response body of {} bytes; {MAX_REPLY_BODY} is the most",
            body.len()
        ));
    }
    for (name, value) in &mut headers {
        check_name(name.as_bytes())
            .and_then(|()| check_value(value))
            .or_else(|e| {
                let shown: String = name.chars().take(64).collect();
                match e {
                    HeaderError::Forbidden => invalid(format!(
                        "a response with the field {shown:?}, which the host owns"
                    )),
                    HeaderError::InvalidValue => invalid(format!(
                        "a response whose field {shown:?} has an invalid value"
                    )),
                    _ => invalid(format!("a response with the invalid field name {shown:?}")),
                }
            })?;
        name.make_ascii_lowercase();
    }
    Ok(Reply {
        status,
        headers,
        body,
    })
}

fn invalid<T>(reason: String) -> Result<T, InvalidAnswer> {
    Err(InvalidAnswer(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16) -> WitResponse {
        WitResponse {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn range(first: Option<u64>, last: Option<u64>) -> WitByteRange {
        WitByteRange { first, last }
    }

    #[test]
    fn an_index_beyond_the_pool_is_invalid() {
        assert!(matches!(selected(Ok(Some(2)), 3), Ok(Selected::Backend(2))));
        assert!(selected(Ok(Some(3)), 3).is_err());
        assert!(selected(Ok(Some(0)), 0).is_err());
    }

    #[test]
    fn a_pool_that_is_not_there_to_choose_is_invalid() {
        assert!(matches!(routed(Ok(Some(1)), 2), Ok(Routed::Pool(1))));
        assert!(matches!(routed(Ok(None), 0), Ok(Routed::NoChoice)));
        assert!(routed(Ok(Some(2)), 2).is_err() && routed(Ok(Some(0)), 0).is_err());
        assert!(matches!(
            routed(Err(response(403)), 0),
            Ok(Routed::Answer(_))
        ));
    }

    #[test]
    fn replies_are_bounded() {
        for status in [0, 100, 199, 600, 65535] {
            assert!(edited(Err(response(status))).is_err(), "{status}");
        }
        assert!(edited(Err(response(503))).is_ok());
        assert!(
            edited(Err(WitResponse {
                body: vec![0; 65537],
                ..response(200)
            }))
            .is_err()
        );
        let field = |n: &str, v: &str| (n.to_owned(), v.as_bytes().to_vec());
        for bad in [
            field("content-length", "1"),
            field("a b", "c"),
            field("a", "b\r\nc: d"),
        ] {
            assert!(
                edited(Err(WitResponse {
                    headers: vec![bad],
                    ..response(200)
                }))
                .is_err()
            );
        }
        assert!(
            edited(Err(WitResponse {
                headers: vec![field("a", "b"); 65],
                ..response(200)
            }))
            .is_err()
        );
        let Ok(Edited::Answer(reply)) = edited(Err(WitResponse {
            headers: vec![field("X-A", "b")],
            ..response(200)
        })) else {
            panic!("a good reply is refused");
        };
        assert_eq!(reply.headers[0].0, "x-a");
    }

    #[test]
    fn ranges_are_checked() {
        assert!(matches!(ranges(Ok(None)), Ok(RangeVerdict::Untouched)));
        assert!(matches!(ranges(Ok(Some(vec![]))), Ok(RangeVerdict::Ignore)));
        assert!(ranges(Ok(Some(vec![range(None, None)]))).is_err());
        assert!(ranges(Ok(Some(vec![range(Some(2), Some(1))]))).is_err());
        assert!(ranges(Ok(Some(vec![range(Some(1), Some(2)); 65]))).is_err());
        let Ok(RangeVerdict::Ranges(list)) = ranges(Ok(Some(vec![
            range(Some(1), Some(1)),
            range(Some(3), None),
            range(None, Some(5)),
        ]))) else {
            panic!("good ranges are refused");
        };
        assert_eq!(
            list,
            [
                ByteRange::FromTo(1, 1),
                ByteRange::From(3),
                ByteRange::Suffix(5)
            ]
        );
    }
}
