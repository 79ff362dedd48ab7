//! What a process passes to the one that takes its place.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use serde_json::Value;

use super::channel::Channel;
use super::messages::{DESCRIPTORS, ToSuccessor, VERSION, What, to_nanoseconds};
use crate::app::place::Place;
use crate::app::unix_socket::Identity;

/// What is passed.
#[derive(Debug)]
pub(in crate::app) struct Passing {
    /// From when policies' clock counts.
    clock: Instant,
    all: Vec<(What, OwnedFd)>,
}

impl Passing {
    /// Nothing but the clock of policies.
    pub(in crate::app) fn new(clock: Instant) -> Self {
        let all = Vec::new();
        Self { clock, all }
    }

    /// A socket of the listener with this number.
    pub(in crate::app) fn socket(
        &mut self,
        number: usize,
        place: &Place,
        file: Option<Identity>,
        socket: OwnedFd,
    ) {
        let what = match place {
            Place::Tcp(address, only_v6) => What::Tcp {
                number,
                address: *address,
                only_v6: *only_v6,
            },
            Place::Unix(path) => What::Unix {
                number,
                path: path.clone(),
                file,
            },
        };
        self.all.push((what, socket));
    }

    /// Whether there is a socket of the listener with this number.
    pub(in crate::app) fn has(&self, wanted: usize) -> bool {
        self.all.iter().any(|(what, _)| {
            matches!(what, What::Tcp { number, .. } | What::Unix { number, .. } if *number == wanted)
        })
    }

    /// The socket of the admin listener.
    pub(in crate::app) fn admin(&mut self, address: SocketAddr, socket: OwnedFd) {
        self.all.push((What::Admin { address }, socket));
    }

    /// The lock of the state directory.
    pub(in crate::app) fn state_lock(&mut self, lock: OwnedFd) {
        self.all.push((What::StateLock, lock));
    }

    /// Policies that were deployed.
    pub(in crate::app) fn policies(&mut self, file: OwnedFd) {
        self.all.push((What::Policies, file));
    }

    /// What is known of backends beside the configuration.
    pub(in crate::app) fn backends(&mut self, file: OwnedFd) {
        self.all.push((What::Backends, file));
    }

    pub(super) fn send(self, to: &Channel) -> std::io::Result<()> {
        let (what, sockets): (Vec<What>, Vec<OwnedFd>) = self.all.into_iter().unzip();
        let what: Result<Vec<Value>, _> = what.iter().map(serde_json::to_value).collect();
        let (mut what, mut sockets) = (what?, sockets.as_slice());
        loop {
            let (now, later) = sockets.split_at(sockets.len().min(DESCRIPTORS));
            let message = ToSuccessor::Take {
                version: VERSION,
                clock: to_nanoseconds(self.clock),
                what: what.drain(..now.len()).collect(),
                more: !later.is_empty(),
            };
            let descriptors: Vec<BorrowedFd<'_>> = now.iter().map(AsFd::as_fd).collect();
            to.send(&message, &descriptors)?;
            if later.is_empty() {
                return Ok(());
            }
            sockets = later;
        }
    }
}
