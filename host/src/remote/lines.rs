//! Answers of the admin listener that go on: lines of JSON.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::RemoteError;
use super::client::{Client, LARGEST, READ, make_printable};
use crate::config::AdminAddress;
use crate::text::with_causes;
use crate::units::exact_duration;

/// The proxy says something every second.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes of a line.
const LONGEST: usize = 1 << 20;

/// Lines as they come.
pub(super) struct Lines {
    body: Incoming,
    pending: Vec<u8>,
    address: AdminAddress,
    connection: JoinHandle<()>,
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    /// `GET`, of which the answer goes on.
    pub(super) async fn lines(&self, path: &str) -> Result<Lines, RemoteError> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        let stream = self.connect().await?;
        let broken = |e: hyper::Error| RemoteError::Broken {
            address: self.address().clone(),
            reason: with_causes(&e),
        };
        let begun = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(broken)?;
            let connection = tokio::spawn(async {
                // What goes wrong is seen in the answer.
                let _ = connection.await;
            });
            let response = sender.send_request(request).await;
            Ok::<_, RemoteError>((response.map_err(broken)?, connection))
        };
        let begun = timeout(READ, begun).await;
        let (response, connection) = begun.map_err(|_| RemoteError::Silent {
            address: self.address().clone(),
            after: READ,
        })??;
        let status = response.status();
        if status.is_success() {
            return Ok(Lines {
                body: response.into_body(),
                pending: Vec::new(),
                address: self.address().clone(),
                connection,
            });
        }
        let body = timeout(READ, Limited::new(response.into_body(), LARGEST).collect()).await;
        let body = body.ok().and_then(Result::ok).map(|body| body.to_bytes());
        connection.abort();
        // Every status but success is an error.
        let refused = self.judge((status, body.unwrap_or_default())).err();
        Err(refused.unwrap_or_else(|| self.strange(format!("status {}", status.as_u16()))))
    }
}

impl Lines {
    /// The next line, in which nothing steers a terminal; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, RemoteError> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.pending) {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let read = serde_json::from_slice(&line);
                let mut value: Value = read.map_err(|e| self.strange(&e.to_string()))?;
                make_printable(&mut value);
                return Ok(Some(value));
            }
            if self.pending.len() > LONGEST {
                return Err(self.strange("a line is too long"));
            }
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => {
                    let sentence = format!(
                        "stopped watching: {} has said nothing for {}",
                        self.address,
                        exact_duration(SILENCE)
                    );
                    return Err(RemoteError::Over(sentence));
                }
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        self.pending.extend_from_slice(&piece);
                    }
                }
                Ok(Some(Err(e))) => {
                    let sentence = format!(
                        "stopped watching: the connection to {} broke ({}); is the proxy running?",
                        self.address,
                        with_causes(&e)
                    );
                    return Err(RemoteError::Over(sentence));
                }
            }
        }
    }

    fn strange(&self, reason: &str) -> RemoteError {
        RemoteError::Strange {
            address: self.address.clone(),
            reason: reason.to_owned(),
        }
    }
}
