//! One request, one response, for the most part.

use super::*;

pub(super) async fn empty_unary(client: &Client) -> Done {
    answer(
        client
            .unary::<_, Empty>(EMPTY, asked(Empty {}))
            .await
            .response,
    )
    .map(drop)
}

pub(super) async fn large_unary(client: &Client) -> Done {
    large_answer(client.unary(UNARY, asked(large())).await)
}

fn large_answer(called: Called<SimpleResponse>) -> Done {
    let payload = answer(called.response)?.payload;
    same(
        "the size",
        length(payload.as_ref()),
        LARGE_RESPONSE as usize,
    )
}

/// Only for a server that sees whether a message is compressed.
pub(super) async fn client_compressed_unary(client: &Client) -> Done {
    let request = |expected| SimpleRequest {
        expect_compressed: flag(expected),
        ..large()
    };
    let probe: Called<SimpleResponse> = client.unary(UNARY, asked(request(true))).await;
    fails_with(probe.response, Code::InvalidArgument, None)?;
    large_answer(client.compressed_unary(UNARY, asked(request(true))).await)?;
    large_answer(client.unary(UNARY, asked(request(false))).await)
}

/// `client_compressed_unary`, as far as any server goes.
pub(super) async fn compressed_unary(client: &Client) -> Done {
    large_answer(client.compressed_unary(UNARY, asked(large())).await)?;
    large_answer(client.unary(UNARY, asked(large())).await)
}

pub(super) async fn server_compressed_unary(client: &Client) -> Done {
    for compressed in [true, false] {
        let request = SimpleRequest {
            response_compressed: flag(compressed),
            ..large()
        };
        let called = client.unary(UNARY, asked(request)).await;
        let flags = called.seen.flags.clone();
        large_answer(called)?;
        same("the flags", flags.all(), vec![compressed])?;
    }
    Ok(())
}

fn echo_status(message: &str) -> Option<EchoStatus> {
    Some(EchoStatus {
        code: 2,
        message: message.to_owned(),
    })
}

async fn fails_with_status(client: &Client, message: &str) -> Done {
    let request = SimpleRequest {
        response_status: echo_status(message),
        ..SimpleRequest::default()
    };
    let called: Called<SimpleResponse> = client.unary(UNARY, asked(request)).await;
    fails_with(called.response, Code::Unknown, Some(message))
}

pub(super) async fn status_code_and_message(client: &Client) -> Done {
    let message = "test status message";
    fails_with_status(client, message).await?;
    let (sender, requests) = Client::requests();
    let response_status = echo_status(message);
    let request = StreamingOutputCallRequest {
        response_status,
        ..Default::default()
    };
    send(&sender, request).await?;
    drop(sender);
    let ended = match client.streaming(DUPLEX, requests).await.response {
        Ok(mut responses) => responses.get_mut().message().await,
        Err(status) => Err(status),
    };
    fails_with(ended, Code::Unknown, Some(message))
}

pub(super) async fn special_status_message(client: &Client) -> Done {
    fails_with_status(client, SPECIAL).await
}

async fn unimplemented(client: &Client, method: &str) -> Done {
    let called: Called<Empty> = client.unary(method, asked(Empty {})).await;
    fails_with(called.response, Code::Unimplemented, None)?;
    // Beyond the description: both servers answer so, and the proxy has to leave it at that.
    same(
        "a response of trailers only",
        called.seen.trailers_only(),
        true,
    )
}

pub(super) async fn unimplemented_method(client: &Client) -> Done {
    unimplemented(client, "/grpc.testing.TestService/UnimplementedCall").await
}

pub(super) async fn unimplemented_service(client: &Client) -> Done {
    unimplemented(
        client,
        "/grpc.testing.UnimplementedService/UnimplementedCall",
    )
    .await
}

const INITIAL_VALUE: &str = "test_initial_metadata_value";
const TRAILING_VALUE: &[u8] = b"\xab\xab\xab";

fn with_metadata<Q>(mut request: Request<Q>) -> Request<Q> {
    let metadata = request.metadata_mut();
    metadata.insert(INITIAL, MetadataValue::from_static(INITIAL_VALUE));
    metadata.insert_bin(TRAILING, MetadataValue::from_bytes(TRAILING_VALUE));
    request
}

fn echoed(initial: &tonic::metadata::MetadataMap, trailing: &tonic::metadata::MetadataMap) -> Done {
    let value = initial.get(INITIAL).and_then(|value| value.to_str().ok());
    same("the initial metadata", value, Some(INITIAL_VALUE))?;
    let value = trailing
        .get_bin(TRAILING)
        .and_then(|value| value.to_bytes().ok());
    same(
        "the trailing metadata",
        value.as_deref(),
        Some(TRAILING_VALUE),
    )
}

pub(super) async fn custom_metadata(client: &Client) -> Done {
    let called: Called<SimpleResponse> = client.unary(UNARY, with_metadata(asked(large()))).await;
    let response = called.response.map_err(|status| failed(&status))?;
    // Of a response of one message tonic puts both into one map.
    echoed(response.metadata(), response.metadata())?;
    let size = length(response.get_ref().payload.as_ref());
    same("the size", size, LARGE_RESPONSE as usize)?;

    let (sender, requests) = Client::requests();
    send(&sender, output(LARGE_RESPONSE, LARGE_REQUEST)).await?;
    drop(sender);
    let response = client
        .streaming(DUPLEX, with_metadata(requests))
        .await
        .response;
    let response = response.map_err(|status| failed(&status))?;
    let initial = response.metadata().clone();
    let mut responses = response.into_inner();
    same(
        "the sizes",
        all(&mut responses).await?,
        vec![LARGE_RESPONSE],
    )?;
    let trailing = responses
        .trailers()
        .await
        .map_err(|status| failed(&status))?;
    echoed(&initial, &trailing.unwrap_or_default())
}

pub(super) async fn deadline_reaches_the_server(client: &Client) -> Done {
    let mut request = named("deadline", Empty {});
    request.set_timeout(Duration::from_secs(15));
    answer(client.unary::<_, Empty>(EMPTY, request).await.response)?;
    match client.ended("deadline").await? {
        Some(left) if left > 5.0 && left < 16.0 => Ok(()),
        left => Err(format!(
            "the server saw a deadline of {left:?} s, and the client's is 15 s"
        )),
    }
}

pub(super) async fn many_calls_in_sequence(client: &Client) -> Done {
    for size in 0..200 {
        let request = SimpleRequest {
            response_size: size,
            payload: Payload::of(size),
            ..SimpleRequest::default()
        };
        let called: Called<SimpleResponse> = client.unary(UNARY, asked(request)).await;
        let payload = answer(called.response)?.payload;
        same("the size", length(payload.as_ref()), size as usize)?;
    }
    Ok(())
}

/// Beyond the description, where the server sends each connection GOAWAY after a fifth of a second
/// and takes 8 streams on one: 32 calls at once, for a second and a half, and none of them fails.
pub(super) async fn calls_while_connections_age(client: &Client) -> Done {
    let until = std::time::Instant::now() + Duration::from_millis(1_500);
    let calls = (0..32).map(|_| async {
        while std::time::Instant::now() < until {
            let request = SimpleRequest {
                response_size: 9_000,
                ..SimpleRequest::default()
            };
            let called: Called<SimpleResponse> = client.unary(UNARY, asked(request)).await;
            let payload = answer(called.response)?.payload;
            same("the size", length(payload.as_ref()), 9_000)?;
        }
        Ok(())
    });
    all_of(calls.collect()).await
}

/// Beyond the description, where nothing serves behind the proxy: its own answer is a status of
/// gRPC.
pub(super) async fn backend_is_gone(client: &Client) -> Done {
    let called: Called<Empty> = client.unary(EMPTY, asked(Empty {})).await;
    fails_with(called.response, Code::Unavailable, None)
}
