//! The answer to what is no request.

use std::rc::Rc;

use super::client::Client;
use super::connection::Disposition;
use super::refusal::Refusal;
use super::reply::{Answer, ReplyTo};
use super::scratch::Scratch;
use super::settings::Settings;
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
        method: &http::Method::GET,
        version: Default::default(),
        keep_alive: false,
        date: &worker.date(),
        trace: None,
        item: settings.forwarding.item(),
    };
    outcome.answered(refusal.status(), Some(refusal.reason()));
    let answer = Answer::refusal(refusal, to.item);
    let disposition = client.answer(settings, &answer, to, out).await;
    outcome.end(head.client);
    worker.observe(settings.logged, &outcome, head, client.info());
    disposition
}
