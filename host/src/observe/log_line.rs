//! A line of the access log.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::SystemTime;

use http::Method;
use httpdate::fmt_http_date;
use serde::Serialize;

use super::redaction::{query_shown, target_shown};
use super::{Asked, Outcome};
use crate::config::{LogFact, LogFormat, LogPiece};
use crate::ground;
use crate::message::{RequestHead, TlsSession};
use crate::net::ConnectionInfo;
use crate::text::write_json;

/// What a tunnel has carried.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// Bytes.
    pub from_client: u64,
    /// Bytes.
    pub to_client: u64,
    /// What stands in place of a version of HTTP, where there was no request.
    pub layer4: Option<&'static str>,
}

/// A request that has ended, as far as a line speaks of it.
pub(super) struct Seen<'a> {
    pub outcome: &'a Outcome,
    /// As much of it as was understood.
    pub head: Option<&'a RequestHead>,
    pub from: &'a ConnectionInfo,
    /// If it was a tunnel.
    pub moved: Option<Moved>,
    /// Whether values of queries are left out.
    pub redact_query: bool,
}

/// A line in JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// When the request's head had arrived, RFC 3339 in UTC.
    time: String,
    /// The client's address.
    client: Cow<'a, str>,
    /// The version of HTTP; nothing if the head could not be read. Of a connection that was passed
    /// on as it is, `passthrough` or `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    /// The TLS session of its connection; nothing if that is not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    /// The request method; empty if the head could not be read.
    method: &'a str,
    /// The host asked for.
    host: &'a str,
    /// Path and query.
    target: Cow<'a, str>,
    /// The port of a forward proxy's destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// The user of a forward proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    /// The status sent; 0 if none was.
    status: u16,
    /// Time from the head to the end of the response.
    duration_microseconds: u64,
    /// The route.
    #[serde(skip_serializing_if = "str::is_empty")]
    route: &'a str,
    /// The pool.
    #[serde(skip_serializing_if = "str::is_empty")]
    pool: &'a str,
    /// The last backend tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    /// How often the request was sent.
    attempts: u32,
    /// Another attempt would have been made, had the retry budget allowed it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    over_budget: bool,
    /// What became of an attempt beside another.
    #[serde(skip_serializing_if = "Option::is_none")]
    hedge: Option<&'static str>,
    /// Bytes of the request's body; of a tunnel, those after its 101, or of the whole connection.
    bytes_from_client: u64,
    /// Bytes of the response's body; of a tunnel, those after its 101.
    bytes_to_client: u64,
    /// What the client says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    /// Where it says that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<Cow<'a, str>>,
    /// What it is called, where `[request-id]` or the route says that it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Its trace, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    /// Why the proxy or a policy refused the request, or why it could not be completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The TLS session of a client's connection.
#[derive(Debug, Serialize)]
struct Tls<'a> {
    /// The version of TLS.
    version: &'static str,
    /// The cipher suite by its name in IANA's registry.
    cipher_suite: &'a str,
    /// The name that the client asked for (SNI).
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<&'a str>,
    /// The protocol that was agreed to (ALPN).
    #[serde(skip_serializing_if = "Option::is_none")]
    application_protocol: Option<&'a str>,
    /// The subject of the client's certificate, if it has presented one.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_subject: Option<&'a str>,
}

impl<'a> From<&'a TlsSession> for Tls<'a> {
    fn from(session: &'a TlsSession) -> Self {
        Self {
            version: session.version.as_str(),
            cipher_suite: &session.cipher_suite,
            server_name: session.server_name.as_deref(),
            application_protocol: session.protocol.as_deref(),
            client_subject: session.client.as_deref().map(|own| &*own.subject),
        }
    }
}

impl<'a> Seen<'a> {
    /// Appends the line and its end.
    pub(super) fn write(&self, format: &LogFormat, to: &mut Vec<u8>) {
        match format {
            LogFormat::Json => write_json(&self.line(), to),
            LogFormat::Text(pieces) => {
                for piece in pieces {
                    match piece {
                        LogPiece::Text(text) => to.extend_from_slice(text.as_bytes()),
                        LogPiece::Fact(fact) => self.write_fact(fact, to),
                    }
                }
            }
        }
        to.push(b'\n');
    }

    fn line(&self) -> Line<'_> {
        let (outcome, asked) = (self.outcome, self.asked());
        let known = outcome.logged.as_deref();
        let (bytes_from_client, bytes_to_client) = self.bytes();
        Line {
            time: ground::stamp(outcome.took),
            client: self.client(),
            protocol: self.protocol(),
            tls: self.from.session().map(|session| Tls::from(&**session)),
            method: self.understood().map_or("", |head| head.method.as_str()),
            host: self.head.map_or("", |head| &head.host),
            target: self.redacted(self.target()),
            port: asked.map(|asked| asked.port).filter(|port| *port > 0),
            user: asked.and_then(|asked| asked.user.as_deref()),
            status: outcome.status,
            duration_microseconds: outcome.microseconds(),
            route: known.map_or("", |known| &known.route),
            pool: known.map_or("", |known| &known.pool),
            backend: self.backend(),
            attempts: outcome.attempts,
            over_budget: outcome.over_budget,
            hedge: outcome.hedge.as_str(),
            bytes_from_client,
            bytes_to_client,
            user_agent: self.field("user-agent"),
            referer: self.field("referer"),
            request_id: self.request_id(),
            trace_id: self.trace_id(),
            reason: outcome.reason.as_deref(),
        }
    }

    /// A fact as text: a dash if it is not known. Nothing of it ends a line or a quoted text.
    fn write_fact(&self, fact: &LogFact, to: &mut Vec<u8>) {
        let outcome = self.outcome;
        let known = outcome.logged.as_deref();
        let session = self.from.session();
        let text: Option<Cow<'_, str>> = match fact {
            LogFact::Time => Some(ground::stamp(outcome.took).into()),
            LogFact::TimeCommon => Some(common_time(SystemTime::now() - outcome.took).into()),
            LogFact::Client => Some(self.client()),
            LogFact::User => self
                .asked()
                .and_then(|asked| asked.user.as_deref())
                .map(Into::into),
            LogFact::Method => self.understood().map(|head| head.method.as_str().into()),
            LogFact::Scheme => self.understood().map(|head| self.scheme(head).into()),
            LogFact::Host => self.head.map(|head| head.host.as_str().into()),
            LogFact::Target => Some(self.redacted(self.target())),
            LogFact::Path => self.target().split('?').next().map(Into::into),
            LogFact::Query => {
                let query = self.target().split_once('?');
                query.map(|(_, query)| query_shown(query, self.redact_query))
            }
            LogFact::Protocol => self.protocol().map(Into::into),
            LogFact::Status => return number(to, format_args!("{:03}", outcome.status)),
            LogFact::BytesFromClient => return number(to, format_args!("{}", self.bytes().0)),
            LogFact::BytesToClient => return number(to, format_args!("{}", self.bytes().1)),
            LogFact::Duration => {
                let all = outcome.microseconds();
                let (seconds, rest) = (all / 1_000_000, all % 1_000_000);
                return number(to, format_args!("{seconds}.{rest:06}"));
            }
            LogFact::DurationMicroseconds => {
                return number(to, format_args!("{}", outcome.microseconds()));
            }
            LogFact::Attempts => return number(to, format_args!("{}", outcome.attempts)),
            LogFact::Route => known.map(|known| known.route.as_str().into()),
            LogFact::Pool => known.map(|known| known.pool.as_str().into()),
            LogFact::Backend => self.backend().map(Into::into),
            LogFact::TraceId => self.trace_id().map(Into::into),
            LogFact::RequestId => self.request_id().map(Into::into),
            LogFact::Reason => outcome.reason.as_deref().map(Into::into),
            LogFact::TlsVersion => session.map(|session| session.version.as_str().into()),
            LogFact::CipherSuite => session.map(|session| (&*session.cipher_suite).into()),
            LogFact::Sni => {
                let name = session.and_then(|session| session.server_name.as_deref());
                name.map(Into::into)
            }
            LogFact::Header(name) if &**name == "referer" => self.field(name),
            LogFact::Header(name) => return shown(self.bytes_of(name).unwrap_or_default(), to),
        };
        shown(text.as_deref().unwrap_or_default().as_bytes(), to);
    }

    /// Before the fields about the client are read, what its connection says.
    fn scheme(&self, head: &RequestHead) -> &'static str {
        match self.outcome.client.is_unspecified() {
            true => self.from.scheme().as_str(),
            false => head.scheme.as_str(),
        }
    }

    /// The head, if it was understood up to its target.
    fn understood(&self) -> Option<&'a RequestHead> {
        self.head.filter(|head| !head.target.is_empty())
    }

    fn asked(&self) -> Option<&'a Asked> {
        self.outcome.asked.as_deref()
    }

    fn client(&self) -> Cow<'a, str> {
        match self.outcome.client.is_unspecified() {
            true => self.from.peer_text().into(),
            false => self.outcome.client.to_string().into(),
        }
    }

    fn protocol(&self) -> Option<&'static str> {
        let layer4 = self.moved.and_then(|moved| moved.layer4);
        layer4.or(self.understood().map(|head| head.version.as_str()))
    }

    fn target(&self) -> &'a str {
        match self.head {
            // All that one has is a host and a port.
            Some(head) if head.method == Method::CONNECT && head.target == "/" => &head.authority,
            head => head.map_or("", |head| &head.target),
        }
    }

    fn backend(&self) -> Option<&'a str> {
        let backend = self.outcome.backend.as_deref();
        backend.map(|backend| backend.name.as_str())
    }

    fn request_id(&self) -> Option<&'a str> {
        let id = self.head.map(|head| head.id.as_str());
        id.filter(|id| !id.is_empty())
    }

    fn trace_id(&self) -> Option<String> {
        let of = self.head?.trace?;
        Some(format!("{:032x}", of.trace))
    }

    /// Bytes from and to the client.
    fn bytes(&self) -> (u64, u64) {
        let of_forward = self.asked().and_then(|asked| asked.bytes);
        match (self.moved, of_forward) {
            (Some(moved), _) => (moved.from_client, moved.to_client),
            (None, Some(bytes)) => bytes,
            (None, None) => {
                let known = self.outcome.logged.as_deref();
                let sent = known.map_or(0, |known| known.request_bytes);
                (sent, self.outcome.response_bytes)
            }
        }
    }

    fn bytes_of(&self, name: &str) -> Option<&'a [u8]> {
        self.head?.fields.first(name)
    }

    /// The first field of this name, as policies and the route have left it.
    fn field(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = String::from_utf8_lossy(self.bytes_of(name)?);
        match name == "referer" {
            true => match self.redacted(&value) {
                Cow::Borrowed(_) => Some(value),
                Cow::Owned(left) => Some(left.into()),
            },
            false => Some(value),
        }
    }

    fn redacted<'t>(&self, target: &'t str) -> Cow<'t, str> {
        target_shown(target, self.redact_query)
    }
}

fn number(to: &mut Vec<u8>, number: std::fmt::Arguments<'_>) {
    // Writing into memory can't fail.
    let _ = to.write_fmt(number);
}

/// As `common` has it: `30/Nov/2026:08:49:37 +0000`.
fn common_time(time: SystemTime) -> String {
    let date = fmt_http_date(time);
    let parts: Vec<&str> = date.split(' ').collect();
    match parts[..] {
        [_, day, month, year, time, _] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => date,
    }
}

/// A dash if there is nothing.
fn shown(text: &[u8], to: &mut Vec<u8>) {
    match text {
        b"" => to.push(b'-'),
        text => escaped(text, to),
    }
}

/// Quotes, backslashes and whatever is not visible ASCII are written by their bytes.
fn escaped(text: &[u8], to: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b' '..=b'~' if !b"\"\\".contains(&byte) => to.push(byte),
            _ => number(to, format_args!("\\x{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_ends_no_line_and_no_quoted_text() {
        let mut to = Vec::new();
        escaped(b"a \"b\"\\\n\xe9\x7f", &mut to);
        assert_eq!(to, br"a \x22b\x22\x5C\x0A\xE9\x7F");
    }

    #[test]
    fn a_date_is_written_as_in_the_common_format() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777);
        assert_eq!(common_time(time), "06/Nov/1994:08:49:37 +0000");
    }

    #[test]
    fn values_of_a_query_are_left_out_where_that_is_asked_for() {
        let (outcome, of) = (Outcome::begin(), ([127, 0, 0, 1], 1).into());
        let from = ConnectionInfo::new(of, of);
        let seen = |redact_query| Seen {
            outcome: &outcome,
            head: None,
            from: &from,
            moved: None,
            redact_query,
        };
        for (target, left) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?b=c&d=e=f&g", "/a?b=***&d=***&***"),
            ("https://h/a?b=c#d", "https://h/a?b=***"),
            ("/a#b?c=d", "/a"),
        ] {
            assert_eq!(seen(false).redacted(target), target);
            assert_eq!(seen(true).redacted(target), left);
        }
    }
}
