//! Looks at a trial until it is over.

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
use super::render;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// So long a proxy may be out of reach before watching it ends.
const LOST: Duration = Duration::from_secs(10);

/// A trial that is watched.
pub(super) struct Watch<'a> {
    pub client: &'a Client,
    pub policy: &'a str,
    /// `/policies/NAME`
    pub path: &'a str,
    pub generation: u64,
    pub digest: &'a str,
    /// How long it is to stand before it is promoted, if it is.
    pub promote_after: Option<Duration>,
    pub display: Display,
}

impl Watch<'_> {
    /// The last answer: of a generation that was promoted, or of a trial that goes on as the
    /// watcher was interrupted. `last` is that of the deployment.
    pub async fn run(
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
                // It may be a moment in which it is too busy, or the network's.
                Err(e) if e.is_passing() && seen.elapsed() < LOST => continue,
                Err(e) => {
                    let lost = format!(
                        "the trial of generation {} is no longer watched",
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
            // Rounded up: at 0 it would be promoted.
            format!(
                ", promoted in {}",
                render::duration(left + Duration::from_millis(999))
            )
        });
        self.display
            .show(self.policy, trial, elapsed, &rest.unwrap_or_default());
    }

    /// The time is up, and it still stands.
    async fn promote(&self, details: &Details) -> Result<Answer, RemoteError> {
        let after = self.promote_after.map(render::duration).unwrap_or_default();
        let decided = details
            .trial
            .as_ref()
            .and_then(|t| t.canary)
            .map_or(0, |arm| arm.requests.saturating_sub(arm.given_up));
        if decided == 0 {
            return Err(RemoteError::Over(format!(
                "{}: generation {} is not promoted: it has decided no request in {after}; it stays on trial",
                self.policy, self.generation
            )));
        }
        let path = format!("{}/promote?generation={}", self.path, self.generation);
        let promoted = self
            .client
            .send(Method::POST, &path, Bytes::new(), CHANGE)
            .await;
        // It may have been withdrawn at the last moment, or another one be on trial by now.
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

    /// The proxy is not asked again: it may be what the watcher has lost patience with.
    fn leave(mut self, last: Answer) -> Result<Answer, RemoteError> {
        let goes_on = format!(
            "{}: generation {} stays on trial; `waypost policy status {}` tells how it goes, `waypost policy withdraw {}` ends it",
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
