//! The spans of one request: what is noted on its way, and what it was.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::message::TraceContext;
use crate::upstream::BackendHealth;

/// Attempts that are noted of one request, and calls of policies: more are counted, so that no
/// route's policies and retries make a trace without a bound.
const ATTEMPTS: usize = 32;
const CALLS: usize = 128;
/// Bytes of one text. The host and the path are the client's.
const TEXT: usize = 1_024;

/// What is noted of a request while it is served.
#[derive(Debug, Default)]
pub struct SpanNotes {
    /// The span that another program has begun, of which this request is a part.
    pub parent: Option<u64>,
    /// The attempts at backends.
    pub attempts: Vec<AttemptNote>,
    /// The calls of policies.
    pub calls: Vec<CallNote>,
    /// Attempts, calls and choices beyond the limits.
    pub left_out: u32,
    /// Whether watchers may get a sample of it.
    pub tapped: bool,
    /// The choices of a backend, if so.
    pub choices: Vec<ChoiceNote>,
}

/// A choice of a backend.
#[derive(Debug)]
pub struct ChoiceNote {
    /// Which attempt it is for, from 1.
    pub attempt: u32,
    /// The policy that has chosen; `None` if the host has.
    pub policy: Option<Box<str>>,
    /// By which rule.
    pub because: &'static str,
    /// The backends of the pool.
    pub candidates: u32,
    /// The one that was chosen, and the first of the others.
    pub seen: Vec<SeenBackend>,
}

/// A backend as it was when one was chosen.
#[derive(Debug)]
pub struct SeenBackend {
    /// Its position in the pool.
    pub position: u32,
    /// What is known of its health.
    pub state: BackendHealth,
    /// Requests in flight on the worker.
    pub in_flight: u32,
    /// How long its answers take, on average.
    pub latency_microseconds: u64,
}

/// An attempt at a backend.
#[derive(Debug)]
pub struct AttemptNote {
    /// Its span.
    pub span: u64,
    /// How often the request was sent before.
    pub resent: u32,
    /// The backend as the operator has written it.
    pub name: Box<str>,
    /// Where it is.
    pub address: SocketAddr,
    /// When it began.
    pub began: Instant,
    /// How it has ended; `None` while it has not.
    pub ended: Option<AttemptEnd>,
}

/// How an attempt has ended.
#[derive(Debug)]
pub struct AttemptEnd {
    /// When.
    pub at: Instant,
    /// The status that the backend has answered; 0 if none.
    pub status: u16,
    /// What has failed.
    pub error: Option<Box<str>>,
}

/// A call of a policy.
#[derive(Debug)]
pub struct CallNote {
    /// The hook's name in the contract.
    pub hook: &'static str,
    /// The policy.
    pub policy: Box<str>,
    /// Its generation.
    pub generation: u64,
    /// What the generation was, if not the active one.
    pub role: Option<&'static str>,
    /// When it had returned.
    pub ended: Instant,
    /// How long it took.
    pub took: Duration,
    /// What it has decided, or its fault.
    pub answer: Result<Box<str>, Box<str>>,
}

impl SpanNotes {
    /// Those of a request that is a part of this span.
    pub fn of(parent: Option<u64>) -> Self {
        Self {
            parent,
            ..Self::default()
        }
    }

    /// An attempt begins; `None` if it is one too many.
    pub fn begin(&mut self, attempt: AttemptNote) -> Option<usize> {
        if self.attempts.len() == ATTEMPTS {
            self.left_out += 1;
            return None;
        }
        self.attempts.push(attempt);
        Some(self.attempts.len() - 1)
    }

    /// The attempt with this number has ended.
    pub fn end(&mut self, number: usize, status: u16, error: Option<&str>) {
        if let Some(attempt) = self.attempts.get_mut(number) {
            attempt.ended.get_or_insert_with(|| AttemptEnd {
                at: Instant::now(),
                status,
                error: error.map(clipped),
            });
        }
    }

    /// The attempts that go on, but for this one, are given up.
    pub fn give_up_but(&mut self, number: Option<usize>) {
        for at in 0..self.attempts.len() {
            if Some(at) != number {
                self.end(at, 0, Some("given-up"));
            }
        }
    }

    /// A backend was chosen, unless that is one time too many.
    pub fn chose(&mut self, choice: impl FnOnce() -> ChoiceNote) {
        match self.choices.len() {
            ATTEMPTS => self.left_out += 1,
            _ => self.choices.push(choice()),
        }
    }

    /// A policy was called, unless that is one time too many.
    pub fn called(&mut self, call: impl FnOnce() -> CallNote) {
        match self.calls.len() {
            CALLS => self.left_out += 1,
            _ => self.calls.push(call()),
        }
    }
}

/// A request that has ended, with its spans.
#[derive(Debug)]
pub struct RequestTrace {
    /// Its own span.
    pub context: TraceContext,
    /// What is noted of its attempts and calls.
    pub notes: SpanNotes,
    /// `tracestate`; empty if there is none.
    pub state: Box<str>,
    /// When its head had arrived.
    pub began: Instant,
    /// The same in nanoseconds since 1970.
    pub began_unix: u64,
    /// From then to its end.
    pub took: Duration,
    /// The method.
    pub method: Box<str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port as the client has asked for them.
    pub authority: Box<str>,
    /// The path.
    pub path: Box<str>,
    /// The number of the version of HTTP.
    pub version: &'static str,
    /// The client.
    pub client: IpAddr,
    /// The status that the client was sent; 0 if none.
    pub status: u16,
    /// What it is called; empty if it has no name.
    pub id: Box<str>,
    /// The route; empty if none took it.
    pub route: Box<str>,
    /// The pool; empty if none took it.
    pub pool: Box<str>,
    /// What has failed, in a word.
    pub error: Option<Box<str>>,
    /// The same as a sentence.
    pub reason: Option<Box<str>>,
}

impl RequestTrace {
    /// How many spans it has.
    pub fn spans(&self) -> usize {
        1 + self.notes.attempts.len() + self.notes.calls.len()
    }
}

/// When something has begun, in nanoseconds since 1970.
pub fn unix_nanoseconds(began: Instant) -> u64 {
    let at = SystemTime::now().checked_sub(began.elapsed());
    let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// A text of bounded length.
pub fn clipped(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> AttemptNote {
        AttemptNote {
            span: 1,
            resent: 0,
            name: "a:1".into(),
            address: ([127, 0, 0, 1], 1).into(),
            began: Instant::now(),
            ended: None,
        }
    }

    #[test]
    fn notes_of_a_request_are_bounded_and_what_is_left_out_is_counted() {
        let mut notes = SpanNotes::of(Some(7));
        for _ in 0..ATTEMPTS + 2 {
            notes.begin(attempt());
        }
        for _ in 0..CALLS + 3 {
            notes.called(|| CallNote {
                hook: "selection",
                policy: "p".into(),
                generation: 1,
                role: None,
                ended: Instant::now(),
                took: Duration::ZERO,
                answer: Ok("done".into()),
            });
        }
        assert_eq!((notes.attempts.len(), notes.calls.len()), (ATTEMPTS, CALLS));
        assert_eq!((notes.left_out, notes.parent), (5, Some(7)));
        assert_eq!(clipped(&"\u{e9}".repeat(TEXT)).len(), TEXT);
        assert_eq!(
            clipped(&format!("a{}", "\u{e9}".repeat(TEXT))).len(),
            TEXT - 1
        );
    }

    #[test]
    fn an_attempt_ends_once_and_others_are_given_up() {
        let mut notes = SpanNotes::default();
        let numbers = [(); 3].map(|()| notes.begin(attempt()));
        assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
        notes.end(0, 503, Some("503"));
        notes.end(0, 200, None);
        notes.give_up_but(Some(1));
        notes.end(1, 200, None);
        let ends: Vec<_> = notes
            .attempts
            .iter()
            .filter_map(|attempt| attempt.ended.as_ref())
            .map(|end| (end.status, end.error.as_deref()))
            .collect();
        assert_eq!(
            ends,
            [(503, Some("503")), (200, None), (0, Some("given-up"))]
        );
    }
}
