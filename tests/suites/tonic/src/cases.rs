//! The cases, by the names of gRPC's "Interoperability Test Case Descriptions", and some for what a
//! proxy adds.

mod streams;
mod unary;

use std::time::Duration;

use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};

use streams::*;
use unary::*;

use crate::client::{Called, Client, PATIENCE};
use crate::messages::{
    BoolValue, CASE, EchoStatus, Empty, INITIAL, Payload, ResponseParameters, SimpleRequest,
    SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse, TRAILING, length,
};

const EMPTY: &str = "/grpc.testing.TestService/EmptyCall";
const UNARY: &str = "/grpc.testing.TestService/UnaryCall";
const INPUT: &str = "/grpc.testing.TestService/StreamingInputCall";
const OUTPUT: &str = "/grpc.testing.TestService/StreamingOutputCall";
const DUPLEX: &str = "/grpc.testing.TestService/FullDuplexCall";
const REQUESTS: [i32; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [i32; 4] = [31_415, 9, 2_653, 58_979];
const LARGE_REQUEST: i32 = 271_828;
const LARGE_RESPONSE: i32 = 314_159;
const SPECIAL: &str = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

type Done = Result<(), String>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

        pub(crate) async fn run(name: &str, client: &Client) -> Done {
            match name {
                $(stringify!($name) => $name(client).await,)*
                _ => Err("there is no such case".to_owned()),
            }
        }
    };
}

cases! {
    empty_unary,
    large_unary,
    client_compressed_unary,
    compressed_unary,
    server_compressed_unary,
    client_streaming,
    client_compressed_streaming,
    server_streaming,
    server_compressed_streaming,
    ping_pong,
    empty_stream,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    custom_metadata,
    deadline_reaches_the_server,
    deadline_ends_a_response_that_has_begun,
    cancel_reaches_the_server,
    long_streams_at_once,
    many_calls_in_sequence,
    calls_while_connections_age,
    backend_is_gone,
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, came: T, wanted: T) -> Done {
    if came == wanted {
        Ok(())
    } else {
        Err(format!("{what}: wanted {wanted:?}, came {came:?}"))
    }
}

fn answer<A>(called: Result<Response<A>, Status>) -> Result<A, String> {
    called
        .map(Response::into_inner)
        .map_err(|status| failed(&status))
}

fn failed(status: &Status) -> String {
    format!(
        "the call failed: {:?} {:?}",
        status.code(),
        status.message()
    )
}

fn fails_with<A>(called: Result<A, Status>, code: Code, message: Option<&str>) -> Done {
    match called {
        Ok(_) => Err(format!("wanted {code:?}, came an answer")),
        Err(status) => {
            same("the status", status.code(), code)?;
            message.map_or(Ok(()), |message| {
                same("the message", status.message(), message)
            })
        }
    }
}

fn asked<Q>(request: Q) -> Request<Q> {
    let mut request = Request::new(request);
    request.set_timeout(PATIENCE);
    request
}

fn named<Q>(case: &'static str, request: Q) -> Request<Q> {
    let mut request = Request::new(request);
    request
        .metadata_mut()
        .insert(CASE, MetadataValue::from_static(case));
    request
}

fn flag(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

fn large() -> SimpleRequest {
    SimpleRequest {
        response_size: LARGE_RESPONSE,
        payload: Payload::of(LARGE_REQUEST),
        ..SimpleRequest::default()
    }
}

fn output(size: i32, body: i32) -> StreamingOutputCallRequest {
    outputs(&[size], body, Duration::ZERO)
}

fn outputs(sizes: &[i32], body: i32, interval: Duration) -> StreamingOutputCallRequest {
    let interval_us = i32::try_from(interval.as_micros()).unwrap_or(i32::MAX);
    let parameters = |size: &i32| ResponseParameters {
        size: *size,
        interval_us,
        compressed: None,
    };
    StreamingOutputCallRequest {
        response_parameters: sizes.iter().map(parameters).collect(),
        payload: Payload::of(body),
        response_status: None,
    }
}

fn size(response: &StreamingOutputCallResponse) -> i32 {
    i32::try_from(length(response.payload.as_ref())).unwrap_or(i32::MAX)
}

type Responses = Streaming<StreamingOutputCallResponse>;

async fn next(responses: &mut Responses) -> Result<Option<i32>, String> {
    let next = responses
        .message()
        .await
        .map_err(|status| failed(&status))?;
    Ok(next.as_ref().map(size))
}

async fn all(responses: &mut Responses) -> Result<Vec<i32>, String> {
    let mut sizes = Vec::new();
    while let Some(size) = next(responses).await? {
        sizes.push(size);
    }
    Ok(sizes)
}

async fn send(
    requests: &tokio::sync::mpsc::Sender<StreamingOutputCallRequest>,
    request: StreamingOutputCallRequest,
) -> Done {
    requests
        .send(request)
        .await
        .map_err(|_| "the call takes no more requests".to_owned())
}
