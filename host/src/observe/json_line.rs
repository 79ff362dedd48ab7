//! A line of the access log as JSON.

use std::borrow::Cow;

use serde::Serialize;

use super::PolicyTime;
use crate::message::TlsSession;

/// A line in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    /// When the request's head had arrived, RFC 3339 in UTC.
    pub time: String,
    /// The client's address.
    pub client: Cow<'a, str>,
    /// The version of HTTP; nothing if the head could not be read. Of a connection that was passed
    /// on as it is, `passthrough` or `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    /// The TLS session of its connection; nothing if that is not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls<'a>>,
    /// `http` or `https`; nothing if the head could not be read, or if there was no request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<&'static str>,
    /// The request method; empty if the head could not be read.
    pub method: &'a str,
    /// The host asked for.
    pub host: &'a str,
    /// Path and query.
    pub target: Cow<'a, str>,
    /// The port of a forward proxy's destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user of a forward proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// The status sent; 0 if none was.
    pub status: u16,
    /// Time from the head to the end of the response.
    pub duration_microseconds: u64,
    /// The route.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub route: &'a str,
    /// The pool.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pool: &'a str,
    /// The last backend tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<&'a str>,
    /// From the whole request to the head of the backend's answer, of the attempt that was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_microseconds: Option<u64>,
    /// The policies that were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Asking<'a>>,
    /// How often the request was sent.
    pub attempts: u32,
    /// Another attempt would have been made, had the retry budget allowed it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub over_budget: bool,
    /// What became of an attempt beside another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<&'static str>,
    /// Bytes of the request's body; of a tunnel, those after its 101, or of the whole connection.
    pub bytes_from_client: u64,
    /// Bytes of the response's body; of a tunnel, those after its 101.
    pub bytes_to_client: u64,
    /// What the client says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Cow<'a, str>>,
    /// Where it says that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referer: Option<Cow<'a, str>>,
    /// What it is called, where `[request-id]` or the route says that it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// Its trace, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Why the proxy or a policy refused the request, or why it could not be completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// A policy that was asked.
#[derive(Debug, Serialize)]
pub(super) struct Asking<'a> {
    pub name: &'a str,
    /// The time of all its calls for the request.
    pub nanoseconds: u64,
}

/// The TLS session of a client's connection.
#[derive(Debug, Serialize)]
pub(super) struct Tls<'a> {
    /// The version of TLS.
    pub version: &'static str,
    /// The cipher suite by its name in IANA's registry.
    pub cipher_suite: &'a str,
    /// The name that the client asked for (SNI).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<&'a str>,
    /// The protocol that was agreed to (ALPN).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_protocol: Option<&'a str>,
    /// The subject of the client's certificate, if it has presented one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_subject: Option<&'a str>,
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

impl<'a> From<&'a PolicyTime> for Asking<'a> {
    fn from(asked: &'a PolicyTime) -> Self {
        Self {
            name: &asked.name,
            nanoseconds: u64::try_from(asked.took.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}
