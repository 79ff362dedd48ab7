//! Watches a candidate until its trial is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{ControlPlane, Managed};
use crate::ground;
use crate::policy::Trial;
use crate::rollout::{Score, judge};

/// How often its counters are read: a canary that traps is withdrawn well within a second.
const LOOK: Duration = Duration::from_millis(100);

/// Returns when the trial ends, and ends it if the candidate fails. That goes for a shadow too: its
/// faults fail no request, but they cost time.
pub(super) async fn watch_trial(
    control: Arc<ControlPlane>,
    policy: Arc<Managed>,
    trial: Arc<Trial>,
) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        ground::fault_point("trial");
        if !policy
            .state()
            .history
            .trial()
            .is_some_and(|t| Arc::ptr_eq(t, &trial))
        {
            return;
        }
        if let Some(reason) = judge(&Score::of(&trial), &control.current().rollout) {
            return control.withdraw(&policy, &trial, &reason).await;
        }
    }
}
