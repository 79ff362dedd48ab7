//! Whether a failure is held against a backend, or may be the doing of the request on which it
//! failed.
//!
//! A backend that closes the connection on one path, on large heads or on large bodies fails every
//! client that asks for that, as often as the request is tried: what fails is the request. So one
//! request is held against one backend at most, and one client against a backend once in [`AGAIN`],
//! unless another backend shows that the request could be answered.

use std::net::IpAddr;

use super::places::network;
use super::{AttemptOutcome, FailedAttempt};

/// After this many milliseconds another failure of the same client counts. So a bad backend is
/// ejected even if its only client sends requests that can't be repeated, and a backend that
/// answers another client meanwhile has its failures cleared.
const AGAIN: u64 = 10_000;

/// What the attempts of one request have shown about backends so far.
#[derive(Debug, Default)]
pub struct Doubt {
    /// A failure of the request is held against a backend.
    held: bool,
    /// The first backend that failed, and that nothing is held against so far.
    open: Option<FailedAttempt>,
}

/// The client of the last failure that was held against a backend, and when that was, in
/// milliseconds since counting began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accuser {
    network: IpAddr,
    at: u64,
}

impl Accuser {
    pub(super) fn new(client: IpAddr, now: u64) -> Self {
        Self {
            network: network(client),
            at: now,
        }
    }

    /// Whether a failure of this one counts, after that of the last.
    fn counts_after(self, last: Option<Self>) -> bool {
        last.is_none_or(|last| {
            last.network != self.network || self.at >= last.at.saturating_add(AGAIN)
        })
    }
}

impl Doubt {
    /// An attempt at this backend has failed. Whether that is held against it, `last` being whose
    /// failure was before.
    pub(super) fn failed(
        &mut self,
        backend: u32,
        outcome: AttemptOutcome,
        accuser: Accuser,
        last: Option<Accuser>,
    ) -> bool {
        if !outcome.may_be_of_request() {
            return true;
        }
        if self.held {
            return false;
        }
        self.held = accuser.counts_after(last);
        if !self.held && self.open.is_none() {
            let failure = outcome.failure();
            self.open = Some(FailedAttempt { backend, failure });
        }
        self.held
    }

    /// This backend has answered: another that had failed before was to blame.
    pub(super) fn answered(&mut self, backend: u32) -> Option<FailedAttempt> {
        let open = self
            .open
            .take()
            .filter(|open| open.backend != backend && !self.held)?;
        self.held = true;
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accuser(client: &str, at: u64) -> Accuser {
        Accuser::new(client.parse().unwrap(), at)
    }

    fn counts(last: Option<Accuser>, client: &str, at: u64) -> bool {
        Doubt::default().failed(0, AttemptOutcome::Closed, accuser(client, at), last)
    }

    #[test]
    fn a_client_counts_once_until_another_has_failed_or_time_has_passed() {
        let last = Some(accuser("192.0.2.1", 1_000));
        assert!(counts(None, "192.0.2.1", 1_000));
        assert!(!counts(last, "192.0.2.1", 1_000));
        assert!(!counts(last, "::ffff:192.0.2.1", 1_000 + AGAIN - 1));
        assert!(counts(last, "192.0.2.1", 1_000 + AGAIN));
        assert!(counts(last, "192.0.2.2", 1_000));
        let last = Some(accuser("2001:db8::1", 0));
        assert!(!counts(last, "2001:db8::ffff:1", 0), "a /64 is one client");
        assert!(counts(last, "2001:db8:0:1::1", 0));
    }

    #[test]
    fn a_request_is_held_against_one_backend_but_for_failed_connects() {
        let mut doubt = Doubt::default();
        let of = accuser("192.0.2.1", 0);
        assert!(doubt.failed(0, AttemptOutcome::ConnectFailed, of, Some(of)));
        assert!(doubt.failed(1, AttemptOutcome::Closed, of, None));
        assert!(!doubt.failed(2, AttemptOutcome::NoResponse, of, None));
        assert!(doubt.failed(3, AttemptOutcome::ConnectTimedOut, of, Some(of)));
        assert_eq!(doubt.answered(4), None, "it was one already");
    }

    #[test]
    fn a_backend_that_fails_where_another_answers_is_at_fault_for_every_client() {
        let of = accuser("192.0.2.1", 0);
        let mut doubt = Doubt::default();
        assert!(!doubt.failed(1, AttemptOutcome::Closed, of, Some(of)));
        assert!(!doubt.failed(2, AttemptOutcome::Closed, of, Some(of)));
        assert_eq!(
            (doubt.answered(3).map(|f| f.backend), doubt.answered(3)),
            (Some(1), None),
            "the first, once"
        );
        let mut doubt = Doubt::default();
        assert!(!doubt.failed(1, AttemptOutcome::Closed, of, Some(of)));
        assert_eq!(doubt.answered(1), None, "that one answers now and then");
        assert_eq!(Doubt::default().answered(1), None);
    }
}
