//! The server of the cases, and a witness that says how their calls ended: a client can't see that.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, SingleMessageCompressionOverride};
use tonic::server::NamedService;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::Failure;
use crate::flags::{Flagged, Flags};
use crate::messages::{
    CASE, EchoStatus, Empty, EndedRequest, EndedResponse, INITIAL, Payload, ResponseParameters,
    SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse, TRAILING, length,
};

pub(crate) async fn serve(aging: bool, identity: Option<(&str, &str)>) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"port\": {}}}", listener.local_addr()?.port());
    let mut server = Server::builder();
    if let Some((certificate, key)) = identity {
        let identity = Identity::from_pem(std::fs::read(certificate)?, std::fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    if aging {
        server = server
            .max_connection_age(Duration::from_millis(200))
            .max_concurrent_streams(8);
    }
    let calls = Calls::default();
    server
        .add_service(Test(calls.clone()))
        .add_service(Witness(calls))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

/// The calls that named their case and have ended, with the seconds that each had left at first.
#[derive(Clone, Default)]
struct Calls(Arc<(Ended, Notify)>);

type Ended = Mutex<HashMap<String, Option<f64>>>;

impl Calls {
    fn began(&self, headers: &HeaderMap) -> Option<Call> {
        let case = headers.get(CASE)?.to_str().ok()?.to_owned();
        let left = headers
            .get("grpc-timeout")
            .and_then(|value| seconds(value.to_str().ok()?));
        Some(Call {
            case,
            left,
            calls: self.clone(),
        })
    }

    async fn ended(
        self,
        request: Request<EndedRequest>,
    ) -> Result<Response<EndedResponse>, Status> {
        let (calls, changed) = &*self.0;
        loop {
            let change = changed.notified();
            let case = &request.get_ref().case;
            let ended = calls
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(case)
                .copied();
            if let Some(left) = ended {
                return Ok(Response::new(EndedResponse { left }));
            }
            change.await;
        }
    }
}

/// Is dropped when the call has ended, in any way.
struct Call {
    case: String,
    left: Option<f64>,
    calls: Calls,
}

impl Drop for Call {
    fn drop(&mut self) {
        let (calls, changed) = &*self.calls.0;
        let case = std::mem::take(&mut self.case);
        calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(case, self.left);
        changed.notify_waiters();
    }
}

fn seconds(timeout: &str) -> Option<f64> {
    let unit = match timeout.chars().last()? {
        'H' => 3600.0,
        'M' => 60.0,
        'S' => 1.0,
        'm' => 1e-3,
        'u' => 1e-6,
        'n' => 1e-9,
        _ => return None,
    };
    Some(timeout[..timeout.len() - 1].parse::<f64>().ok()? * unit)
}

#[derive(Clone)]
struct Test(Calls);

impl NamedService for Test {
    const NAME: &'static str = "grpc.testing.TestService";
}

#[derive(Clone)]
struct Witness(Calls);

impl NamedService for Witness {
    const NAME: &'static str = "grpc.testing.Witness";
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl tower::Service<http::Request<Body>> for Test {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let call = self.0.began(request.headers());
        Box::pin(async move { Ok(echoing(request, call).await) })
    }
}

impl tower::Service<http::Request<Body>> for Witness {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        let calls = self.0.clone();
        let ended = service_fn(move |request| calls.clone().ended(request));
        Box::pin(async move { Ok(grpc().unary(ended, request).await) })
    }
}

/// Answers, with the metadata that the client asked to see again.
async fn echoing(request: http::Request<Body>, call: Option<Call>) -> http::Response<Body> {
    let (mut parts, body) = request.into_parts();
    let initial = parts.headers.get(INITIAL).cloned();
    let trailing = parts.headers.get(TRAILING).cloned();
    let flags = Flags::default();
    parts.extensions.insert(flags.clone());
    let request = http::Request::from_parts(parts, Flagged::body(body, flags));
    let mut response = answered(request).await;
    if let Some(value) = initial {
        response.headers_mut().insert(INITIAL, value);
    }
    if trailing.is_none() && call.is_none() {
        return response;
    }
    response.map(|body| {
        Body::new(Ending {
            body,
            trailing,
            _call: call,
        })
    })
}

async fn answered(request: http::Request<Body>) -> http::Response<Body> {
    match request.uri().path() {
        "/grpc.testing.TestService/EmptyCall" => {
            let call = |_: Request<Empty>| async { Ok(Response::new(Empty {})) };
            grpc().unary(service_fn(call), request).await
        }
        "/grpc.testing.TestService/UnaryCall" => {
            let compressing = grpc().send_compressed(CompressionEncoding::Gzip);
            { compressing }.unary(service_fn(unary_call), request).await
        }
        "/grpc.testing.TestService/StreamingInputCall" => {
            grpc()
                .client_streaming(service_fn(streaming_input_call), request)
                .await
        }
        "/grpc.testing.TestService/StreamingOutputCall" => {
            grpc()
                .server_streaming(service_fn(streaming_output_call), request)
                .await
        }
        "/grpc.testing.TestService/FullDuplexCall" => {
            grpc()
                .streaming(service_fn(full_duplex_call), request)
                .await
        }
        path => Status::unimplemented(format!("there is no {path}")).into_http(),
    }
}

fn grpc<Q, A>() -> tonic::server::Grpc<ProstCodec<A, Q>>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + 'static,
{
    tonic::server::Grpc::new(ProstCodec::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(usize::MAX)
}

async fn unary_call(request: Request<SimpleRequest>) -> Result<Response<SimpleResponse>, Status> {
    let flags = flags(&request)?;
    let request = request.into_inner();
    status(request.response_status)?;
    if let Some(expected) = request.expect_compressed {
        expect_compressed(&flags, 0, expected.value)?;
    }
    let mut response = Response::new(SimpleResponse {
        payload: Payload::of(request.response_size),
    });
    if !request
        .response_compressed
        .is_some_and(|wanted| wanted.value)
    {
        response
            .extensions_mut()
            .insert(SingleMessageCompressionOverride::Disable);
    }
    Ok(response)
}

async fn streaming_input_call(
    request: Request<Streaming<StreamingInputCallRequest>>,
) -> Result<Response<StreamingInputCallResponse>, Status> {
    let flags = flags(&request)?;
    let mut requests = request.into_inner();
    let (mut sum, mut at) = (0, 0);
    while let Some(request) = requests.message().await? {
        if let Some(expected) = &request.expect_compressed {
            expect_compressed(&flags, at, expected.value)?;
        }
        sum += length(request.payload.as_ref());
        at += 1;
    }
    let aggregated_payload_size = i32::try_from(sum).unwrap_or(i32::MAX);
    Ok(Response::new(StreamingInputCallResponse {
        aggregated_payload_size,
    }))
}

type Outputs = ReceiverStream<Result<StreamingOutputCallResponse, Status>>;

async fn streaming_output_call(
    request: Request<StreamingOutputCallRequest>,
) -> Result<Response<Outputs>, Status> {
    let request = request.into_inner();
    status(request.response_status)?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move { outputs(&request.response_parameters, &sender).await });
    Ok(Response::new(ReceiverStream::new(receiver)))
}

async fn full_duplex_call(
    request: Request<Streaming<StreamingOutputCallRequest>>,
) -> Result<Response<Outputs>, Status> {
    let mut requests = request.into_inner();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let request = match requests.message().await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(status) => return drop(sender.send(Err(status)).await),
            };
            if let Err(status) = status(request.response_status) {
                return drop(sender.send(Err(status)).await);
            }
            if !outputs(&request.response_parameters, &sender).await {
                return;
            }
        }
    });
    Ok(Response::new(ReceiverStream::new(receiver)))
}

/// Whether there still is a call that they can be sent to.
async fn outputs(
    parameters: &[ResponseParameters],
    sender: &mpsc::Sender<Result<StreamingOutputCallResponse, Status>>,
) -> bool {
    for parameters in parameters {
        let interval = u64::try_from(parameters.interval_us).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(interval)).await;
        let response = StreamingOutputCallResponse {
            payload: Payload::of(parameters.size),
        };
        if sender.send(Ok(response)).await.is_err() {
            return false;
        }
    }
    true
}

fn status(wanted: Option<EchoStatus>) -> Result<(), Status> {
    match wanted {
        Some(status) => Err(Status::new(Code::from_i32(status.code), status.message)),
        None => Ok(()),
    }
}

fn flags<M>(request: &Request<M>) -> Result<Flags, Status> {
    let flags = request.extensions().get::<Flags>().cloned();
    flags.ok_or_else(|| Status::internal("the server lost its own flags"))
}

fn expect_compressed(flags: &Flags, at: usize, expected: bool) -> Result<(), Status> {
    if flags.all().get(at) == Some(&expected) {
        return Ok(());
    }
    let how = if expected {
        "not compressed"
    } else {
        "compressed"
    };
    Err(Status::invalid_argument(format!("message {at} is {how}")))
}

/// A body with one more trailer, which tonic has no way to send with a status of OK. The call ends
/// with it.
struct Ending {
    body: Body,
    trailing: Option<HeaderValue>,
    _call: Option<Call>,
}

impl http_body::Body for Ending {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let mut frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
            && let Some(value) = self.trailing.take()
        {
            trailers.insert(TRAILING, value);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
