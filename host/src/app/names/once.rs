//! Look-ups of names that are asked for once, by clients of the forward proxy.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Names;
use crate::upstream::{Name, Outcome, Record};

/// A client does not wait for longer.
const LONGEST: Duration = Duration::from_secs(5);

/// What comes of such a look-up.
pub(in crate::app) enum Once {
    /// Addresses, at least one, and for how long they are valid.
    Found(Vec<IpAddr>, Duration),
    Absent,
    Failed,
    TimedOut,
}

impl Names {
    /// The addresses of a host, of all families that are asked for.
    pub(in crate::app) async fn look_up_once(&self, host: &str) -> Once {
        let resolver = Arc::clone(&self.state().resolver);
        let name = Name::Host(host.to_owned());
        let mut asked = tokio::task::JoinSet::new();
        for family in resolver.families(&name) {
            let (resolver, name) = (Arc::clone(&resolver), name.clone());
            asked.spawn(async move {
                let looked_up = timeout(LONGEST, resolver.look_up(&name, *family));
                looked_up.await.ok().map(|answer| answer.outcome)
            });
        }
        let (mut all, mut valid, mut none) = (Vec::new(), Duration::MAX, Once::Absent);
        while let Some(answered) = asked.join_next().await {
            match answered.unwrap_or(None) {
                Some(Outcome::Found { records, ttl }) => {
                    valid = valid.min(ttl);
                    all.extend(records.into_iter().filter_map(|record| address(&record)));
                }
                Some(Outcome::Absent(_)) => {}
                Some(Outcome::Failed(_)) => none = Once::Failed,
                None => none = Once::TimedOut,
            }
        }
        match all.is_empty() {
            true => none,
            false => Once::Found(all, valid),
        }
    }
}

fn address(record: &Record) -> Option<IpAddr> {
    match record {
        Record::Address(address) => Some(*address),
        _ => None,
    }
}
