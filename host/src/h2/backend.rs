//! The heads of a request to a backend and of its response.

use bytes::Bytes;
use h2::ext::Protocol;
use http::header::CONTENT_LENGTH;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderValue, Method, Request, Version as HttpVersion, response};

use super::fields::{self, FRAMING};
use crate::message::{
    HeadLimits, Keep, Malformed, Notes, RequestHead, ResponseHead, Version, syntax, websocket,
};

/// What a request to a backend has beside its head.
#[derive(Debug, Clone, Copy)]
pub struct RequestExtras<'a> {
    /// The length that the head says, if it does.
    pub length: Option<u64>,
    /// The authority of clients that named none.
    pub host: &'a str,
    /// Whether the backend is reached over TLS.
    pub is_secure: bool,
}

/// What a response's head says beside its fields.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseFacts {
    /// Its `Content-Length`.
    pub length: Option<u64>,
    /// Instructions for the proxy in the fields.
    pub notes: Notes,
}

/// The head of a request as the engine takes it.
///
/// # Errors
///
/// The host is not one that HTTP/2 can express.
pub fn request(head: &RequestHead, extras: RequestExtras<'_>) -> Result<Request<()>, Malformed> {
    let mut request = Request::new(());
    *request.version_mut() = HttpVersion::HTTP_2;
    let connects = head.upgrade.asks_by_connect();
    if connects {
        *request.method_mut() = Method::CONNECT;
        let protocol = Protocol::from_static(websocket::WEBSOCKET);
        request.extensions_mut().insert(protocol);
    } else {
        request.method_mut().clone_from(&head.method);
    }
    *request.uri_mut() = uri(head, extras)?;
    let map = request.headers_mut();
    map.reserve(head.fields.len() + 1);
    fields::append_some(map, &head.fields, |name| {
        // There is no key in HTTP/2 (RFC 8441 section 5).
        let is_key = connects && name == websocket::KEY.as_bytes();
        !is_key && !is_of_connection(name)
    });
    if let Some(length) = extras.length {
        map.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

fn uri(head: &RequestHead, extras: RequestExtras<'_>) -> Result<Uri, Malformed> {
    let authority = head.forwarded_authority(extras.host);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match extras.is_secure {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    });
    parts.authority = Some(Authority::try_from(authority).map_err(|_| Malformed::Host)?);
    parts.path_and_query = Some(path(head)?);
    Uri::from_parts(parts).map_err(|_| Malformed::Target)
}

/// Path and query. What the engine's type does not take, although HTTP/1.1 peers send it, is
/// percent-encoded, as it should have been (RFC 3986 section 2).
fn path(head: &RequestHead) -> Result<PathAndQuery, Malformed> {
    let (path, query) = head.forwarded_target();
    let mut text = Vec::with_capacity(path.len() + query.len());
    for byte in path.bytes().chain(query.bytes()) {
        match byte {
            b'<' | b'>' | b'`' | b'#' | b'"' | b'{' | b'}' | b'^' => {
                text.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => text.push(byte),
        }
    }
    PathAndQuery::from_maybe_shared(Bytes::from(text)).map_err(|_| Malformed::Target)
}

/// Reads the head of a response. Fields that belong to this hop are taken out.
///
/// # Errors
///
/// Why the head is refused.
pub fn read_response(
    head: &mut ResponseHead,
    parts: &response::Parts,
    limits: HeadLimits,
) -> Result<ResponseFacts, Malformed> {
    head.clear();
    head.version = Version::Http2;
    head.status = parts.status.as_u16();
    let mut facts = ResponseFacts::default();
    let mut bytes = 0;
    for (at, (name, value)) in parts.headers.iter().enumerate() {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        bytes += name.len() + value.len() + FRAMING;
        if bytes > limits.bytes {
            return Err(Malformed::HeadTooLarge);
        }
        if at >= limits.fields {
            return Err(Malformed::TooManyFields);
        }
        read_field(head, &mut facts, name, syntax::trim(value))?;
    }
    Ok(facts)
}

fn read_field(
    head: &mut ResponseHead,
    facts: &mut ResponseFacts,
    name: &[u8],
    value: &[u8],
) -> Result<(), Malformed> {
    if name.len() > syntax::MAX_NAME {
        return Err(Malformed::FieldName);
    }
    if !syntax::is_value(value) {
        return Err(Malformed::FieldValue);
    }
    if is_of_connection(name) {
        return Err(Malformed::ConnectionField);
    }
    if name == b"content-length" {
        let length = syntax::length(value).ok_or(Malformed::ContentLength)?;
        // Repeated but equal lengths may be read as one (RFC 9110 section 8.6).
        return match facts.length.replace(length) {
            Some(before) if before != length => Err(Malformed::ContentLengthRepeated),
            _ => Ok(()),
        };
    }
    let fields = &mut head.fields;
    let draft = fields.draft(name).ok_or(Malformed::FieldName)?;
    match facts.notes.response_field(fields.drafted(draft), value) {
        Keep::Yes => fields.keep(draft, value),
        Keep::No => fields.discard(draft),
    }
    Ok(())
}

/// Whether a field is about a connection of HTTP/1.1 (RFC 9113 section 8.2.2).
fn is_of_connection(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"transfer-encoding"
            | b"upgrade"
            | b"http2-settings"
            | b"host"
    )
}

/// Whether a response with this status to this method never has a body.
pub fn is_bodiless(status: u16, method: &Method) -> bool {
    matches!(status, 204 | 304) || *method == Method::HEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        first_line: 100,
        bytes: 200,
        fields: 4,
    };

    fn head(target: &str, authority: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_target(target);
        authority.clone_into(&mut head.authority);
        head
    }

    fn extras(length: Option<u64>) -> RequestExtras<'static> {
        RequestExtras {
            length,
            host: "192.0.2.1:80",
            is_secure: true,
        }
    }

    #[test]
    fn a_request_has_the_clients_host_or_the_backends_and_no_field_about_connections() {
        let mut with = head("/a?b=c", "www.a.test:81");
        for (name, value) in [
            ("x-a", "1"),
            ("te", "trailers"),
            ("connection", "te"),
            ("x-a", "2"),
            ("upgrade", "websocket"),
        ] {
            with.fields.append(name.as_bytes(), value.as_bytes());
        }
        let request = super::request(&with, extras(Some(7))).unwrap();
        assert_eq!(request.uri(), "https://www.a.test:81/a?b=c");
        let fields: Vec<_> = request.headers().iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(fields, ["x-a", "x-a", "te", "content-length"]);
        let without = super::request(&head("/", ""), extras(None)).unwrap();
        assert_eq!(without.uri(), "https://192.0.2.1:80/");
    }

    #[test]
    fn a_request_for_a_websocket_is_an_extended_connect_without_a_key() {
        let mut asking = head("/chat?a", "a.test");
        asking.upgrade.add(b"websocket");
        for (name, value) in [
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ] {
            asking.fields.append(name.as_bytes(), value.as_bytes());
        }
        asking.upgrade.ask_by_stream(true);
        let request = super::request(&asking, extras(None)).unwrap();
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.uri(), "https://a.test/chat?a");
        let protocol = request.extensions().get::<Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        let fields: Vec<_> = request.headers().iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(fields, ["sec-websocket-version"]);
        asking.upgrade.ask_by_stream(false);
        let request = super::request(&asking, extras(None)).unwrap();
        assert_eq!(request.method(), Method::GET);
        assert!(request.headers().contains_key("sec-websocket-key"));
    }

    #[test]
    fn a_path_is_sent_as_it_is_and_what_no_path_has_is_encoded() {
        for (target, sent) in [
            ("/a%2Fb/./c", "/a%2Fb/./c"),
            ("/a<b>?c=`d`&e={f}", "/a%3Cb%3E?c=%60d%60&e=%7Bf%7D"),
            ("/a|b'c\\d?", "/a|b'c\\d?"),
        ] {
            let request = super::request(&head(target, "a"), extras(None)).unwrap();
            let path = request.uri().path_and_query().unwrap();
            assert_eq!(path.as_str(), sent);
        }
        let mut options = head("*", "a");
        options.method = Method::OPTIONS;
        let request = super::request(&options, extras(None)).unwrap();
        assert_eq!(request.uri().path(), "*");
    }

    fn read(fields: &[(&'static str, &str)]) -> Result<(ResponseHead, ResponseFacts), Malformed> {
        let mut response = http::Response::new(());
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            response.headers_mut().append(*name, value);
        }
        let mut head = ResponseHead::default();
        let facts = read_response(&mut head, &response.into_parts().0, LIMITS)?;
        Ok((head, facts))
    }

    #[test]
    fn a_response_is_read_by_the_rules_of_every_version() {
        let (head, facts) = read(&[
            ("x-a", "1"),
            ("content-length", "5"),
            ("content-length", "5"),
            ("x-a", " 2 "),
        ])
        .unwrap();
        assert_eq!((head.status, head.version), (200, Version::Http2));
        assert_eq!(head.fields.values("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert!(!head.fields.contains("content-length"));
        assert_eq!(facts.length, Some(5));
        let long = "x".repeat(200);
        for (fields, reason) in [
            (&[("connection", "x")][..], Malformed::ConnectionField),
            (
                &[("transfer-encoding", "chunked")],
                Malformed::ConnectionField,
            ),
            (&[("content-length", "x")], Malformed::ContentLength),
            (
                &[("content-length", "1"), ("content-length", "2")],
                Malformed::ContentLengthRepeated,
            ),
            (&[("x-a", &long)], Malformed::HeadTooLarge),
            (&[("x-a", "1"); 5], Malformed::TooManyFields),
        ] {
            assert_eq!(read(fields).err(), Some(reason), "{fields:?}");
        }
    }
}
