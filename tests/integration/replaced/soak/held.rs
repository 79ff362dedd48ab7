//! What is held open all the time: WebSockets, and calls of gRPC that have no end.

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::runtime::Runtime;

use crate::fixtures::http2::Http2;
use crate::fixtures::{Client, StreamBackend, TestProxy, TestUpstream};
use crate::replaced::load::patiently;
use crate::upgrades::{echo, switched, taking};

pub(super) struct Held {
    tunnels: Vec<Client>,
    calls: Vec<(SendStream<Bytes>, RecvStream)>,
    runtime: Runtime,
}

/// A backend of WebSockets that sends back what arrives, however long nothing does.
pub(super) fn websockets() -> TestUpstream {
    taking(|connection| {
        connection.wire.stream.set_read_timeout(None).unwrap();
        echo(connection);
    })
}

/// A backend of calls that sends back each message.
pub(super) fn calls() -> StreamBackend {
    StreamBackend::start(|mut call| async move {
        let head = Response::builder().header("content-type", "application/grpc");
        let mut answer = call.begin(head.body(()).unwrap());
        let body = call.request.body_mut();
        while let Some(Ok(message)) = body.data().await {
            let _ = body.flow_control().release_capacity(message.len());
            let _ = answer.send_data(message, false);
        }
        let status = ("grpc-status".parse().unwrap(), "0".parse().unwrap());
        let _ = answer.send_trailers(HeaderMap::from_iter([status]));
    })
}

impl Held {
    #[track_caller]
    pub(super) fn open(proxy: &TestProxy, tunnels: usize, calls: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let tunnels = (0..tunnels).map(|_| switched(proxy)).collect();
        let calls = runtime.block_on(async {
            let client = Http2::connect(proxy.address()).await;
            let mut open = Vec::new();
            for _ in 0..calls {
                let call = Request::post("http://calls.test/service/method")
                    .header("te", "trailers")
                    .header("content-type", "application/grpc");
                let (answer, up) = client.send(call.body(()).unwrap(), false).await.unwrap();
                let answer = patiently(answer).await.unwrap();
                assert_eq!(answer.status(), 200);
                open.push((up, answer.into_body()));
            }
            open
        });
        Self {
            tunnels,
            calls,
            runtime,
        }
    }

    /// Each still carries something there and back.
    #[track_caller]
    pub(super) fn are_open(&mut self) {
        for tunnel in &mut self.tunnels {
            tunnel.send(b"?");
            let back = tunnel.wire.length(1);
            assert_eq!(back.expect("the tunnel is open"), b"?");
        }
        self.runtime.block_on(async {
            for (up, down) in &mut self.calls {
                up.send_data(Bytes::from_static(b"\0\0\0\0\x01!"), false)
                    .expect("the call goes on");
                let message = patiently(down.data()).await;
                let message = message.expect("the call goes on").unwrap();
                assert_eq!(&message[..], b"\0\0\0\0\x01!");
                down.flow_control().release_capacity(message.len()).unwrap();
            }
        });
    }
}
