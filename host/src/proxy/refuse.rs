//! The answer to what is no request.

use std::rc::Rc;

use http::Method;

use super::call;
use super::client::Client;
use super::connection::Disposition;
use super::refusal::Refusal;
use super::reply::{Answer, ReplyTo};
use super::scratch::Scratch;
use super::settings::Settings;
use crate::message::Version;
use crate::observe::Outcome;

/// Answers a head that was refused. What of it was understood is in `scratch`.
pub(super) async fn refuse(
    mut client: Client<'_>,
    refusal: &Refusal,
    settings: &Settings,
    scratch: &mut Scratch,
    mut outcome: Outcome,
) -> Disposition {
    let worker = Rc::clone(client.worker());
    worker.shard.requests.increment();
    let Scratch { head, out, .. } = scratch;
    let to = ReplyTo {
        // What HTTP/1.1 does not understand may be any method: the connection ends behind the body.
        // A stream has an end of its own, so that its method counts.
        method: match head.version {
            Version::Http2 => &head.method,
            _ => &Method::GET,
        },
        version: Default::default(),
        keep_alive: false,
        date: &worker.date(),
        trace: None,
        item: settings.forwarding.item(),
    };
    outcome.answered(refusal.status(), Some(refusal.reason()));
    let answer = match call::is_call(head) {
        true => Answer::refusal(refusal, to.item).for_call(None),
        false => Answer::refusal(refusal, to.item),
    };
    let body = answer.body(to.method);
    outcome.response_bytes = body.map_or(0, |(body, _)| body.len() as u64);
    let disposition = client.answer(settings, &answer, to, out).await;
    outcome.end(head.client);
    worker.observe(settings.logged, &outcome, head, client.info());
    disposition
}
