//! `GET /page/events`: the sections that have changed, once a second, as server-sent events.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::parts::Shown;
use super::sections::SECTIONS;
use super::view::View;
use super::{Access, Reply};
use crate::admin::crowd::Caller;
use crate::admin::live::WATCHERS;
use crate::admin::news::Events;
use crate::admin::reply;
use crate::admin::shared::Shared;

const PAUSE: Duration = Duration::from_secs(1);

/// Begins to send news.
pub(super) fn begin(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    access: Access,
    query: Option<&str>,
) -> Reply {
    let Some(watches) = shared.live.watch() else {
        let sentence = format!("{WATCHERS} pages get news already; close one of them");
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, &sentence);
    };
    // One message at a time: what a browser does not take is not made.
    let (sender, pieces) = mpsc::channel(1);
    let view = View::of_query(query);
    tokio::spawn(send(Arc::clone(shared), access, view, sender));
    reply::events(Events::new(pieces, Some(watches), caller))
}

/// Sends news until the browser leaves, its session ends or the listener stops.
async fn send(shared: Arc<Shared>, access: Access, view: View, to: mpsc::Sender<Bytes>) {
    let mut stopping = shared.stopping.clone();
    let _sampling = shared.live.sample(&*shared.control);
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = [0; SECTIONS.len()];
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = to.closed() => return,
            _ = ticks.tick() => {}
        }
        if !access.goes_on(&shared) {
            return;
        }
        let news = news(&shared, &access, &view, &mut sent);
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            sent = to.send(Bytes::from(news)) => if sent.is_err() { return },
        }
    }
}

/// The sections that are not as they were sent last.
fn news(shared: &Shared, access: &Access, view: &View, sent: &mut [u64]) -> String {
    let changed: Map<String, Value> = shared.live.look(&*shared.control, |moment| {
        let shown = Shown {
            moment,
            view,
            csrf: access.csrf(shared),
        };
        let sections = SECTIONS.iter().zip(sent);
        let changed = sections.filter_map(|((id, _, section), sent)| {
            let html = section(&shown).into_string();
            let mut hasher = DefaultHasher::new();
            html.hash(&mut hasher);
            let now = hasher.finish();
            (std::mem::replace(sent, now) != now).then(|| ((*id).to_owned(), html.into()))
        });
        changed.collect()
    });
    // JSON has no line breaks, which would end the message.
    format!("event: page\ndata: {}\n\n", Value::Object(changed))
}
