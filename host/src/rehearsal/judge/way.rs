//! Where a step's request goes, compared with what is expected of that.

use super::super::decisions::Decisions;
use super::super::harness::PoolSetup;
use super::super::scenario::{ExpectedWay, Step};
use super::{Difference, failed};
use crate::policy::Routed;

/// Compares the pool that was chosen, and what the backend is asked for.
pub(super) fn way(
    step: &Step,
    decisions: &Decisions,
    pools: &[PoolSetup],
    found: &mut Vec<Difference>,
) {
    let ExpectedWay {
        pool,
        path,
        query,
        host,
    } = &step.expect.way;
    let mut compare = |what: &str, expected: String, actual: String| {
        if expected != actual {
            found.push(Difference::new(what, expected, actual));
        }
    };
    if let Some(pool) = pool {
        let wanted = pool.map_or("none", |pool| pools[pool as usize].name.as_str());
        compare("pool", wanted.to_owned(), routed(step, decisions, pools));
    }
    let (sent_path, sent_query) = decisions.head.sent_parts();
    if let Some(path) = path {
        compare("target path", path.clone(), sent_path.to_owned());
    }
    if let Some(query) = query {
        let shown = |query: Option<&str>| query.map_or("none".to_owned(), |q| format!("{q:?}"));
        compare("target query", shown(query.as_deref()), shown(sent_query));
    }
    if let Some(host) = host {
        let sent = decisions.head.forwarded_authority(&decisions.head.host);
        compare("target host", host.clone(), sent.to_owned());
    }
}

/// The name of the pool that was chosen.
fn routed(step: &Step, decisions: &Decisions, pools: &[PoolSetup]) -> String {
    match decisions.routed() {
        Some(Ok(Routed::Pool(position))) => {
            let id = step
                .ways
                .pools
                .get(*position as usize)
                .unwrap_or(&step.pool);
            pools[*id as usize].name.clone()
        }
        Some(Ok(Routed::NoChoice)) => "none".to_owned(),
        Some(Ok(Routed::Answer(_))) => "an answer".to_owned(),
        Some(Err(fault)) => failed(fault),
        None => "not asked".to_owned(),
    }
}
