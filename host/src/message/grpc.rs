//! What the proxy knows of gRPC over HTTP/2: how a call is recognised, how a refusal is said to its
//! caller, and how long a call may take.
//!
//! Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md) and "HTTP to gRPC Status Code Mapping" of the gRPC
//! project.

use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::Fields;

/// Bytes of a `grpc-message` that are written as `%XX`: all but printable ASCII, and `%` itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Clients show messages to people; longer ones only fill the header block.
const LONGEST_MESSAGE: usize = 1024;

/// The status of a call, as a number of `grpc-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcStatus {
    /// No status fits.
    Unknown = 2,
    /// The call took longer than its caller allows.
    DeadlineExceeded = 4,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A limit was reached.
    ResourceExhausted = 8,
    /// There is no such method here.
    Unimplemented = 12,
    /// The request breaks the protocol.
    Internal = 13,
    /// The service can't be reached now; the caller may try again.
    Unavailable = 14,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl GrpcStatus {
    /// What an HTTP status that the proxy or a policy gives means for a call.
    pub fn of_http(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            // Not in the table of the gRPC project, which only knows what proxies send by accident.
            413 | 431 => Self::ResourceExhausted,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The value of `grpc-status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "2",
            Self::DeadlineExceeded => "4",
            Self::PermissionDenied => "7",
            Self::ResourceExhausted => "8",
            Self::Unimplemented => "12",
            Self::Internal => "13",
            Self::Unavailable => "14",
            Self::Unauthenticated => "16",
        }
    }
}

/// Whether a request with these fields is a gRPC call: its content type is `application/grpc`, with
/// any message format (`application/grpc+proto`). gRPC-Web is another protocol.
pub fn is_call(fields: &Fields) -> bool {
    fields.first("content-type").is_some_and(is_kind)
}

/// Whether this content type is that of gRPC.
pub fn is_kind(value: &[u8]) -> bool {
    let Some((kind, rest)) = value.split_at_checked("application/grpc".len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(b"application/grpc")
        && matches!(rest.first(), None | Some(b'+' | b';'))
}

/// A value for `grpc-message`: one line, percent-encoded, not too long.
pub fn message(text: &[u8]) -> String {
    let text = text.trim_ascii_end();
    let text = &text[..text.len().min(LONGEST_MESSAGE)];
    percent_encode(text, ESCAPED).to_string()
}

/// How long the caller waits, by `grpc-timeout`: at most 8 digits and a unit, as in `100m`. `None`
/// if there is no such field, or if it is malformed; a server ignores one of those.
pub fn timeout(fields: &Fields) -> Option<Duration> {
    let (unit, digits) = fields.first("grpc-timeout")?.split_last()?;
    let is_number = matches!(digits.len(), 1..=8) && digits.iter().all(u8::is_ascii_digit);
    if !is_number {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Fields {
        let mut fields = Fields::new();
        fields.append(name.as_bytes(), value.as_bytes());
        fields
    }

    #[test]
    fn a_call_is_known_by_its_content_type() {
        for (value, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_call(&with("content-type", value)), is, "{value}");
        }
        assert!(!is_call(&Fields::new()));
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits_and_a_unit() {
        let ms = Duration::from_millis;
        for (value, expected) in [
            ("1H", Some(ms(3_600_000))),
            ("2M", Some(ms(120_000))),
            ("3S", Some(ms(3_000))),
            ("100m", Some(ms(100))),
            ("5000u", Some(ms(5))),
            ("7000000n", Some(ms(7))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("0m", Some(ms(0))),
            ("123456789S", None),
            ("S", None),
            ("10", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1 S", None),
            ("", None),
        ] {
            assert_eq!(timeout(&with("grpc-timeout", value)), expected, "{value}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_printable_ascii() {
        assert_eq!(message(b"No backend.\n"), "No backend.");
        assert_eq!(message("50 % \n ä".as_bytes()), "50 %25 %0A %C3%A4");
        assert!(message(&[b'x'; 5_000]).len() <= LONGEST_MESSAGE);
    }

    #[test]
    fn a_status_is_what_the_table_says() {
        for (http, grpc) in [
            (400, "13"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (413, "8"),
            (429, "14"),
            (431, "8"),
            (500, "2"),
            (502, "14"),
            (503, "14"),
            (504, "14"),
            (418, "2"),
        ] {
            assert_eq!(GrpcStatus::of_http(http).as_str(), grpc, "{http}");
        }
        let all = [
            GrpcStatus::Unknown,
            GrpcStatus::DeadlineExceeded,
            GrpcStatus::PermissionDenied,
            GrpcStatus::ResourceExhausted,
            GrpcStatus::Unimplemented,
            GrpcStatus::Internal,
            GrpcStatus::Unavailable,
            GrpcStatus::Unauthenticated,
        ];
        assert!(all.iter().all(|s| s.as_str() == (*s as u8).to_string()));
    }
}
