//! Backends, pools and policies that left are forgotten after a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::{ControlPlane, PoisonError};
use crate::ground;
use crate::policy::PolicyIds;
use crate::stats::Departed;

/// How often it is asked what has gone.
const LOOK: Duration = Duration::from_secs(10);
/// How many policies are remembered after they have left the configuration.
const REMEMBERED: usize = 64;

/// The policies that have ids, and those of them that have left.
#[derive(Debug)]
pub(super) struct KnownPolicies {
    pub ids: PolicyIds,
    left: Departed<String>,
}

impl Default for KnownPolicies {
    fn default() -> Self {
        Self {
            ids: PolicyIds::default(),
            left: Departed::new(REMEMBERED),
        }
    }
}

/// Forgets what left, for as long as it is polled.
pub(in crate::app) async fn forget(control: Arc<ControlPlane>) {
    ground::stays("what forgets backends that left", || {
        let control = Arc::clone(&control);
        async move {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let one_at_a_time = control.configuring.lock().await;
                control.forget_what_left();
                drop(one_at_a_time);
                control.forget_left(Instant::now()).await;
            }
        }
    })
    .await;
}

impl ControlPlane {
    /// Forgets what nothing has used for a while. The caller sees to it that no configuration is
    /// being prepared.
    pub(super) fn forget_what_left(&self) {
        let now = Instant::now();
        self.registry.forget(&self.stats, now);
        let managed = self.managed();
        let mut known = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.stats.policies().by_name.into_keys();
        let named = known.ids.names().map(str::to_owned);
        let mut all: Vec<String> = counted.chain(named).collect();
        all.retain(|name| managed.iter().all(|policy| policy.name != *name));
        let over = known.left.look(all, now);
        let names: Vec<&str> = over.iter().map(String::as_str).collect();
        let forgotten = self.stats.forget_policies(&names);
        for (name, _) in names.iter().zip(forgotten).filter(|(_, gone)| *gone) {
            known.ids.forget(name);
            self.engine.forget(name);
        }
    }
}
