//! What comes before the final head of a response: interim responses (RFC 9110 section 15.2), and
//! the client that waits for one of them before it sends its body (section 10.1.1).

use std::future::poll_fn;
use std::pin::pin;

use http::Method;
use http::response::Parts;

use super::body::{Duplex, MessageReader, Stage};
use super::boxed::boxed;
use super::download::Download;
use super::end::{ExchangeEnd, LEFT, bad, client_end, refused, stream_end};
use super::refusal::Refusal;
use super::settings::RESPONSE_LIMITS;
use crate::h1::{Arrival, Control, Framing, ResponseMeta, parse_response};
use crate::h2::{self, ResponseFacts};
use crate::message::{Malformed, ResponseHead, Version, may_come_before, websocket};
use crate::net::{IoEnd, Wait};

/// The budget of interim responses, and how much of it returns in a millisecond: some 30 small ones
/// a second for as long as a request takes, and 240 at once.
const BURST: u64 = 256 * 1024;
const EARNED: u64 = 32;
/// What each takes beside its bytes.
const EACH: u64 = 1024;
/// How many times its time-out a backend may have in all by sending interim responses.
const TIMES: u32 = 60;
/// This much of a head is parsed with each piece, so that an invalid status line is found at once.
const BEGINNING: usize = 16;

/// The remaining budget of one request's interim responses.
#[derive(Debug)]
struct Allowance {
    left: u64,
    /// Milliseconds of the worker's clock.
    since: u64,
}

impl Allowance {
    fn new(now: u64) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    /// Charges an interim response of this many bytes. Returns whether the budget allowed it.
    fn take(&mut self, bytes: usize, now: u64) -> bool {
        let earned = now.saturating_sub(self.since).saturating_mul(EARNED);
        self.since = now;
        self.left = self.left.saturating_add(earned).min(BURST);
        let left = self.left.checked_sub(EACH + bytes as u64);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

impl Download<'_> {
    /// Reads up to the final head; passes interim ones on.
    #[inline]
    pub(super) async fn head(&mut self) -> Result<ResponseMeta, ExchangeEnd> {
        match self.upstream {
            MessageReader::H1(_) => self.head_of_connection().await,
            // In a box: it would be a large part of every exchange.
            MessageReader::H2(_) => boxed(|| self.head_of_stream()).await,
        }
    }

    async fn head_of_connection(&mut self) -> Result<ResponseMeta, ExchangeEnd> {
        let mut allowance: Option<Allowance> = None;
        let mut arrival: Option<Arrival> = None;
        loop {
            let MessageReader::H1(upstream) = &mut self.upstream else {
                return Err(ExchangeEnd::Closed);
            };
            let (limits, input) = (upstream.limits, upstream.buffer.filled());
            let due = match &mut arrival {
                None => !input.is_empty(),
                // Asked in any case, so that it sees every byte.
                Some(arrival) => arrival.is_due(input, limits) | (input.len() <= BEGINNING),
            };
            if due {
                let response = &mut *self.response;
                let parsed = parse_response(response, input, &self.head.method, limits);
                match parsed.map_err(ExchangeEnd::BadHead)? {
                    Some(meta) => {
                        upstream.buffer.consume(meta.head_len);
                        if self.response.status >= 200 || self.switches() {
                            return Ok(meta);
                        }
                        self.interim(meta.head_len, &mut allowance).await?;
                        arrival = None;
                        continue;
                    }
                    None => arrival.get_or_insert_with(|| Arrival::after(input.len())),
                };
            }
            self.read_head(allowance.is_none()).await?;
        }
    }

    /// Whether this 101 takes a protocol that the client offers.
    #[cold]
    fn switches(&self) -> bool {
        let ResponseHead {
            status,
            version,
            upgrade,
            ..
        } = &*self.response;
        *status == 101 && *version == Version::Http11 && upgrade.is_one_of(&self.head.upgrade)
    }

    async fn head_of_stream(&mut self) -> Result<ResponseMeta, ExchangeEnd> {
        let mut allowance: Option<Allowance> = None;
        loop {
            let Some(parts) = self.read_head_of_stream().await? else {
                continue;
            };
            let facts = h2::read_response(self.response, &parts, RESPONSE_LIMITS);
            let facts = facts.map_err(ExchangeEnd::BadHead)?;
            if self.response.status >= 200 {
                if self.head.upgrade.asks_by_connect() && self.response.status < 300 {
                    self.switches_by_stream();
                }
                let is_end = match &self.upstream {
                    MessageReader::H1(_) => false,
                    MessageReader::H2(reader) => reader.from.is_at_end(),
                };
                let (status, method) = (self.response.status, &self.head.method);
                return Ok(meta_of_stream(facts, is_end, status, method));
            }
            let bytes = self.response.fields.iter();
            let bytes = bytes.map(|(name, value)| name.len() + value.len()).sum();
            self.interim(bytes, &mut allowance).await?;
        }
    }

    /// A success is a 101 to the CONNECT that the backend was sent.
    #[cold]
    fn switches_by_stream(&mut self) {
        let ResponseHead {
            status,
            upgrade,
            fields,
            ..
        } = &mut *self.response;
        *status = 101;
        upgrade.clear();
        upgrade.add(websocket::WEBSOCKET.as_bytes());
        // By HTTP/2 there is none, and a client of HTTP/1.1 looks for it.
        fields.remove(websocket::ACCEPT.as_bytes());
        if let Some(key) = self.head.fields.first(websocket::KEY) {
            let accept = websocket::accept(key);
            fields.append(websocket::ACCEPT.as_bytes(), accept.as_bytes());
        }
    }

    /// Waits for the next head of a stream; `None` if the client had to be asked for its body.
    async fn read_head_of_stream(&mut self) -> Result<Option<Parts>, ExchangeEnd> {
        let half_close = self.to.context.view.settings.limits.half_close;
        let read_whole = self.duplex.stage() == Stage::Whole;
        let presence = self.client.presence(half_close, read_whole);
        let MessageReader::H2(reader) = &mut self.upstream else {
            return Err(ExchangeEnd::Closed);
        };
        let (timers, timer, from) = (reader.timers, reader.timer, &mut *reader.from);
        let head = poll_fn(|cx| from.poll_head(cx));
        let head = timers.watch(timer, Wait::UpstreamRead, head);
        match presence.during(head).await.ok_or(LEFT)? {
            Ok(head) => head.map(Some).map_err(|e| stream_end(&e)),
            Err(_) if self.duplex.stage() == Stage::Awaited => {
                self.ask_for_body().await.map(|()| None)
            }
            Err(_) => Err(refused(Refusal::ResponseTimeout)),
        }
    }

    /// Reads more of the response's head. Nothing has come before it if it is the `first`.
    #[inline]
    async fn read_head(&mut self, first: bool) -> Result<(), ExchangeEnd> {
        let half_close = self.to.context.view.settings.limits.half_close;
        let read_whole = self.duplex.stage() == Stage::Whole;
        let presence = self.client.presence(half_close, read_whole);
        let MessageReader::H1(reader) = &mut self.upstream else {
            return Err(ExchangeEnd::Closed);
        };
        let read = presence
            .during(pin!(reader.read.read_first(reader.buffer, reader.buffers)))
            .await;
        match read.ok_or(LEFT)? {
            Ok(0) | Err(IoEnd::Failed) if reader.buffer.is_empty() && first => {
                Err(ExchangeEnd::Closed)
            }
            Ok(0) | Err(IoEnd::Failed) => Err(refused(Refusal::ClosedEarly)),
            Ok(_) => Ok(()),
            Err(IoEnd::TimedOut) if self.duplex.stage() == Stage::Awaited => {
                self.ask_for_body().await
            }
            Err(IoEnd::TimedOut) => Err(refused(Refusal::ResponseTimeout)),
        }
    }

    /// Deals with an interim response of this many bytes.
    #[cold]
    async fn interim(
        &mut self,
        bytes: usize,
        allowance: &mut Option<Allowance>,
    ) -> Result<(), ExchangeEnd> {
        let (timers, timer) = self.client.clock();
        let status = self.response.status;
        if status == 101 {
            return Err(refused(Refusal::UnaskedUpgrade));
        }
        let now = timers.now();
        let allowance = allowance.get_or_insert_with(|| Allowance::new(now));
        if !allowance.take(bytes, now) {
            return Err(bad(Malformed::Interim));
        }
        let response = self.to.context.timeouts.response;
        let since = self.duplex.since_whole();
        let is_extended = self.to.tries.policy.try_timeout.is_none();
        if is_extended && since.is_some_and(|since| since < response.saturating_mul(TIMES)) {
            // The backend is at work, and has its time again, unless it has that of a try.
            timers.arm(timer, Wait::UpstreamRead, response);
        }
        if status == 100 {
            self.duplex.agree();
            return self.ask_for_body().await;
        }
        if self.head.version == Version::Http10 {
            return Ok(());
        }
        let context = self.to.context;
        let by_route = context.rule.edits.as_ref();
        let edited = by_route.is_some_and(|edits| !edits.response.is_empty())
            || context.chain().edits_responses();
        let fields = &mut self.response.fields;
        fields.retain(|name, _| may_come_before(status, name, edited));
        self.client.interim(status, Some(self.response));
        self.client.flush().await.map_err(client_end)
    }

    /// Asks the client for its body, if it waits to be asked. From here on it is the client that is
    /// waited for.
    async fn ask_for_body(&mut self) -> Result<(), ExchangeEnd> {
        let duplex: &Duplex = self.duplex;
        if duplex.stage() != Stage::Awaited {
            return Ok(());
        }
        duplex.reach(Stage::Partly);
        let (timers, timer) = self.client.clock();
        timer.disarm(Wait::UpstreamRead);
        let body_read = self.to.context.timeouts.body_read;
        timers.arm(timer, Wait::ClientRead, body_read);
        self.client.interim(100, None);
        self.client.flush().await.map_err(client_end)
    }
}

/// What the head of a stream says, in the words of HTTP/1.1. `is_end` if it is all of the message.
pub(super) fn meta_of_stream(
    facts: ResponseFacts,
    is_end: bool,
    status: u16,
    method: &Method,
) -> ResponseMeta {
    let is_empty = is_end || h2::is_bodiless(status, method);
    let framing = match (is_empty, facts.length) {
        (true, _) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::Chunked,
    };
    ResponseMeta {
        head_len: 0,
        framing,
        content_length: facts.length,
        control: Control::default(),
        notes: facts.notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_responses_are_bounded_by_number_and_size() {
        let mut allowance = Allowance::new(0);
        let small = (0..10_000).take_while(|_| allowance.take(30, 0)).count();
        assert!((200..260).contains(&small), "{small} small ones at once");
        let mut allowance = Allowance::new(0);
        let large = (0..10_000)
            .take_while(|_| allowance.take(60 * 1024, 0))
            .count();
        assert_eq!(large, 4, "of nearly the largest that a head may be");
    }

    #[test]
    fn the_budget_of_interim_responses_returns_with_time() {
        let mut allowance = Allowance { left: 0, since: 0 };
        assert!(!allowance.take(0, 0), "nothing is left");
        let again = (0..10_000)
            .take_while(|_| allowance.take(30, 1_000))
            .count();
        assert_eq!(again, 30, "a second's worth");
        let most = (0..10_000)
            .take_while(|_| allowance.take(30, 10_000_000))
            .count();
        assert!(
            (200..260).contains(&most),
            "{most}: never more than at once"
        );
        for second in 0..10_000u64 {
            assert!(
                allowance.take(60, 10_000_000 + 1_000 * (second + 60)),
                "hours of one each second"
            );
        }
    }
}
