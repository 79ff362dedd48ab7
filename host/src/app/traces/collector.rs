//! Requests to the collector: by HTTP/1.1 over one connection that is kept, each within limits of
//! time and of bytes.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::encode::ExportResponse;
use crate::config::TraceExport;
use crate::files;
use crate::net::tls::{HandshakeError, client_config};
use crate::text::with_causes;

/// An answer says how many spans were not taken, and why.
const LARGEST: usize = 64 << 10;
/// A token.
const TOKEN: u64 = 16 << 10;
/// How long a collector may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(30);

type Failure = Box<dyn Error + Send + Sync>;

/// What carries a connection.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// The collector.
pub(super) struct Collector {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    token_file: Option<PathBuf>,
    timeout: Duration,
    kept: Option<SendRequest<Full<Bytes>>>,
}

/// What has come of a request.
pub(super) enum Sent {
    /// The collector has taken all but so many of the spans.
    Taken(u64),
    /// It will not take them.
    Refused(String),
    /// It may take them after this time, if it says when.
    Later(String, Option<Duration>),
}

impl Collector {
    /// # Errors
    ///
    /// What is configured can't be used.
    pub(super) fn new(export: &TraceExport) -> Result<Self, String> {
        let unusable = |e: &dyn Error| format!("`tracing.endpoint` can't be used: {e}");
        let uri: Uri = export.endpoint.parse().map_err(|e| unusable(&e))?;
        let host = uri.host().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let is_secure = uri.scheme_str() == Some("https");
        let tls = is_secure.then(|| client_config(export.ca.as_deref()));
        let tls = tls.transpose();
        let headers = export.headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(name.as_str()).map_err(|e| unusable(&e))?;
            let value = HeaderValue::try_from(value.as_slice()).map_err(|e| unusable(&e))?;
            Ok((name, value))
        });
        let collector = Self {
            port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            tls: tls.map_err(|e| format!("`tracing.ca` can't be used: {e}"))?,
            headers: headers.collect::<Result<_, String>>()?,
            token_file: export.token_file.clone(),
            timeout: export.timeout,
            kept: None,
            host,
            uri,
        };
        collector.token()?;
        Ok(collector)
    }

    /// Sends a batch.
    pub(super) async fn send(&mut self, batch: Bytes) -> Sent {
        let limit = self.timeout;
        let answered = match tokio::time::timeout(limit, self.exchange(batch)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("it has not answered within {limit:?}").into()),
        };
        match answered {
            Ok(answer) => understood(&answer),
            Err(e) => {
                self.kept = None;
                Sent::Later(with_causes(&*e), None)
            }
        }
    }

    async fn exchange(&mut self, batch: Bytes) -> Result<Response<Bytes>, Failure> {
        let request = self.request(batch)?;
        let mut kept = self.kept.take();
        let is_there = match &mut kept {
            Some(kept) => kept.ready().await.is_ok(),
            None => false,
        };
        let mut sender = match kept.filter(|_| is_there) {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let whole = Limited::new(body, LARGEST).collect();
        // The status says what has become of the batch, whatever becomes of a body that is too
        // long, too slow or broken off; only the connection is not used again.
        let body = match tokio::time::timeout(self.timeout / 2, whole).await {
            Ok(Ok(body)) => {
                self.kept = Some(sender);
                body.to_bytes()
            }
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        Ok(Response::from_parts(parts, body))
    }

    fn request(&self, batch: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |a| a.as_str());
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("waypost/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(Full::new(batch))?;
        let fields = request.headers_mut();
        for (name, value) in &self.headers {
            fields.append(name, value.clone());
        }
        if let Some(token) = self.token()? {
            fields.insert(AUTHORIZATION, token);
        }
        Ok(request)
    }

    /// Read for each request: it may be replaced while the proxy runs.
    fn token(&self) -> Result<Option<HeaderValue>, String> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let failed = |why: &str| format!("`tracing.token-file` {}: {why}", path.display());
        let read = files::read_regular(path, TOKEN).map_err(|e| failed(&e.to_string()))?;
        let token = String::from_utf8_lossy(&read);
        let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
        let is_one = !token.trim().is_empty();
        let value = value
            .ok()
            .filter(|_| is_one)
            .ok_or_else(|| failed("holds no token"));
        let mut value = value?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        let transport: Box<dyn Transport> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from(self.host.clone())?;
                let connector = TlsConnector::from(Arc::clone(config));
                let session = connector.connect(name, socket).await;
                Box::new(session.map_err(|e| HandshakeError::from(e).of_backend())?)
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(transport)).await?;
        // It ends with the connection; what went wrong the sender says.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

/// What an answer means (OTLP 1, "OTLP/HTTP Response").
fn understood(answer: &Response<Bytes>) -> Sent {
    let status = answer.status();
    if status.is_success() {
        let partial = ExportResponse::decode(answer.body().clone());
        let partial = partial.ok().and_then(|response| response.partial_success);
        let rejected = partial.map_or(0, |partial| partial.rejected_spans);
        return Sent::Taken(u64::try_from(rejected).unwrap_or(0));
    }
    let reason = format!("it has answered with the status {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let wish = answer.headers().get(RETRY_AFTER);
            let wish = wish.and_then(|wish| wish.to_str().ok()?.trim().parse().ok());
            let wish = wish.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WISH));
            Sent::Later(reason, wish)
        }
        _ => Sent::Refused(reason),
    }
}
