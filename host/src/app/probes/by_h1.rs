//! A probe by HTTP/1.1.

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::bounded::Bounded;
use super::searched::{MOST, NAME, Searched};

/// The status of the answer, and whether its body has `text`; without a text it is not read.
pub(super) async fn get(
    stream: Bounded,
    host: &str,
    path: &str,
    text: Option<&str>,
) -> Result<(u16, bool), String> {
    let host = HeaderValue::from_str(host).map_err(|e| format!("{host:?} is no host: {e}"))?;
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, NAME)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|e| format!("{path:?} can't be asked for: {e}"))?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| unanswered(&e))?;
    let exchange = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|e| unanswered(&e))?;
        let status = answer.status().as_u16();
        let found = match text {
            None => true,
            Some(text) => find(answer.into_body(), text).await,
        };
        Ok((status, found))
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        biased;
        done = &mut exchange => done,
        // What has arrived is still there to be read.
        _ = &mut connection => exchange.await,
    }
}

/// Whether the beginning of the body has this in it.
async fn find(mut body: Incoming, text: &str) -> bool {
    let mut searched = Searched::new(text);
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(piece) = frame.data_ref()
            && let Some(found) = searched.take(piece)
        {
            return found;
        }
    }
    false
}

fn unanswered(error: &hyper::Error) -> String {
    if error.is_parse() || error.is_parse_too_large() {
        return format!("its answer is not HTTP/1.1: {error}");
    }
    match error.source() {
        Some(source) => format!("there was no answer: {source}"),
        None => format!("it closed the connection without an answer: {error}"),
    }
}
