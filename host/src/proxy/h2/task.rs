//! The task of one stream: its request is read and exchanged, and the stream ends as it should.

use std::rc::Rc;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use tokio::task::spawn_local;

use super::open::Open;
use super::stream::Stream;
use crate::h2::{Arrived, KeptToProxy, read_request};
use crate::message::{RequestFacts, RequestHead, grpc};
use crate::observe::Outcome;
use crate::proxy::boxed::boxed;
use crate::proxy::client::Client;
use crate::proxy::connection::Disposition;
use crate::proxy::exchange::Exchange;
use crate::proxy::refusal::Refusal;
use crate::proxy::refuse::refuse;
use crate::proxy::scratch::Scratch;
use crate::proxy::settings::Settings;
use crate::proxy::switched::Switched;

/// Has a request exchanged whose head has arrived.
pub(super) async fn exchange(mut stream: Stream, parts: Parts) {
    let worker = Rc::clone(stream.worker());
    worker.shard.http2.requests.increment();
    let _open = Open::new(&worker.shard.http2.streams_active);
    let mut scratch = worker.scratch();
    let disposition = request(&mut stream, &mut scratch, parts).await;
    let tunnel = scratch.tunnel.take();
    if scratch.has_small_heads() {
        worker.take_back(scratch);
    } else {
        drop(scratch);
    }
    match tunnel {
        None => stream.end(disposition),
        // A task of its own: this one has room for a whole exchange, and a tunnel may be open for
        // a day.
        Some(tunnel) => drop(spawn_local(tunnelled(stream, tunnel))),
    }
}

async fn tunnelled(stream: Stream, tunnel: Box<Switched>) {
    let worker = Rc::clone(stream.worker());
    let _open = Open::new(&worker.shard.http2.streams_active);
    stream.tunnel(tunnel).await;
}

async fn request(stream: &mut Stream, scratch: &mut Scratch, parts: Parts) -> Disposition {
    let view = stream.worker().view();
    let outcome = Outcome::begin();
    let (facts, to_proxy) = {
        scratch.head.fields.keep_spelling(false);
        let facts = read(stream, &view.settings, &mut scratch.head, &parts);
        if facts.is_err() {
            note_call(&mut scratch.head, &parts);
        }
        let is_forward = stream.entry().is_forward;
        let to_proxy = is_forward.then(|| Box::new(KeptToProxy::read(&parts)));
        // The engine's copy of the head is of no more use.
        drop(parts);
        (facts, to_proxy)
    };
    match facts {
        Ok(facts) => {
            stream.take_arrived();
            let client = Client::H2(stream);
            let mut exchange = Exchange::new(client, &view, scratch, facts, outcome);
            match to_proxy {
                Some(kept) => boxed(|| exchange.run_forward(kept.said())).await,
                None => exchange.run().await,
            }
        }
        Err(refusal) => {
            let client = Client::H2(stream);
            refuse(client, &refusal, &view.settings, scratch, outcome).await
        }
    }
}

/// A head that was refused says that it was a call, wherever reading it has stopped.
#[cold]
fn note_call(head: &mut RequestHead, parts: &Parts) {
    let kind = parts.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    if let Some(kind) = kind.filter(|kind| grpc::is_kind(kind))
        && head.fields.first("content-type").is_none()
    {
        head.fields.append(b"content-type", kind);
    }
}

/// Reads the head.
fn read(
    stream: &Stream,
    settings: &Settings,
    head: &mut RequestHead,
    parts: &Parts,
) -> Result<RequestFacts, Refusal> {
    let info = stream.info();
    // Either speaks of other connections than this one.
    let any_scheme = stream.entry().is_forward || settings.forwarding.trusts(info.peer.ip());
    let arrived = Arrived {
        scheme: (!any_scheme).then(|| info.scheme()),
        is_end: stream.is_at_end(),
    };
    Ok(read_request(head, parts, arrived, settings.head_limits)?)
}
