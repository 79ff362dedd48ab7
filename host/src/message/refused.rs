//! Why a message is refused. Which status a refusal becomes is `proxy`'s business.

use thiserror::Error;

/// Why a message head or body is not acceptable. The text is for the person on the other side and
/// for the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Malformed {
    #[error("the request line is not `METHOD target HTTP/1.1`")]
    RequestLine,
    #[error("the method is not a token")]
    Method,
    #[error("the request target is not a path, `*` or an http URL of visible ASCII characters")]
    Target,
    #[error("the HTTP version is not supported; use HTTP/1.1")]
    Version,
    #[error("the request line is too long")]
    RequestLineTooLong,
    #[error("the header fields are too large")]
    HeadTooLarge,
    #[error("there are too many header fields")]
    TooManyFields,
    #[error("a line ends in a bare CR or a bare LF; lines end in CR LF")]
    LineEnd,
    #[error("a header field name is not a token followed by a colon")]
    FieldName,
    #[error("a header field value has a control character or, by HTTP/2, white space around it")]
    FieldValue,
    #[error("a header field value begins or ends with white space, which HTTP/2 does not allow")]
    FieldSpace,
    #[error("a header field is folded over several lines")]
    Folded,
    #[error("the Host field is missing")]
    HostMissing,
    #[error("there is more than one Host field")]
    HostRepeated,
    #[error("the Host field is not a host of up to 255 bytes and an optional port")]
    Host,
    #[error("the Host field differs from :authority")]
    HostDiffers,
    #[error(":scheme is not the scheme of the connection")]
    Scheme,
    #[error("a field is about the connection, which HTTP/2 does not allow")]
    ConnectionField,
    #[error("Content-Length is not one plain decimal number")]
    ContentLength,
    #[error("there is more than one Content-Length field")]
    ContentLengthRepeated,
    #[error("Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    #[error("both Transfer-Encoding and Content-Length are present")]
    BothLengths,
    #[error("the body is not correctly chunked")]
    Chunk,
    #[error("the status line is not `HTTP/1.1 NNN reason`")]
    StatusLine,
    #[error("a stream breaks the rules of HTTP/2")]
    Stream,
    #[error("the trailers have a pseudo-field, as only a head may")]
    PseudoTrailer,
    #[error("interim responses come faster than 30 a second for long, or are too large")]
    Interim,
    #[error("Max-Forwards is not one plain decimal number")]
    MaxForwards,
    #[error("a CONNECT has a Content-Length")]
    ConnectLength,
    #[error("Sec-WebSocket-Accept is not the answer to the key that was sent")]
    WebSocketAccept,
    #[error("the Expect field asks for something else than 100-continue")]
    Expect,
}
