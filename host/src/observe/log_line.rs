//! A line of the access log.

use std::borrow::Cow;
use std::time::SystemTime;

use http::Method;

use super::json_line::{Asking, Line, Tls};
use super::log_text::{common_time, number, seconds, shown};
use super::redacted::{values_left_out, without_user, without_values};
use super::{Asked, Outcome, PolicyTime};
use crate::config::{LogFact, LogFormat, LogPiece};
use crate::ground;
use crate::message::RequestHead;
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
            scheme: self.shown_scheme(),
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
            upstream_microseconds: self.upstream(),
            policies: self.policies().map(Asking::from).collect(),
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
            LogFact::Scheme => self.shown_scheme().map(Into::into),
            LogFact::Host => self.head.map(|head| head.host.as_str().into()),
            LogFact::Target => Some(self.redacted(self.target())),
            LogFact::Path => self.target().split('?').next().map(Into::into),
            LogFact::Query => {
                let query = self.target().split_once('?');
                query.map(|(_, query)| self.query_shown(query))
            }
            LogFact::Protocol => self.protocol().map(Into::into),
            LogFact::Status => return number(to, format_args!("{:03}", outcome.status)),
            LogFact::BytesFromClient => return number(to, format_args!("{}", self.bytes().0)),
            LogFact::BytesToClient => return number(to, format_args!("{}", self.bytes().1)),
            LogFact::Duration => return seconds(to, outcome.microseconds()),
            LogFact::UpstreamDuration => match self.upstream() {
                Some(took) => return seconds(to, took),
                None => None,
            },
            LogFact::Policies => {
                let each = self.policies().map(Asking::from);
                let each = each.map(|asked| format!("{}={}", asked.name, asked.nanoseconds));
                Some(each.collect::<Vec<_>>().join(",").into())
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

    /// A connection that is passed on has none.
    fn shown_scheme(&self) -> Option<&'static str> {
        let is_request = self.moved.is_none_or(|moved| moved.layer4.is_none());
        let head = self.understood().filter(|_| is_request)?;
        Some(self.scheme(head))
    }

    /// Microseconds.
    fn upstream(&self) -> Option<u64> {
        let took = self.outcome.logged.as_deref()?.upstream?;
        u64::try_from(took.as_micros()).ok()
    }

    fn policies(&self) -> impl Iterator<Item = &'a PolicyTime> {
        let known = self.outcome.logged.as_deref();
        known.into_iter().flat_map(|known| &known.policies)
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

    /// Without values where these are left out.
    fn redacted<'t>(&self, target: &'t str) -> Cow<'t, str> {
        match self.redact_query {
            true => without_values(target),
            false => target.into(),
        }
    }

    fn query_shown<'t>(&self, query: &'t str) -> Cow<'t, str> {
        match self.redact_query {
            true => values_left_out(query).into(),
            false => query.into(),
        }
    }

    /// The first field of this name, as policies and the route have left it.
    fn field(&self, name: &str) -> Option<Cow<'a, str>> {
        let value = String::from_utf8_lossy(self.bytes_of(name)?);
        match name == "referer" {
            true if self.redact_query => {
                let left = without_values(&value);
                Some(without_user(&left).into_owned().into())
            }
            _ => Some(value),
        }
    }
}
