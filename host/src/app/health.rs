//! The review of the backends' health, beside the traffic.

use std::sync::Arc;

use tokio::time::sleep;

use super::control::ControlPlane;
use crate::ground;
use crate::upstream::Review;

/// Reviews for as long as it is polled.
pub(super) async fn review(control: Arc<ControlPlane>) {
    ground::stays("the review of the backends' health", || {
        review_all(Arc::clone(&control))
    })
    .await;
}

async fn review_all(control: Arc<ControlPlane>) {
    let mut snapshots = control.subscribe();
    let mut review = Review::default();
    loop {
        let topology = Arc::clone(&snapshots.borrow_and_update().topology);
        review.look(&topology, control.stats());
        drop(topology);
        tokio::select! {
            () = sleep(review.pause()) => {}
            changed = snapshots.changed() => if changed.is_err() {
                return;
            },
        }
    }
}
