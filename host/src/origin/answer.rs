//! How does content become an answer? Conditions first, then ranges, then the whole (RFC 9110
//! section 13.2.2).

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::condition::{self, Verdict};
use super::content::{Content, Source};
use super::range::{self, Wanted};
use crate::units::hex;

pub(super) type Answer = Response<Content>;

/// The last second that an HTTP date can name; a file may be younger than that, or older than 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// The content of a path, with the data that conditions and ranges need.
#[derive(Debug)]
pub(super) struct Representation {
    pub(super) source: Source,
    /// In bytes.
    pub(super) length: u64,
    pub(super) media: &'static str,
    /// A strong validator, with its quotes.
    pub(super) etag: String,
    /// In seconds since 1970; `None` where no date can be vouched for.
    pub(super) modified: Option<u64>,
}

impl Representation {
    /// Content at hand, validated by its digest.
    pub(super) fn memory(
        content: impl Into<Bytes>,
        media: &'static str,
        modified: Option<u64>,
    ) -> Self {
        let content = content.into();
        let digest = Sha256::digest(&content);
        let etag = hex(&digest[..12]);
        let (length, source) = (content.len() as u64, Source::Memory(content));
        Self {
            source,
            length,
            media,
            etag: format!("\"{etag}\""),
            modified,
        }
    }

    /// Answers a `GET` or `HEAD`.
    pub(super) fn answer(self, request: &Parts) -> Answer {
        let now = seconds(SystemTime::now());
        let (etag, modified, length) = (self.etag.clone(), self.modified, self.length);
        let mut answer = match condition::weigh(&request.headers, &etag, modified) {
            Verdict::Failed => sentence(
                StatusCode::PRECONDITION_FAILED,
                "The content does not match the condition of the request.",
            ),
            Verdict::Unchanged => status(StatusCode::NOT_MODIFIED),
            Verdict::Proceed => {
                // A range means nothing in a HEAD (RFC 9110 section 14.2); of two fields neither
                // can be trusted.
                let mut fields = request.headers.get_all(RANGE).iter();
                let wanted = match (
                    fields.next().and_then(|field| field.to_str().ok()),
                    fields.next(),
                ) {
                    (Some(field), None)
                        if request.method == Method::GET
                            && condition::range_holds(&request.headers, &etag, modified, now) =>
                    {
                        range::parse(field, length)
                    }
                    _ => Wanted::Whole,
                };
                self.cut(wanted)
            }
        };
        insert(&mut answer, ETAG, &etag);
        insert(&mut answer, ACCEPT_RANGES, "bytes");
        if let Some(modified) = modified {
            insert(&mut answer, LAST_MODIFIED, &date(modified));
        }
        answer
    }

    fn cut(self, wanted: Wanted) -> Answer {
        let (length, media) = (self.length, self.media);
        match wanted {
            Wanted::Whole => send(
                StatusCode::OK,
                media,
                Content::new(self.source).slice(0..length),
            ),
            Wanted::Nothing => {
                let told = format!(
                    "The content has {length} bytes, and none of the requested ranges lies within \
                     them."
                );
                let mut answer = sentence(StatusCode::RANGE_NOT_SATISFIABLE, &told);
                insert(&mut answer, CONTENT_RANGE, &format!("bytes */{length}"));
                answer
            }
            Wanted::Slices(slices) => match slices.as_slice() {
                [slice] => {
                    let content = Content::new(self.source).slice(slice.clone());
                    let mut answer = send(StatusCode::PARTIAL_CONTENT, media, content);
                    insert(&mut answer, CONTENT_RANGE, &content_range(slice, length));
                    answer
                }
                slices => self.multipart(slices),
            },
        }
    }

    fn multipart(self, slices: &[Range<u64>]) -> Answer {
        // Drawn for each answer, so that no content can be prepared to contain it.
        let boundary = format!("{:032x}", rand::random::<u128>());
        let (length, media) = (self.length, self.media);
        let mut content = Content::new(self.source);
        for slice in slices {
            let span = content_range(slice, length);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {media}\r\nContent-Range: {span}\r\n\r\n"
            );
            content = content.literal(head).slice(slice.clone());
        }
        let content = content.literal(format!("\r\n--{boundary}--\r\n"));
        let mut answer = send(StatusCode::PARTIAL_CONTENT, "", content);
        insert(
            &mut answer,
            CONTENT_TYPE,
            &format!("multipart/byteranges; boundary={boundary}"),
        );
        answer
    }
}

/// An answer with a body.
pub(super) fn send(status: StatusCode, media: &'static str, content: Content) -> Answer {
    let length = content.length();
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// An answer that has no body by definition.
pub(super) fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Content::empty());
    *answer.status_mut() = status;
    answer
}

/// An answer that explains an error to a person.
pub(super) fn sentence(status: StatusCode, text: &str) -> Answer {
    send(
        status,
        "text/plain; charset=utf-8",
        Content::whole(Bytes::from(format!("{text}\n"))),
    )
}

/// 405, naming what would have been allowed.
pub(super) fn not_allowed(method: &Method, allowed: &str) -> Answer {
    let told = format!("{method} is not allowed here; allowed are {allowed}.");
    let mut answer = sentence(StatusCode::METHOD_NOT_ALLOWED, &told);
    insert(&mut answer, ALLOW, allowed);
    answer
}

/// Sets a field. All values are made of checked parts; one that could not be sent is left out
/// rather than guessed at.
pub(super) fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// Seconds since 1970, within what an HTTP date can name.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().min(LAST_SECOND))
}

/// An HTTP date (RFC 9110 section 5.6.7).
pub(super) fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)))
}

fn content_range(slice: &Range<u64>, length: u64) -> String {
    format!(
        "bytes {}-{}/{length}",
        slice.start,
        slice.end.saturating_sub(1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_date() {
        assert_eq!(
            date(seconds(UNIX_EPOCH - Duration::from_secs(1))),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        assert_eq!(date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
