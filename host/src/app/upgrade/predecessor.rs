//! The process that serves, as the one sees it that is to take its place.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::task::spawn_blocking;

use super::channel::Channel;
use super::messages::{
    GREETED, LONGEST, ToPredecessor, ToSuccessor, VARIABLE, VERSION, What, from_nanoseconds,
};
use crate::app::passed::{Giver, PassedSocket, PassedSockets};
use crate::app::place::Place;

/// How long it may take to pass what it has.
const PASSED: Duration = Duration::from_secs(10);
/// How long it may take to say that this process may serve. It has a shorter limit of its own.
const SERVE: Duration = Duration::from_secs(3600);
/// How long it may take to stop accepting.
const OVER: Duration = Duration::from_secs(10);

const GONE: &str = "the former process has ended before it handed over";
const UNASKED: &str = "the former process can't be asked";

/// The process that serves until this one does.
#[derive(Debug)]
pub(in crate::app) struct Predecessor {
    channel: Arc<Channel>,
    pub pid: u32,
    /// The lock of its state directory, which it has and this process has too.
    pub state_lock: Option<File>,
    /// The policies that were deployed.
    pub policies: Option<File>,
    /// What is known of backends beside the configuration.
    pub backends: Option<File>,
    /// From when the clock of policies counts, which may have put times into their stores.
    pub clock: Option<Instant>,
}

/// What is passed as late as possible, in files in memory.
#[derive(Debug, Default)]
pub(in crate::app) struct Last {
    /// What is known against backends.
    pub health: Option<File>,
    /// The entries of the stores of policies.
    pub stores: Option<File>,
}

impl Predecessor {
    /// Finds out whether this process was started to take another's place, and receives what that
    /// one passes. What the environment says is believed only if standard input is the socket that
    /// the parent has made for it.
    pub(in crate::app) fn greet(
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<(Self, PassedSockets)>> {
        let Some(written) = environment(VARIABLE) else {
            return Ok(None);
        };
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        let parent = parent.and_then(|pid| u32::try_from(pid).ok());
        let named = written.to_str().and_then(|pid| pid.parse().ok());
        let (Some(pid), true) = (parent, named == parent) else {
            let written = written.display();
            tracing::warn!("{VARIABLE} is ignored: process {written} did not start this one");
            return Ok(None);
        };
        let channel = match Channel::of_standard_input(pid) {
            Ok(channel) => channel,
            Err(e) => {
                tracing::warn!("{VARIABLE} is ignored: {e}");
                return Ok(None);
            }
        };
        let mut this = Self {
            channel: Arc::new(channel),
            pid,
            state_lock: None,
            policies: None,
            backends: None,
            clock: None,
        };
        if environment(GREETED).is_some() {
            // One that has ended is noticed below.
            let _ = this
                .channel
                .send(&ToPredecessor::Greeting { version: VERSION }, &[]);
        }
        match this.receive() {
            Ok(sockets) => Ok(Some((this, sockets))),
            Err(e) => {
                this.refused(&format!("{e:#}"));
                Err(e)
            }
        }
    }

    fn receive(&mut self) -> Result<PassedSockets> {
        let mut sockets = Vec::new();
        loop {
            let received = self.channel.receive(PASSED, || false);
            let received = received.context("what the former process passes can't be received")?;
            let Some((message, descriptors)) = received else {
                bail!("the former process has ended before it passed its sockets");
            };
            let ToSuccessor::Take {
                version,
                clock,
                what,
                more,
            } = message
            else {
                bail!("the former process passes nothing");
            };
            if version != VERSION || what.len() != descriptors.len() {
                bail!(
                    "what the former process passes can't be read (version {version}; this one \
                     reads {VERSION}): restart instead of upgrading"
                );
            }
            self.clock = from_nanoseconds(clock);
            for (what, descriptor) in what.into_iter().zip(descriptors) {
                if let Some(what) = What::read(&what) {
                    sockets.extend(self.take(what, descriptor)?);
                }
            }
            if !more {
                return Ok(PassedSockets::new(sockets));
            }
        }
    }

    /// Keeps what is no socket.
    fn take(&mut self, what: What, descriptor: OwnedFd) -> Result<Option<PassedSocket>> {
        let giver = match what {
            What::Tcp {
                number,
                address,
                only_v6,
            } => Giver::Former {
                group: number,
                place: Place::Tcp(address, only_v6),
                file: None,
            },
            What::Unix { number, path, file } => Giver::Former {
                group: number,
                place: Place::Unix(path),
                file,
            },
            What::Admin { address } => Giver::FormerAdmin(address),
            What::StateLock => {
                self.state_lock = Some(descriptor.into());
                return Ok(None);
            }
            What::Policies => {
                self.policies = Some(descriptor.into());
                return Ok(None);
            }
            What::Backends => {
                self.backends = Some(descriptor.into());
                return Ok(None);
            }
        };
        let socket = PassedSocket::new(descriptor, giver);
        socket
            .map(Some)
            .map_err(|e| anyhow!("a socket of the former process {e:#}"))
    }

    /// Says that this process could serve with these of its listeners, and waits until it may.
    /// Returns what the other one passes last.
    pub(in crate::app) async fn ready(&self, listeners: Vec<usize>) -> Result<Last> {
        let channel = Arc::clone(&self.channel);
        spawn_blocking(move || {
            let ready = channel.send(&ToPredecessor::Ready { listeners }, &[]);
            match ready {
                Err(e) if e.kind() == ErrorKind::BrokenPipe => bail!(GONE),
                ready => ready.context(UNASKED)?,
            }
            last(&channel)
        })
        .await?
    }

    /// Says why this process can't serve.
    pub(in crate::app) fn refused(&self, reason: &str) {
        let room = LONGEST / 8;
        let reason = reason.chars().take(room).collect();
        // It may have ended.
        let _ = self.channel.send(&ToPredecessor::Refused { reason }, &[]);
    }

    /// Says that this process serves, and waits until the other one does not any more.
    pub(in crate::app) async fn serves(self) -> Result<()> {
        let waited = spawn_blocking(move || {
            self.channel.send(&ToPredecessor::Serves, &[])?;
            self.channel.receive::<ToSuccessor>(OVER, || false)
        });
        if let Err(e) = waited.await? {
            // It serves as well, until it ends: nothing is lost by that.
            tracing::warn!("the former process does not say that it has handed over: {e}");
        }
        Ok(())
    }
}

/// Waits until this process may serve.
fn last(channel: &Channel) -> Result<Last> {
    let mut last = Last::default();
    loop {
        let heard = channel.receive::<ToSuccessor>(SERVE, || false);
        let Some((message, descriptors)) = heard.context(UNASKED)? else {
            bail!(GONE);
        };
        let file = descriptors.into_iter().next().map(File::from);
        match message {
            ToSuccessor::Health => last.health = file,
            ToSuccessor::Serve => {
                last.stores = file;
                return Ok(last);
            }
            ToSuccessor::Take { .. } | ToSuccessor::Over => {
                bail!("the former process has said something else than to serve")
            }
        }
    }
}
