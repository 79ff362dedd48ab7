//! The process that is to take this one's place, as this one sees it.

use std::future::pending;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::channel::Channel;
use super::dialogue::{Dialogue, Late, end, words};
use super::messages::ToSuccessor;
use super::passing::Passing;
use super::program::Program;
use crate::admin::{UpgradeError, Upgraded};

/// A process that serves in this one's place.
#[derive(Debug)]
pub(in crate::app) struct Successor {
    pub pid: u32,
    /// The numbers of the listeners that it has taken.
    pub listeners: Vec<usize>,
    channel: Channel,
    child: Child,
    /// What the request for it is answered with.
    answer: Option<(Answer, Upgraded)>,
}

impl Successor {
    /// This process accepts no connections any more: the other one and the request for it learn
    /// that. Reports the end of the other one for as long as this process drains.
    pub(in crate::app) fn serves_alone(mut self) {
        // If it has ended in the meantime, that is seen below.
        let _ = self.channel.send(&ToSuccessor::Over, &[]);
        if let Some((answer, upgraded)) = self.answer.take() {
            // One that has left needs none.
            let _ = answer.send(Ok(upgraded));
        }
        let pid = self.pid;
        let watch = move || {
            let ended = self.child.wait();
            if ended.as_ref().is_ok_and(ExitStatus::success) {
                // It was stopped, or replaced in its turn.
                return;
            }
            let end = ended.map_or_else(|e| e.to_string(), words);
            tracing::error!(
                "process {pid}, which had taken over, has ended: {end}; this process accepts no \
                 connections any more, so a supervisor has to start another one"
            );
        };
        let started = thread::Builder::new()
            .name("successor".to_owned())
            .spawn(watch);
        if let Err(e) = started {
            tracing::warn!("the process that has taken over is not watched: {e}");
        }
    }
}

/// What comes of an attempt; a sentence if it failed.
type Outcome = Result<Successor, String>;
/// What a request for an upgrade is answered with.
pub(in crate::app) type Answer = oneshot::Sender<Result<Upgraded, UpgradeError>>;

/// An upgrade that is under way, if one is.
#[derive(Default)]
pub(in crate::app) struct Upgrading {
    attempt: Option<JoinHandle<Outcome>>,
    abandoned: Arc<AtomicBool>,
    answer: Option<Answer>,
    /// The file that it is started from.
    path: PathBuf,
}

impl Upgrading {
    /// Whether one may begin.
    pub(in crate::app) fn is_idle(&self) -> bool {
        self.attempt.is_none()
    }

    /// Starts the program, which has this time until it is ready.
    pub(in crate::app) fn begin(
        &mut self,
        program: Program,
        (passing, late): (Passing, Late),
        within: Duration,
        answer: Option<Answer>,
    ) {
        let path = program.path().to_owned();
        tracing::info!("upgrade: starting {}", path.display());
        let abandoned = Arc::clone(&self.abandoned);
        (self.answer, self.path) = (answer, path);
        self.attempt = Some(spawn_blocking(move || {
            attempt(&program, (passing, late), within, &abandoned)
        }));
    }

    /// Waits until another process serves, or can't.
    pub(in crate::app) async fn done(&mut self) -> Outcome {
        let Some(attempt) = &mut self.attempt else {
            return pending().await;
        };
        let outcome = attempt.await;
        self.attempt = None;
        outcome.unwrap_or_else(|e| Err(format!("the upgrade has failed: {e}")))
    }

    /// The request, if one waits, is answered once the other process serves alone.
    pub(in crate::app) fn pass_request_to(&mut self, successor: &mut Successor) {
        let upgraded = Upgraded {
            pid: successor.pid,
            binary: self.path.display().to_string(),
        };
        successor.answer = self.answer.take().map(|answer| (answer, upgraded));
    }

    /// Refuses the request, if one waits.
    pub(in crate::app) fn refuse(&mut self, reason: String) {
        if let Some(answer) = self.answer.take() {
            // One that has left needs none.
            let _ = answer.send(Err(UpgradeError::Refused(reason)));
        }
    }

    /// Ends the other process, so that this one is the only one that has its sockets. If the other
    /// serves already, it stays, and is returned.
    pub(in crate::app) async fn abandon(&mut self) -> Option<Successor> {
        if self.is_idle() {
            return None;
        }
        self.abandoned.store(true, Relaxed);
        match self.done().await {
            Ok(successor) => Some(successor),
            Err(reason) => {
                tracing::warn!("the upgrade is given up: {reason}");
                self.refuse(reason);
                None
            }
        }
    }
}

fn attempt(
    program: &Program,
    passed: (Passing, Late),
    within: Duration,
    abandoned: &AtomicBool,
) -> Outcome {
    let path = program.path().display();
    let unstarted = |e: std::io::Error| format!("{path} can't be started: {e}");
    let (channel, input) = Channel::pair().map_err(unstarted)?;
    let mut command = program.command();
    let spawned = command.stdin(Stdio::from(input)).spawn();
    // The command has a copy of the other end, which would keep the end of the process unseen.
    drop(command);
    let mut child = spawned.map_err(unstarted)?;
    let dialogue = Dialogue {
        channel: &channel,
        child: &mut child,
        abandoned,
    };
    match dialogue.hold(passed, within) {
        Ok(listeners) => Ok(Successor {
            pid: child.id(),
            listeners,
            channel,
            child,
            answer: None,
        }),
        Err(reason) => {
            end(&mut child);
            Err(reason)
        }
    }
}
