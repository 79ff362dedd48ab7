//! What one worker knows of an endpoint from its own requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::stats::{Counter, Gauge};

/// What one worker counts. It writes, any thread reads.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Condition {
    /// Attempts that have begun, which is when the endpoint was chosen.
    begun: Counter,
    /// Of those, the ones that are over.
    ended: Counter,
    /// Of both, those that have waited for their clients.
    paced: Counter,
    paced_ended: Counter,
    /// Response heads.
    heads: Counter,
    /// Moving average of the time to the response head, in microseconds; 0 before the first.
    latency_microseconds: Gauge,
    /// What stands in for the average, because that is old; 0 if it is not. The review writes it.
    aged: AtomicU64,
    /// In flight on other workers, as of the last review, which writes it.
    elsewhere: AtomicU64,
    /// Of those that have ended, the ones that were given up before an answer. Last, because what
    /// every request writes fits into one line of a cache without it.
    given_up: Counter,
}

/// What has been counted at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub begun: u64,
    pub ended: u64,
    pub given_up: u64,
    pub heads: u64,
}

impl Condition {
    pub(in crate::upstream) fn in_flight(&self) -> u64 {
        // In this order: what ends between the two counts as in flight, and nothing is below 0.
        let ended = self.ended.value();
        self.begun.value().saturating_sub(ended)
    }

    /// Of all workers; those of the others are as old as the last review.
    pub(in crate::upstream) fn in_flight_of_all(&self) -> u64 {
        self.in_flight() + self.elsewhere.load(Relaxed)
    }

    /// What is in flight on other workers.
    pub(super) fn set_elsewhere(&self, requests: u64) {
        // Hardly ever another number where nothing is asked: the line stays in the worker's cache.
        if self.elsewhere.load(Relaxed) != requests {
            self.elsewhere.store(requests, Relaxed);
        }
    }

    pub(in crate::upstream) fn latency_microseconds(&self) -> u64 {
        match self.aged.load(Relaxed) {
            0 => self.latency_microseconds.value(),
            aged => aged,
        }
    }

    /// Without the attempts that have waited for their clients. Those that were given up have not
    /// ended: what they waited for has not come.
    pub(super) fn counts(&self) -> Counts {
        let ended = self.ended.value();
        let paced_ended = self.paced_ended.value();
        let given_up = self.given_up.value();
        let heads = self.heads.value();
        let begun = self.begun.value().saturating_sub(self.paced.value());
        Counts {
            begun,
            ended: ended.saturating_sub(paced_ended + given_up),
            given_up,
            heads,
        }
    }

    #[inline]
    pub(super) fn begins(&self) {
        self.begun.increment();
    }

    #[inline]
    pub(super) fn ends(&self, was_paced: bool) {
        self.ended.increment();
        if was_paced {
            self.paced_ended.increment();
        }
    }

    /// An attempt that has ended was given up.
    pub(super) fn gives_up(&self) {
        self.given_up.increment();
    }

    /// An attempt waits for its client, which sends a body.
    pub(super) fn is_paced(&self) {
        self.paced.increment();
    }

    /// A response head arrived.
    #[inline]
    pub(super) fn answered(&self) {
        self.heads.increment();
    }

    /// A response head arrived this long after the request was sent.
    #[inline]
    pub(super) fn took(&self, took: Duration) {
        if self.aged.load(Relaxed) != 0 {
            // It begins again from there.
            let aged = self.aged.swap(0, Relaxed);
            self.latency_microseconds.set(aged);
        }
        let average = self.latency_microseconds.value();
        let sample = microseconds(took);
        // One eighth, as TCP smooths its round-trip time (RFC 6298 section 2).
        self.latency_microseconds.set(if average == 0 {
            sample
        } else {
            (average - average / 8 + sample / 8).max(1)
        });
    }

    /// What stands in for the average from now on.
    pub(super) fn age(&self, microseconds: u64) {
        self.aged.store(microseconds, Relaxed);
    }
}

impl Counts {
    pub(super) fn add(self, other: Self) -> Self {
        Self {
            begun: self.begun + other.begun,
            ended: self.ended + other.ended,
            given_up: self.given_up + other.given_up,
            heads: self.heads + other.heads,
        }
    }
}

/// At least 1, because 0 means no sample.
pub(in crate::upstream) fn microseconds(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000);
    whole
        .saturating_add(u64::from(duration.subsec_micros()))
        .max(1)
}
