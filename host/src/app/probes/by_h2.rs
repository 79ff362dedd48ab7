//! A probe by HTTP/2.

use std::pin::pin;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::header::{HeaderName, USER_AGENT};
use http::{HeaderMap, Method, Request, Response};

use super::bounded::Bounded;
use super::searched::{MOST, NAME, Searched};

/// Bytes of a head: far more than that of an answer to a probe.
const HEAD: u32 = 64 << 10;

/// The status of the answer, and whether its body has `text`; without a text it is not read.
pub(super) async fn get(
    stream: Bounded,
    scheme: &str,
    host: &str,
    path: &str,
    text: Option<&str>,
) -> Result<(u16, bool), String> {
    let request = request(Method::GET, scheme, host, path, &[])?;
    exchange(stream, request, None, async |answer| {
        let status = answer.status().as_u16();
        let found = match text {
            None => true,
            Some(text) => find(answer.into_body(), text).await,
        };
        Ok((status, found))
    })
    .await
}

pub(super) fn request(
    method: Method,
    scheme: &str,
    host: &str,
    path: &str,
    fields: &[(HeaderName, &'static str)],
) -> Result<Request<()>, String> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{scheme}://{host}{path}"))
        .header(USER_AGENT, NAME);
    for (name, value) in fields {
        request = request.header(name, *value);
    }
    let request = request.body(());
    request.map_err(|e| format!("{host}{path} can't be asked for: {e}"))
}

/// Sends a request, and reads its answer.
pub(super) async fn exchange<T>(
    stream: Bounded,
    request: Request<()>,
    body: Option<Bytes>,
    read: impl AsyncFnOnce(Response<RecvStream>) -> Result<T, String>,
) -> Result<T, String> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(u32::try_from(MOST).unwrap_or(u32::MAX))
        .max_header_list_size(HEAD);
    let (send, connection) = builder.handshake(stream).await.map_err(|e| broken(&e))?;
    let exchange = async {
        let mut send: SendRequest<Bytes> = send.ready().await.map_err(|e| broken(&e))?;
        let sent = send.send_request(request, body.is_none());
        let (answer, mut sink) = sent.map_err(|e| broken(&e))?;
        if let Some(body) = body {
            sink.send_data(body, true).map_err(|e| broken(&e))?;
        }
        read(answer.await.map_err(|e| broken(&e))?).await
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        biased;
        done = &mut exchange => done,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(e) => Err(broken(&e)),
        },
    }
}

/// Whether the beginning of the body has this in it.
async fn find(mut body: RecvStream, text: &str) -> bool {
    let mut searched = Searched::new(text);
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        if let Some(found) = searched.take(&piece) {
            return found;
        }
    }
    false
}

/// All of a small body, and its trailers.
pub(super) async fn collect(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), String> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|e| broken(&e))?;
        if all.len() + piece.len() > MOST {
            return Err(format!("its answer has more than {MOST} bytes"));
        }
        all.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let trailers = body.trailers().await.map_err(|e| broken(&e))?;
    Ok((all, trailers.unwrap_or_default()))
}

fn broken(error: &h2::Error) -> String {
    format!("it ended the exchange by HTTP/2: {error}")
}
