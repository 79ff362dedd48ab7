//! Requests for a reload, and how reloads have gone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{ControlPlane, Purpose};
use crate::admin::{ReloadError, ReloadStatus, Reloaded};

/// Requests that may wait. Those that wait at the same time are answered by one reload.
const WAITING: usize = 64;

/// What comes of a reload.
type Outcome = Result<Reloaded, ReloadError>;

/// A request for a reload.
#[derive(Debug)]
pub(in crate::app) struct Request {
    pub purpose: Purpose,
    /// Gets the outcome; `None` if nothing waits for it.
    pub answer: Option<oneshot::Sender<Outcome>>,
}

/// Where reloads are asked for, and how they have gone.
#[derive(Debug)]
pub(in crate::app) struct Reloads {
    requests: mpsc::Sender<Request>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    status: ReloadStatus,
    written: Arc<Value>,
    text: Secret,
}

/// A configuration file as it was read.
#[derive(Debug, Clone, Default)]
pub(in crate::app) struct Written {
    /// Its path.
    pub file: Option<String>,
    /// `sha256:` and its digest.
    pub digest: Option<String>,
    /// What it says, without secrets.
    pub content: Value,
    /// All that it says.
    pub text: Secret,
}

/// A text that no log shows.
#[derive(Clone, Default)]
pub(in crate::app) struct Secret(pub Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(left out)")
    }
}

impl Request {
    /// Answers it, if anything waits for that.
    pub(in crate::app) fn refuse(self, reason: &str) {
        if let Some(answer) = self.answer {
            // One that has left needs none.
            let _ = answer.send(Err(ReloadError::Unavailable(reason.to_owned())));
        }
    }
}

impl Reloads {
    /// For a process that was started with this file; the other end gets the requests.
    pub(in crate::app) fn new(written: Written) -> (Self, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel(WAITING);
        let known = Known {
            status: ReloadStatus {
                file: written.file,
                digest: written.digest,
                since: SystemTime::now(),
                succeeded: 0,
                refused: 0,
                last_unix: 0,
                errors: Vec::new(),
            },
            written: Arc::new(written.content),
            text: written.text,
        };
        let known = Mutex::new(known);
        (Self { requests, known }, asked)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlPlane {
    /// Asks for a reload and does not wait for it. Where many wait already, those will do.
    pub(in crate::app) fn ask_for_reload(&self, purpose: Purpose) {
        let request = Request {
            purpose,
            answer: None,
        };
        let _ = self.reloads.requests.try_send(request);
    }

    /// Asks for a reload and waits for its outcome.
    pub(super) async fn reload(&self, purpose: Purpose) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let request = Request {
            purpose,
            answer: Some(answer),
        };
        let unavailable = |sentence: &str| Err(ReloadError::Unavailable(sentence.to_owned()));
        match self.reloads.requests.try_send(request) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return unavailable("too many reloads wait already; try again");
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return unavailable("the process is ending");
            }
        }
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => unavailable("the process is ending, or the reload has failed; see its log"),
        }
    }

    /// How reloads have gone so far.
    pub(in crate::app) fn reload_status(&self) -> ReloadStatus {
        self.reloads.known().status.clone()
    }

    /// What the file that runs says, without secrets.
    pub(super) fn written(&self) -> Arc<Value> {
        Arc::clone(&self.reloads.known().written)
    }

    /// The text of the file that runs; empty without one.
    pub(in crate::app) fn text(&self) -> Secret {
        self.reloads.known().text.clone()
    }

    /// Notes how a reload has gone; with the file if that runs now.
    pub(in crate::app) fn note_reload(&self, outcome: Result<Written, Vec<String>>) {
        let mut known = self.reloads.known();
        let now = SystemTime::now();
        let unix = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let status = &mut known.status;
        status.last_unix = unix.as_secs();
        match outcome {
            Ok(written) => {
                status.succeeded += 1;
                status.errors.clear();
                if status.digest != written.digest {
                    status.since = now;
                }
                (status.digest, status.file) = (written.digest, written.file);
                (known.written, known.text) = (Arc::new(written.content), written.text);
            }
            Err(errors) => {
                status.refused += 1;
                status.errors = errors;
            }
        }
    }
}
