//! Endpoints that are ejected because nobody could connect to them. A connection that no request
//! waits for shows when that is over; until then no request tries them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::jittered;
use super::target::{Target, Unwell};
use crate::config::{Probe, ProbeKind};
use crate::upstream::{EndpointId, Topology};

/// For one connection, with TLS the handshake included. The kernel repeats a SYN after 1 s, then
/// after 2 s and so on: a new connection sends one sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is to be looked for, and how.
pub(super) fn sought(topology: &Topology) -> HashMap<EndpointId, Target> {
    let mut all = HashMap::new();
    for pool in &topology.pools {
        let interval = pool.health.ejection.reconnect;
        if interval.is_zero() || pool.health.probe.is_some() {
            continue;
        }
        for endpoint in pool.endpoints.iter().filter(|e| e.health.is_sought()) {
            all.entry(endpoint.id).or_insert_with(|| {
                let probe = Probe {
                    kind: ProbeKind::Tcp,
                    interval,
                    timeout: PATIENCE,
                    healthy: 1,
                    unhealthy: 1,
                    port: None,
                };
                Target::new(endpoint, &probe)
            });
        }
    }
    all
}

/// Connects again and again, until that succeeds or the ejection ends in another way.
pub(super) async fn seek(target: Arc<Target>, turns: Arc<Semaphore>) {
    let Probe {
        interval,
        timeout: patience,
        ..
    } = target.probe;
    // Until the next connection has failed as well, however busy this thread is.
    let hold = (interval + patience) * 2;
    while target.health.is_sought() {
        // It is never closed.
        let turn = turns.acquire().await;
        let connected = timeout(patience, target.connect()).await;
        drop(turn);
        match connected {
            Ok(Ok(_)) => {
                target.health.probed(false);
                return target.health.is_reached();
            }
            Ok(Err(Unwell::Ours(reason))) => {
                target.was_not_probed(&reason);
                return target.health.is_not_sought();
            }
            Err(_) | Ok(Err(Unwell::Theirs(_))) => {
                target.health.probed(true);
                target.health.is_not_reached(hold);
            }
        }
        sleep(jittered(interval)).await;
    }
}
