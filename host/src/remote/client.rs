//! Requests to the admin listener, each on its own connection.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::RemoteError;
use crate::config::AdminAddress;
use crate::text::{is_unseen, plain, with_causes};

/// Time to connect; a machine that is up answers immediately.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for an answer that takes no work.
pub(super) const READ: Duration = Duration::from_secs(10);
/// Time for a change: workers have 5 seconds to adopt it, after instances were built.
pub(super) const CHANGE: Duration = Duration::from_secs(60);
/// Time for a deployment: another may be ahead, and a large component takes a while to compile.
pub(super) const DEPLOY: Duration = Duration::from_secs(600);
/// The largest answer: enough for thousands of policies.
pub(super) const LARGEST: usize = 32 << 20;

/// The admin listener of one proxy.
#[derive(Debug)]
pub(super) struct Client {
    address: AdminAddress,
    token: Option<HeaderValue>,
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The body as received.
    pub text: String,
    value: Value,
    address: AdminAddress,
}

impl Client {
    pub(super) fn new(address: AdminAddress, token: Option<HeaderValue>) -> Self {
        Self { address, token }
    }

    pub(super) fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// `GET`
    pub(super) async fn read(&self, path: &str) -> Result<Answer, RemoteError> {
        self.send(Method::GET, path, Bytes::new(), READ).await
    }

    /// Any request. Gives up after the time to connect plus `patience`.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<Answer, RemoteError> {
        let request = self.request(method, path, body)?;
        let stream = self.connect().await?;
        match timeout(patience, self.exchange(stream, request)).await {
            Ok(answer) => self.judge(answer?),
            Err(_) => Err(RemoteError::Silent {
                address: self.address.clone(),
                after: patience,
            }),
        }
    }

    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, RemoteError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        request
            .header(CONNECTION, "close")
            .body(Full::new(body))
            .map_err(|e| self.strange(e.to_string()))
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, RemoteError> {
        let target = (self.address.host.as_str(), self.address.port);
        let reason = match timeout(CONNECT, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("no connection within {CONNECT:?}"),
        };
        Err(RemoteError::Unreachable {
            address: self.address.clone(),
            reason,
        })
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), RemoteError> {
        let broken = |e: hyper::Error| match e.is_parse() {
            true => self.strange(e.to_string()),
            false => RemoteError::Broken {
                address: self.address.clone(),
                reason: with_causes(&e),
            },
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            let body = body.map_err(|e| RemoteError::Broken {
                address: self.address.clone(),
                reason: e.to_string(),
            })?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            // The connection also ends after a complete answer, which the other branch handles.
            biased;
            answer = &mut exchange => answer,
            _ = &mut connection => exchange.await,
        }
    }

    pub(super) fn judge(&self, (status, body): (StatusCode, Bytes)) -> Result<Answer, RemoteError> {
        let text = String::from_utf8_lossy(&body).into_owned();
        let strange = || {
            self.strange(format!(
                "status {}, without the expected JSON",
                status.as_u16()
            ))
        };
        let mut value: Value = serde_json::from_str(&text).map_err(|_| strange())?;
        make_printable(&mut value);
        if status.is_success() {
            return Ok(Answer {
                text,
                value,
                address: self.address.clone(),
            });
        }
        let sentence = sentence(&value).ok_or_else(strange)?;
        Err(match status {
            StatusCode::UNAUTHORIZED => RemoteError::Unauthorised {
                address: self.address.clone(),
                sentence,
            },
            StatusCode::NOT_FOUND if value.get("endpoints").is_some() => self.strange(
                "it does not know this request; is its version older than this command's?"
                    .to_owned(),
            ),
            _ => RemoteError::Refused {
                status: status.as_u16(),
                sentence,
            },
        })
    }

    pub(super) fn strange(&self, reason: String) -> RemoteError {
        RemoteError::Strange {
            address: self.address.clone(),
            reason,
        }
    }
}

/// Why a request was refused: one line for each reason.
fn sentence(answer: &Value) -> Option<String> {
    let all = answer.get("errors").and_then(Value::as_array);
    let all: Vec<&str> = all
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match all.is_empty() {
        true => answer.get("error")?.as_str().map(str::to_owned),
        false => Some(all.join("\n")),
    }
}

impl Answer {
    /// The body as the expected value.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        serde_json::from_value(self.value.clone()).map_err(|e| RemoteError::Strange {
            address: self.address.clone(),
            reason: e.to_string(),
        })
    }
}

/// A path segment.
pub(super) fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte))
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// Removes control characters: names, reasons and samples may contain text of guests and clients,
/// which must not control a terminal.
pub(super) fn make_printable(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(is_unseen) => *text = plain(text),
        Value::Array(values) => values.iter_mut().for_each(make_printable),
        Value::Object(fields) => fields.values_mut().for_each(make_printable),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_one_segment() {
        assert_eq!(segment("mine-2_a.b~"), "mine-2_a.b~");
        assert_eq!(segment("a/b ?é%"), "a%2Fb%20%3F%C3%A9%25");
    }

    #[test]
    fn nothing_in_an_answer_steers_a_terminal() {
        let mut value = serde_json::json!({
            "a": ["\u{1b}[2Jgone\r\n", { "b": "x\u{202e}y\u{9b}1m" }],
            "c": "fine é",
        });
        make_printable(&mut value);
        assert_eq!(
            value,
            serde_json::json!({
                "a": ["\u{fffd}[2Jgone\u{fffd}\u{fffd}", { "b": "x\u{fffd}y\u{fffd}1m" }],
                "c": "fine é",
            })
        );
    }

    fn client(listener: &std::net::TcpListener) -> Client {
        let address = listener.local_addr().unwrap();
        Client::new(
            AdminAddress {
                host: address.ip().to_string(),
                port: address.port(),
            },
            None,
        )
    }

    #[tokio::test]
    async fn a_silent_proxy_is_not_waited_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let answer = client(&listener)
            .send(
                Method::GET,
                "/policies",
                Bytes::new(),
                Duration::from_millis(20),
            )
            .await;
        assert!(
            matches!(&answer, Err(RemoteError::Silent { .. })),
            "{answer:?}"
        );
        assert!(answer.unwrap_err().to_string().contains("20ms"));
    }

    #[tokio::test]
    async fn an_invalid_answer_is_reported() {
        crate::ground::limit_this_test();
        for (bytes, told) in [
            ("", "broke before"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
                "broke before",
            ),
            ("SSH-2.0-OpenSSH\r\n", "does not answer like"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "does not answer like",
            ),
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\n{\"error\": \"x\"}",
                "x",
            ),
            (
                "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
                "does not answer like",
            ),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let client = client(&listener);
            let server = std::thread::spawn(move || {
                use std::io::{Read, Write};
                let (mut stream, _) = listener.accept().unwrap();
                // Reads the whole request, so that closing does not reset the connection.
                let mut head = Vec::new();
                let mut piece = [0; 256];
                while !head.ends_with(b"\r\n\r\n") {
                    let n = stream.read(&mut piece).unwrap();
                    head.extend_from_slice(&piece[..n]);
                }
                stream.write_all(bytes.as_bytes()).unwrap();
            });
            let error = client.read("/policies").await.unwrap_err().to_string();
            assert!(error.contains(told), "{bytes:?}: {error}");
            server.join().unwrap();
        }
    }
}
