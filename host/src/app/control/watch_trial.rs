//! Looks at a candidate until its trial is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::ControlPlane;
use crate::ground;
use crate::policy::Trial;
use crate::rollout::{Score, judge};

/// How often its counters are looked at: a canary that traps is gone long before a second is over.
const LOOK: Duration = Duration::from_millis(100);

/// Ends when the trial does, and ends it if the candidate does not stand it: a shadow's faults are
/// none of the traffic's, but the time that they take is.
pub(super) async fn watch_trial(control: Arc<ControlPlane>, index: usize, trial: Arc<Trial>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        ground::fault_point("trial");
        if !control
            .known(index)
            .record
            .trial()
            .is_some_and(|t| Arc::ptr_eq(t, &trial))
        {
            return;
        }
        if let Some(reason) = judge(&Score::of(&trial), &control.config.rollout) {
            return control.withdraw(index, &trial, &reason).await;
        }
    }
}
