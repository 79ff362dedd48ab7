//! `GET /tap`: sampled requests as they end, one line of JSON each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::control::Control;
use super::crowd::Caller;
use super::news::Events;
use super::reply::{self, Reply};
use super::shared::Shared;
use crate::observe::sample::Sample;
use crate::observe::tap::{WATCHES, Wanted, Watch};
use crate::text::write_json;

/// A line comes this often also if nothing happens, so that both sides see when the other is gone.
const ALIVE: Duration = Duration::from_secs(1);
/// How long workers may take to learn of it; one that hangs never does.
const WORKERS: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// A line of the answer.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    /// The workers sample from now on, of all that there are.
    Watching { workers: usize, of: usize },
    /// A request.
    Sample(&'a Sample),
    /// Samples that were lost since the last line that says so.
    Dropped { samples: u64 },
    /// What was sent and lost so far.
    Alive { samples: u64, dropped: u64 },
}

impl Line<'_> {
    fn bytes(&self) -> Bytes {
        let mut line = Vec::new();
        write_json(self, &mut line);
        line.push(b'\n');
        line.into()
    }
}

/// Begins to watch.
pub(super) fn answer(
    shared: &Arc<Shared>,
    caller: &Arc<Caller>,
    request: &Request<Incoming>,
) -> Reply {
    // With the token only: a session could end while it goes on.
    if let Some(refusal) = shared.guard.refusal(request) {
        return refusal;
    }
    if *request.method() != Method::GET {
        return reply::wrong_method(request.method().as_str(), "/tap", "GET");
    }
    if let Some(refusal) = shared.guard.elsewhere(request) {
        return refusal;
    }
    let query = request.uri().query().unwrap_or_default();
    let wanted = wanted(query).and_then(|wanted| known(&*shared.control, wanted));
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(sentence) => return reply::error(StatusCode::BAD_REQUEST, &sentence),
    };
    let Some(watch) = shared.control.tap().watch(wanted) else {
        let sentence = format!("{WATCHES} watch requests already; end one of them");
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, &sentence);
    };
    // One line at a time: what a client does not take waits in the queue of its samples, which is
    // bounded.
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(send(Arc::clone(shared), watch, sender));
    reply::lines(Events::new(pieces, None, caller))
}

/// What the parameters ask for.
fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "route" => &mut wanted.route,
            "pool" => &mut wanted.pool,
            "policy" => &mut wanted.policy,
            "status" => {
                if wanted.status.replace(value.parse()?).is_some() {
                    return Err("`status` stands twice; give it once".to_owned());
                }
                continue;
            }
            _ => {
                return Err(format!(
                    "/tap has no parameter {name:?}; it has route, status, policy and pool"
                ));
            }
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(format!("`{name}` stands twice; give it once"));
        }
    }
    Ok(wanted)
}

/// The same if there is what it names: a mistake would look like silence.
fn known(control: &dyn Control, wanted: Wanted) -> Result<Wanted, String> {
    let named = |name: &Option<String>, all: &[String], what: &str, list: &str| match name {
        Some(name) if !all.contains(name) => Err(format!(
            "no {what} is named {name:?}; GET {list} lists those that run"
        )),
        _ => Ok(()),
    };
    if let Some(start) = &wanted.route {
        let mut routes = control.routes().into_iter();
        if !routes.any(|route| route.name.starts_with(start.as_str())) {
            return Err(format!(
                "no route's name begins with {start:?}; GET /config lists those that run"
            ));
        }
    }
    let pools: Vec<String> = control.pools().into_iter().map(|p| p.name).collect();
    named(&wanted.pool, &pools, "pool", "/pools")?;
    let policies: Vec<String> = control.policies().into_iter().map(|p| p.name).collect();
    named(&wanted.policy, &policies, "policy", "/policies")?;
    Ok(wanted)
}

/// Sends lines until the client leaves or the listener stops.
async fn send(shared: Arc<Shared>, mut watch: Watch, to: mpsc::Sender<Bytes>) {
    let mut stopping = shared.stopping.clone();
    let mut ticks = interval(ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let (mut samples, mut said) = (0, 0);
    let mut line = Some(begun(&watch).await);
    loop {
        let dropped = watch.dropped();
        if line.is_none() && dropped > said {
            let samples = dropped - said;
            said = dropped;
            line = Some(Line::Dropped { samples }.bytes());
        }
        let bytes = match line.take() {
            Some(bytes) => bytes,
            None => tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => return,
                () = to.closed() => return,
                sample = watch.next() => {
                    let Some(sample) = sample else { return };
                    samples += 1;
                    Line::Sample(&sample).bytes()
                }
                _ = ticks.tick() => Line::Alive { samples, dropped }.bytes(),
            },
        };
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            sent = to.send(bytes) => if sent.is_err() { return },
        }
    }
}

/// The first line, once the workers sample.
async fn begun(watch: &Watch) -> Bytes {
    let until = Instant::now() + WORKERS;
    loop {
        let (workers, of) = watch.workers();
        if workers == of || Instant::now() >= until {
            return Line::Watching { workers, of }.bytes();
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_mistakes_named() {
        let all = wanted("route=a.test%2Fx&pool=web&policy=p&status=5xx").unwrap();
        assert_eq!(all.route.as_deref(), Some("a.test/x"));
        assert!(all.status.unwrap().has(503));
        assert_eq!(wanted("").unwrap(), Wanted::default());
        for (query, part) in [
            ("rout=a", "no parameter \"rout\""),
            ("pool=a&pool=b", "`pool` stands twice"),
            ("status=5xx&status=503", "`status` stands twice"),
            ("status=many", "no status"),
        ] {
            let mistake = wanted(query).unwrap_err();
            assert!(mistake.contains(part), "{query}: {mistake}");
        }
    }
}
