//! Asks, and prints how each case went.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use http_body::Body as _;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::Failure;
use crate::cases;
use crate::flags::{Flagged, Flags};
use crate::messages::{
    EndedRequest, EndedResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};

/// The longest that a case may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Enough requests of a call that none of the cases waits before its response begins.
const REQUESTS: usize = 64;

pub(crate) async fn ask(
    origin: &str,
    authority: Option<&str>,
    names: &[&str],
) -> Result<(), Failure> {
    let mut endpoint = Endpoint::from_shared(origin.to_owned())?;
    if let Some(path) = authority {
        let authority = Certificate::from_pem(std::fs::read(path)?);
        endpoint = endpoint.tls_config(ClientTlsConfig::new().ca_certificate(authority))?;
    }
    for name in names {
        let done = tokio::time::timeout(PATIENCE, one(&endpoint, name)).await;
        let done = done.unwrap_or_else(|_| Err(format!("took more than {PATIENCE:?}")));
        let why = done
            .err()
            .unwrap_or_default()
            .replace(char::is_control, " ");
        println!("{name}\t{why}");
    }
    Ok(())
}

/// On a connection of its own.
async fn one(endpoint: &Endpoint, name: &str) -> Result<(), String> {
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| format!("no connection: {error:?}"))?;
    cases::run(name, &Client { channel }).await
}

pub(crate) struct Client {
    channel: Channel,
}

/// A call, and what lies under what tonic shows of it.
pub(crate) struct Called<A> {
    pub(crate) response: Result<Response<A>, Status>,
    pub(crate) seen: Seen,
}

type Requests = mpsc::Sender<StreamingOutputCallRequest>;

impl Client {
    /// A call with one request and one response.
    pub(crate) async fn unary<Q, A>(&self, method: &str, request: Request<Q>) -> Called<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.called(method, request.map(tokio_stream::once), false)
            .await
    }

    pub(crate) async fn compressed_unary<Q, A>(
        &self,
        method: &str,
        request: Request<Q>,
    ) -> Called<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.called(method, request.map(tokio_stream::once), true)
            .await
    }

    /// A call with a stream of requests and one response.
    pub(crate) async fn called<S, Q, A>(
        &self,
        method: &str,
        requests: Request<S>,
        compressed: bool,
    ) -> Called<A>
    where
        S: tokio_stream::Stream<Item = Q> + Send + 'static,
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let seen = Seen::default();
        let mut grpc = Grpc::new(Watched {
            channel: self.channel.clone(),
            seen: seen.clone(),
        })
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(usize::MAX);
        if compressed {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        let response = async {
            grpc.ready()
                .await
                .map_err(|error| Status::unknown(error.to_string()))?;
            grpc.client_streaming(requests, path(method)?, ProstCodec::default())
                .await
        };
        Called {
            response: response.await,
            seen,
        }
    }

    /// A call with a stream of responses.
    pub(crate) async fn streaming<S, Q>(
        &self,
        method: &str,
        requests: Request<S>,
    ) -> Called<Streaming<StreamingOutputCallResponse>>
    where
        S: tokio_stream::Stream<Item = Q> + Send + 'static,
        Q: Message + 'static,
    {
        let seen = Seen::default();
        let mut grpc = Grpc::new(Watched {
            channel: self.channel.clone(),
            seen: seen.clone(),
        })
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(usize::MAX);
        let response = async {
            grpc.ready()
                .await
                .map_err(|error| Status::unknown(error.to_string()))?;
            grpc.streaming(requests, path(method)?, ProstCodec::default())
                .await
        };
        Called {
            response: response.await,
            seen,
        }
    }

    /// The requests of a bidirectional call; they end when the sender is dropped.
    pub(crate) fn requests() -> (
        Requests,
        Request<ReceiverStream<StreamingOutputCallRequest>>,
    ) {
        let (sender, receiver) = mpsc::channel(REQUESTS);
        (sender, Request::new(ReceiverStream::new(receiver)))
    }

    /// Waits until the call that named this case has ended at the server; gives the seconds that it
    /// had at first.
    pub(crate) async fn ended(&self, case: &str) -> Result<Option<f64>, String> {
        let request = Request::new(EndedRequest {
            case: case.to_owned(),
        });
        let called: Called<EndedResponse> =
            self.unary("/grpc.testing.Witness/Ended", request).await;
        match called.response {
            Ok(response) => Ok(response.into_inner().left),
            Err(status) => Err(format!(
                "the witness does not say how the call ended: {status:?}"
            )),
        }
    }
}

fn path(method: &str) -> Result<PathAndQuery, Status> {
    PathAndQuery::try_from(method).map_err(|error| Status::internal(error.to_string()))
}

/// What came below tonic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) flags: Flags,
    trailers_only: Arc<Mutex<bool>>,
}

impl Seen {
    /// Whether the response was one frame of HEADERS with END_STREAM.
    pub(crate) fn trailers_only(&self) -> bool {
        *self
            .trailers_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel that reads along.
struct Watched {
    channel: Channel,
    seen: Seen,
}

type Answer = std::pin::Pin<
    Box<dyn Future<Output = Result<http::Response<Body>, tonic::transport::Error>> + Send>,
>;

impl tower::Service<http::Request<Body>> for Watched {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let (asked, seen) = (self.channel.call(request), self.seen.clone());
        Box::pin(async move {
            let response = asked.await?;
            *seen
                .trailers_only
                .lock()
                .unwrap_or_else(PoisonError::into_inner) =
                response.body().is_end_stream() && response.headers().contains_key("grpc-status");
            Ok(response.map(|body| Flagged::body(body, seen.flags)))
        })
    }
}
