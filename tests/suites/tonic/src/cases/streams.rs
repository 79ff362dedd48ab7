//! Streams of requests, of responses, and of both; and what ends them.

use super::*;

pub(super) async fn client_streaming(client: &Client) -> Done {
    let requests = REQUESTS.map(|size| StreamingInputCallRequest {
        payload: Payload::of(size),
        expect_compressed: None,
    });
    sum_of(client, requests.to_vec(), false).await
}

/// Only for a server that sees whether a message is compressed. The description mixes compressed
/// messages and others in one call, which tonic can't send.
pub(super) async fn client_compressed_streaming(client: &Client) -> Done {
    let request = |size, expected| StreamingInputCallRequest {
        payload: Payload::of(size),
        expect_compressed: flag(expected),
    };
    let probe = asked(tokio_stream::once(request(27_182, true)));
    let probe: Called<StreamingInputCallResponse> = client.called(INPUT, probe, false).await;
    fails_with(probe.response, Code::InvalidArgument, None)?;
    sum_of(
        client,
        vec![request(27_182, true), request(45_904, true)],
        true,
    )
    .await?;
    sum_of(
        client,
        vec![request(27_182, false), request(45_904, false)],
        false,
    )
    .await
}

async fn sum_of(
    client: &Client,
    requests: Vec<StreamingInputCallRequest>,
    compressed: bool,
) -> Done {
    let sum: usize = requests
        .iter()
        .map(|request| length(request.payload.as_ref()))
        .sum();
    let requests = asked(tokio_stream::iter(requests));
    let called: Called<StreamingInputCallResponse> =
        client.called(INPUT, requests, compressed).await;
    same(
        "the sum",
        answer(called.response)?.aggregated_payload_size as usize,
        sum,
    )
}

pub(super) async fn server_streaming(client: &Client) -> Done {
    let request = tokio_stream::once(outputs(&RESPONSES, 0, Duration::ZERO));
    let mut responses = answer(client.streaming(OUTPUT, asked(request)).await.response)?;
    same("the sizes", all(&mut responses).await?, RESPONSES.to_vec())
}

pub(super) async fn server_compressed_streaming(client: &Client) -> Done {
    let mut request = outputs(&[31_415, 92_653], 0, Duration::ZERO);
    for (parameters, compressed) in request.response_parameters.iter_mut().zip([true, false]) {
        parameters.compressed = flag(compressed);
    }
    let called = client
        .streaming(OUTPUT, asked(tokio_stream::once(request)))
        .await;
    let sizes = all(&mut answer(called.response)?).await?;
    same("the sizes", sizes, vec![31_415, 92_653])?;
    same("the flags", called.seen.flags.all(), vec![true, false])
}

pub(super) async fn ping_pong(client: &Client) -> Done {
    let (sender, requests) = Client::requests();
    send(&sender, output(RESPONSES[0], REQUESTS[0])).await?;
    let mut responses = answer(client.streaming(DUPLEX, requests).await.response)?;
    for (at, wanted) in RESPONSES.into_iter().enumerate() {
        if at > 0 {
            send(&sender, output(wanted, REQUESTS[at])).await?;
        }
        same("the size", next(&mut responses).await?, Some(wanted))?;
    }
    drop(sender);
    same("after the last", next(&mut responses).await?, None)
}

pub(super) async fn empty_stream(client: &Client) -> Done {
    let (sender, requests) = Client::requests();
    drop(sender);
    let mut responses = answer(client.streaming(DUPLEX, requests).await.response)?;
    same("the answers", next(&mut responses).await?, None)
}

pub(super) async fn cancel_after_begin(client: &Client) -> Done {
    let (sender, receiver) = tokio::sync::mpsc::channel::<StreamingInputCallRequest>(1);
    let mut requests = Request::new(ReceiverStream::new(receiver));
    let handle = requests.cancellation_handle();
    let call = client.called::<_, _, StreamingInputCallResponse>(INPUT, requests, false);
    let cancel = async {
        // The call has begun when there is room behind its first message.
        let first = StreamingInputCallRequest {
            payload: Payload::of(8),
            expect_compressed: None,
        };
        drop(sender.send(first).await);
        drop(sender.reserve().await);
        handle.cancel();
    };
    let (called, ()) = tokio::join!(call, cancel);
    fails_with(called.response, Code::Cancelled, None)
}

pub(super) async fn cancel_after_first_response(client: &Client) -> Done {
    let (sender, requests) = Client::requests();
    let mut requests = named("cancel_after_first_response", requests.into_inner());
    let handle = requests.cancellation_handle();
    send(&sender, output(RESPONSES[0], REQUESTS[0])).await?;
    let mut responses = answer(client.streaming(DUPLEX, requests).await.response)?;
    same("the size", next(&mut responses).await?, Some(RESPONSES[0]))?;
    handle.cancel();
    fails_with(responses.message().await, Code::Cancelled, None)?;
    // Beyond the description: the cancellation has to come through the proxy.
    client.ended("cancel_after_first_response").await.map(drop)
}

/// A client by tonic that gives up itself calls that CANCELLED, where the description has
/// DEADLINE_EXCEEDED.
fn out_of_time<A>(called: Result<A, Status>) -> Done {
    match called {
        Ok(_) => Err("wanted DeadlineExceeded, came an answer".to_owned()),
        Err(status) if status.code() == Code::DeadlineExceeded => Ok(()),
        Err(status) => {
            let came = (status.code(), status.message());
            same("the status", came, (Code::Cancelled, "Timeout expired"))
        }
    }
}

pub(super) async fn timeout_on_sleeping_server(client: &Client) -> Done {
    let (sender, mut requests) = Client::requests();
    requests.set_timeout(Duration::from_millis(1));
    send(&sender, outputs(&[8], 27_182, Duration::from_secs(60))).await?;
    match client.streaming(DUPLEX, requests).await.response {
        Err(status) => out_of_time::<()>(Err(status)),
        Ok(mut responses) => out_of_time(responses.get_mut().message().await),
    }
}

/// Beyond the description: tonic's own timer runs until the response begins, the proxy's until it
/// has ended.
pub(super) async fn deadline_ends_a_response_that_has_begun(client: &Client) -> Done {
    let mut request = outputs(&[8, 8], 0, Duration::ZERO);
    request.response_parameters[1].interval_us = 60_000_000;
    let mut request = named("begun", tokio_stream::once(request));
    // Long enough for the response to begin on a busy machine.
    request.set_timeout(Duration::from_secs(2));
    let mut responses = answer(client.streaming(OUTPUT, request).await.response)?;
    same("the size", next(&mut responses).await?, Some(8))?;
    fails_with(responses.message().await, Code::DeadlineExceeded, None)?;
    client.ended("begun").await.map(drop)
}

/// The server stops a stream of a minute when its client goes.
pub(super) async fn cancel_reaches_the_server(client: &Client) -> Done {
    let request = outputs(&[8; 600], 0, Duration::from_millis(100));
    let request = named("cancel", tokio_stream::once(request));
    let mut responses = answer(client.streaming(OUTPUT, request).await.response)?;
    same("the size", next(&mut responses).await?, Some(8))?;
    drop(responses);
    client.ended("cancel").await.map(drop)
}

/// 8 streams of 2 MiB each way share a connection.
pub(super) async fn long_streams_at_once(client: &Client) -> Done {
    let mut calls = Vec::new();
    for _ in 0..8 {
        let (sender, requests) = Client::requests();
        for _ in 0..32 {
            send(&sender, output(65_536, 65_536)).await?;
        }
        calls.push(async move {
            let mut responses = answer(client.streaming(DUPLEX, requests).await.response)?;
            same("the bytes", all(&mut responses).await?, vec![65_536; 32])
        });
    }
    all_of(calls).await
}

/// All of them at once.
pub(super) async fn all_of(calls: Vec<impl Future<Output = Done>>) -> Done {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).map(Some).collect();
    std::future::poll_fn(|context| {
        for call in &mut calls {
            if let Some(running) = call
                && let std::task::Poll::Ready(done) = running.as_mut().poll(context)
            {
                *call = None;
                if done.is_err() {
                    return std::task::Poll::Ready(done);
                }
            }
        }
        if calls.iter().all(Option::is_none) {
            return std::task::Poll::Ready(Ok(()));
        }
        std::task::Poll::Pending
    })
    .await
}
