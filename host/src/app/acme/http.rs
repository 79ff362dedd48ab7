//! The requests to a certificate authority: each within limits of time and of bytes, because the
//! authority is only as good as what answers at its address.

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::without_query;
use crate::net::tls::{HandshakeError, client_config};
use crate::text::with_causes;

/// For one request, from the look-up of the name to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A chain of certificates has some 10 KiB; an order of 100 names as many.
const LARGEST: usize = 1 << 20;
/// Seconds that an authority may ask for: a day.
const LONGEST_WISH: u64 = 24 * 3600;
/// How much of an answer that is not understood is shown.
const SHOWN: usize = 60;
/// HTTPS.
const PORT: u16 = 443;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends requests by HTTP/1.1 over TLS, each by a connection of its own: an order has some ten.
#[derive(Clone)]
pub(super) struct Http {
    config: Arc<ClientConfig>,
    /// When the authority wants to be asked again, if it has said so in a refusal.
    again: Arc<Mutex<Option<SystemTime>>>,
}

impl Http {
    /// Trusts these roots, or the system's.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        Ok(Self {
            config: client_config(ca).map_err(|e| e.to_string())?,
            again: Arc::default(),
        })
    }

    /// When the authority wants to be asked again.
    pub(super) fn again(&self) -> Option<SystemTime> {
        *self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, Failure> {
        let (parts, body) = request.into_parts();
        let (host, port) = host_and_port(&parts.uri)?;
        let name = ServerName::try_from(host.clone())?;
        let socket = TcpStream::connect((host.as_str(), port)).await;
        let socket = socket.map_err(|e| format!("it can't be reached: {e}"))?;
        let session = TlsConnector::from(self.config)
            .connect(name, socket)
            .await
            .map_err(|e| HandshakeError::from(e).of_backend())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(session)).await?;
        let request = Request::from_parts(in_origin_form(parts)?, body);
        let exchange = async {
            let answer = sender.send_request(request).await;
            let (parts, body) = answer.map_err(|e| unanswered(&e))?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|e| {
                let reason = with_causes(&*e);
                format!("its answer breaks off, or has more than {LARGEST} bytes: {reason}")
            })?;
            Ok::<_, Failure>(Response::from_parts(parts, body.to_bytes()))
        };
        let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
        let response = tokio::select! {
            biased;
            done = &mut exchange => done?,
            // What has arrived is still there to be read.
            _ = &mut connection => exchange.await?,
        };
        let (mut parts, body) = response.into_parts();
        defuse(&mut parts.headers, &body)?;
        if !parts.status.is_success() {
            let again = retry_after(&parts.headers);
            *self.again.lock().unwrap_or_else(PoisonError::into_inner) = again;
        }
        understood(parts.status, &body)?;
        Ok(BytesResponse {
            parts,
            body: Box::new(body),
        })
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let uri = without_query(&request.uri().to_string()).to_owned();
        let exchange = tokio::time::timeout(PATIENCE, self.clone().exchange(request));
        Box::pin(async move {
            let failed = |reason: String| Error::Other(format!("{uri}: {reason}").into());
            match exchange.await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(e)) => Err(failed(with_causes(&*e))),
                Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
            }
        })
    }
}

/// Why there is no answer on a connection that is there.
fn unanswered(error: &hyper::Error) -> String {
    let reason = with_causes(error);
    match error.is_parse() || error.is_parse_too_large() {
        true => format!("what answers does not speak HTTP/1.1: {reason}"),
        false => format!("it closed the connection without an answer: {reason}"),
    }
}

/// Whether an answer is one of an ACME server: JSON, a chain of certificates, or nothing where it
/// is no refusal.
fn understood(status: StatusCode, body: &[u8]) -> Result<(), Failure> {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    let is_plain = body.is_empty() || body.trim_ascii_start().starts_with(b"-----BEGIN");
    if is_json || is_plain && status.is_success() {
        return Ok(());
    }
    let begin = String::from_utf8_lossy(body.get(..SHOWN).unwrap_or(body)).into_owned();
    let begin = match begin.trim() {
        "" => "nothing".to_owned(),
        begin => format!("{begin:?}"),
    };
    Err(format!(
        "it answered with the status {status} and {begin}, where an ACME server answers with JSON: \
         `directory` may not be the URL of one"
    )
    .into())
}

/// A directory may name other hosts, but no other scheme.
fn host_and_port(uri: &Uri) -> Result<(String, u16), Failure> {
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => {
            let host = host.trim_matches(['[', ']']).to_owned();
            Ok((host, uri.port_u16().unwrap_or(PORT)))
        }
        _ => Err("it is not a URL that begins with https://".into()),
    }
}

fn in_origin_form(mut parts: http::request::Parts) -> Result<http::request::Parts, Failure> {
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str())?;
        parts.headers.insert(HOST, host);
    }
    let name = HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION")));
    parts.headers.insert(USER_AGENT, name);
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    parts.uri = path.parse()?;
    Ok(parts)
}

/// What instant-acme takes for granted, and would panic without: seconds that a clock can add, and
/// an address for nonces that is one.
fn defuse(headers: &mut HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let seconds = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let seconds = seconds.and_then(|text| text.trim().parse::<u64>().ok());
    if seconds.is_some_and(|seconds| seconds > LONGEST_WISH) {
        headers.insert(RETRY_AFTER, HeaderValue::from(LONGEST_WISH));
    }
    let is_url = |url: &str| {
        url.parse::<Uri>()
            .is_ok_and(|uri| host_and_port(&uri).is_ok())
    };
    match serde_json::from_slice::<Directory>(body) {
        Ok(Directory { new_nonce }) if !is_url(&new_nonce) => {
            Err("the directory's newNonce is not a URL that begins with https://".into())
        }
        _ => Ok(()),
    }
}

/// The part of a directory that has to be looked at.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<SystemTime> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<u32>() {
        Ok(seconds) => SystemTime::now().checked_add(Duration::from_secs(seconds.into())),
        Err(_) => httpdate::parse_http_date(value).ok(),
    }
}
