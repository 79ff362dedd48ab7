//! What `Proxy-Status` says of a refusal.

use super::Refusal;
use crate::message::Malformed;

impl Refusal {
    /// What `Proxy-Status` says (RFC 9209 section 2.3): no more than the status and the sentence
    /// do.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::NoRoute { .. } | Self::Misdirected => "destination_not_found",
            Self::Loop => "proxy_loop_detected",
            Self::NoBackend | Self::Unreachable => "destination_unavailable",
            Self::ConnectTimeout => "connection_timeout",
            Self::ResponseTimeout | Self::CallDeadline => "http_response_timeout",
            Self::ClosedEarly => "http_response_incomplete",
            Self::BadResponse(Malformed::HeadTooLarge) => "http_response_header_section_size",
            Self::BadResponse(_) | Self::UnaskedUpgrade | Self::UnfitBackend { .. } => {
                "http_protocol_error"
            }
            Self::Busy
            | Self::AtLimit
            | Self::OutOfConnections
            | Self::StreamLimit
            | Self::HiddenClient
            | Self::TooManyConnections => "connection_limit_reached",
            Self::TooManyOfClient => "http_request_denied",
            Self::NotSwitched | Self::NoWebSocket => "http_upgrade_failed",
            Self::PolicyFailed { .. } | Self::PolicyNotAsked { .. } | Self::PolicyAbsent { .. } => {
                "proxy_internal_error"
            }
            Self::Forward(refusal) => refusal.error_type(),
            Self::Malformed(_)
            | Self::Path(_)
            | Self::AmbiguousPath
            | Self::Contradiction
            | Self::Method
            | Self::Protocol
            | Self::RequestTimeout
            | Self::SlowClient
            | Self::BodyTooLarge
            | Self::RangeNotSatisfiable { .. } => "http_request_error",
        }
    }
}
