//! What the two directions of an exchange know about each other while both are under way.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How much of a request its backend has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Stage {
    /// The head. The client waits to be asked for the body.
    Awaited,
    /// The head, and perhaps some of the body.
    Partly,
    /// All of it.
    Whole,
}

/// The same, and whether the backend has agreed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Sent {
    /// How much it is.
    pub stage: Stage,
    /// No expectation was forwarded, or the backend has met it. Otherwise the backend might read
    /// the bytes after the head as the body, or as a request.
    agreed: bool,
}

/// How far the request has come on its way up, and whether the response has begun on its way down.
#[derive(Debug)]
pub(in crate::proxy) struct Duplex {
    sent: Cell<Sent>,
    /// When its last part was sent, as far as it has come: the head, then the end of the body.
    sent_at: Cell<Instant>,
    status: Cell<u16>,
    /// All that was sent of the body is in hand still.
    whole: Cell<bool>,
    /// Bytes of the response's body that were passed on.
    pub content: Cell<u64>,
}

impl Sent {
    /// All that there is, and the backend reads it.
    pub(in crate::proxy) const WHOLE: Self = Self {
        stage: Stage::Whole,
        agreed: true,
    };
}

impl Duplex {
    /// Nothing but the head has been sent, or all if the body is in hand. `expects` if the backend
    /// was passed an expectation.
    pub(in crate::proxy) fn new(stage: Stage, expects: bool) -> Self {
        let agreed = !expects;
        Self {
            sent: Cell::new(Sent { stage, agreed }),
            sent_at: Cell::new(Instant::now()),
            status: Cell::new(0),
            whole: Cell::new(true),
            content: Cell::new(0),
        }
    }

    /// How much of the request has been sent.
    pub(in crate::proxy) fn sent(&self) -> Sent {
        self.sent.get()
    }

    /// How much of the request has been sent.
    pub(in crate::proxy) fn stage(&self) -> Stage {
        self.sent.get().stage
    }

    /// For how long the backend has had all of the request; `None` if it has not: what it waits for
    /// then may be the client.
    pub(in crate::proxy) fn since_whole(&self) -> Option<Duration> {
        (self.stage() == Stage::Whole).then(|| self.sent_at.get().elapsed())
    }

    /// Notes how much of the request has been sent.
    pub(in crate::proxy) fn reach(&self, stage: Stage) {
        let sent = self.sent.get();
        self.sent_at.set(Instant::now());
        self.sent.set(Sent { stage, ..sent });
    }

    /// Notes that the backend has said that it reads the body.
    pub(in crate::proxy) fn agree(&self) {
        let sent = self.sent.get();
        self.sent.set(Sent {
            agreed: true,
            ..sent
        });
    }

    /// The status that the client has been sent; 0 if it has been sent nothing of the response.
    pub(in crate::proxy) fn status(&self) -> u16 {
        self.status.get()
    }

    /// Whether the client has been sent some of the response.
    pub(in crate::proxy) fn is_answered(&self) -> bool {
        self.status.get() != 0
    }

    /// Whether all that was sent of the body is in hand still.
    pub(in crate::proxy) fn is_in_hand(&self) -> bool {
        self.whole.get()
    }

    /// Notes that some of the body was sent and not kept.
    pub(in crate::proxy) fn forget(&self) {
        self.whole.set(false);
    }

    /// From now on the client may have been sent some of a response with this status.
    pub(in crate::proxy) fn answer(&self, status: u16) {
        self.status.set(status);
    }
}
