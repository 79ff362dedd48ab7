//! One reload at a time: all requests that wait when it begins are answered by it.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::control::{ControlPlane, Purpose, Request};
use super::reload::{Now, Preparation};
use crate::admin::{ReloadError, Reloaded};

/// The reload that is under way, if one is.
#[derive(Default)]
pub(super) struct Reloading {
    preparing: Option<(Purpose, JoinHandle<Result<Preparation, ReloadError>>)>,
    /// What it is the answer to.
    requests: Vec<Request>,
    /// What was asked meanwhile, and is another question.
    next: Option<Request>,
}

impl Reloading {
    /// Whether the next may begin.
    pub(super) fn is_idle(&self) -> bool {
        self.preparing.is_none()
    }

    /// Begins one, for this request and for those that wait with the same question.
    pub(super) fn begin(
        &mut self,
        first: Request,
        waiting: &mut mpsc::Receiver<Request>,
        now: Now,
    ) {
        let purpose = first.purpose;
        self.requests.push(first);
        self.next = None;
        while let Ok(request) = waiting.try_recv() {
            if request.purpose != purpose {
                self.next = Some(request);
                break;
            }
            self.requests.push(request);
        }
        self.preparing = Some((purpose, tokio::spawn(now.prepare(purpose))));
    }

    /// Waits until one is prepared.
    pub(super) async fn prepared(&mut self) -> (Purpose, Result<Preparation, ReloadError>) {
        let Some((purpose, preparing)) = &mut self.preparing else {
            return pending().await;
        };
        let prepared = preparing.await.unwrap_or_else(|e| {
            let reason = format!("the configuration can't be prepared: {e}");
            Err(ReloadError::Refused(vec![reason]))
        });
        let purpose = *purpose;
        self.preparing = None;
        (purpose, prepared)
    }

    /// Answers the requests, once all workers have adopted the snapshot that came of it. The one
    /// that has waited with another question is the next.
    pub(super) fn end(
        &mut self,
        outcome: Result<(Reloaded, Option<u64>), ReloadError>,
        control: &Arc<ControlPlane>,
    ) -> Option<Request> {
        let (requests, control) = (std::mem::take(&mut self.requests), Arc::clone(control));
        tokio::spawn(async move {
            if let Ok((_, Some(version))) = &outcome
                && !control.is_adopted(*version).await
            {
                tracing::warn!("a worker has not adopted the reload in time");
            }
            let outcome = outcome.map(|(reloaded, _)| reloaded);
            for answer in requests.into_iter().filter_map(|request| request.answer) {
                // One that has left needs none.
                let _ = answer.send(outcome.clone());
            }
        });
        self.next.take()
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        if let Some((_, preparing)) = &self.preparing {
            preparing.abort();
        }
    }
}
