//! Watches a trial until it is over.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tokio::time::{MissedTickBehavior, interval};

use super::RemoteError;
use super::answers::{Details, Fate};
use super::client::{Answer, CHANGE, Client};
use super::display::Display;
use crate::units;

/// How often the proxy is asked.
const LOOK: Duration = Duration::from_millis(500);
/// How long the proxy may be unreachable before watching ends.
const LOST: Duration = Duration::from_secs(10);

/// A trial that is watched.
pub(super) struct Watch<'a> {
    pub client: &'a Client,
    pub policy: &'a str,
    /// `/policies/NAME`
    pub path: &'a str,
    pub generation: u64,
    pub digest: &'a str,
    /// The time after which it is promoted, if at all.
    pub promote_after: Option<Duration>,
    pub display: Display,
}

impl Watch<'_> {
    /// Returns the last answer: about a promoted generation, or about a trial that continues
    /// because the watcher was interrupted. `last` is the answer to the deployment.
    pub(super) async fn run(
        mut self,
        mut last: Answer,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Answer, RemoteError> {
        let began = Instant::now();
        let mut interrupted = pin!(interrupted);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Instant::now();
        loop {
            let (client, path) = (self.client, self.path);
            let look = async {
                looks.tick().await;
                client.read(path).await
            };
            let answer = tokio::select! {
                () = &mut interrupted => return self.leave(last),
                answer = look => answer,
            };
            let answer = match answer {
                Ok(answer) => answer,
                // The proxy may be busy for a moment, or the network down.
                Err(e) if e.is_passing() && seen.elapsed() < LOST => continue,
                Err(e) => {
                    let lost = format!(
                        "stopped watching the trial of generation {}",
                        self.generation
                    );
                    return Err(RemoteError::Over(format!("{lost}: {e}")));
                }
            };
            seen = Instant::now();
            let details: Details = answer.read()?;
            match details.fate(self.generation, self.digest) {
                Fate::OnTrial => self.show(&details, began.elapsed()),
                Fate::Promoted => return Ok(answer),
                Fate::Over(reason) => {
                    return Err(RemoteError::Over(format!("{}: {reason}", self.policy)));
                }
            }
            if self
                .promote_after
                .is_some_and(|after| began.elapsed() >= after)
            {
                return self.promote(&details).await;
            }
            last = answer;
        }
    }

    fn show(&mut self, details: &Details, elapsed: Duration) {
        let Some(trial) = &details.trial else { return };
        let rest = self.promote_after.map(|after| {
            let left = after.saturating_sub(elapsed);
            // Rounded up, because 0 would mean "promoted".
            format!(
                ", promoted in {}",
                units::duration(left + Duration::from_millis(999))
            )
        });
        self.display
            .show(self.policy, trial, elapsed, &rest.unwrap_or_default());
    }

    /// The time is up and the canary has passed.
    async fn promote(&self, details: &Details) -> Result<Answer, RemoteError> {
        let after = self.promote_after.map(units::duration).unwrap_or_default();
        let decided = details
            .trial
            .as_ref()
            .and_then(|t| t.canary)
            .map_or(0, |arm| arm.requests.saturating_sub(arm.given_up));
        if decided == 0 {
            return Err(RemoteError::Over(format!(
                "{}: generation {} is not promoted, because it decided no request in {after}; it \
                 stays on trial",
                self.policy, self.generation
            )));
        }
        let path = format!("{}/promote?generation={}", self.path, self.generation);
        let promoted = self
            .client
            .send(Method::POST, &path, Bytes::new(), CHANGE)
            .await;
        // It may have been withdrawn at the last moment, or replaced by another trial.
        let answer = match promoted {
            Err(RemoteError::Refused { .. }) => self.client.read(self.path).await?,
            other => other?,
        };
        match answer.read::<Details>()?.fate(self.generation, self.digest) {
            Fate::Promoted => Ok(answer),
            Fate::OnTrial => Err(RemoteError::Over(format!(
                "{}: the proxy did not promote generation {}; it is still on trial",
                self.policy, self.generation
            ))),
            Fate::Over(reason) => Err(RemoteError::Over(format!("{}: {reason}", self.policy))),
        }
    }

    /// The proxy is not asked again: it may be the reason for the interruption.
    fn leave(mut self, last: Answer) -> Result<Answer, RemoteError> {
        let goes_on = format!(
            "{}: generation {} stays on trial; `waypost policy status {}` shows its progress, \
             `waypost policy withdraw {}` ends it",
            self.policy, self.generation, self.policy, self.policy
        );
        if self.promote_after.is_some() {
            return Err(RemoteError::Over(format!(
                "interrupted before it was promoted; {goes_on}"
            )));
        }
        self.display.say(&goes_on);
        Ok(last)
    }
}
