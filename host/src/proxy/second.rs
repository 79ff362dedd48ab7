//! An attempt up to its response head, as a future that owns what it needs: it runs beside another
//! attempt of the same request.

use std::future::poll_fn;
use std::net::IpAddr;
use std::time::Duration;

use super::blame::{self, Circumstances};
use super::body::{Duplex, H2Reader, MessageReader, MessageSink, Reader, Stage, TransferEnd, join};
use super::end::{ExchangeEnd, bad, refused, stream_end};
use super::forward::upstream_length;
use super::h2::BackendStream;
use super::interim::meta_of_stream;
use super::refusal::Refusal;
use super::settings::RESPONSE_LIMITS;
use super::switched::Backend;
use super::terms::Terms;
use super::upward::Upward;
use super::worker::Worker;
use crate::h1::{Arrival, ResponseMeta, parse_response};
use crate::h2::{self, RequestExtras};
use crate::message::{BodyLength, Malformed, RequestHead, ResponseHead};
use crate::net::{Buffer, IoEnd, Timer, Wait};
use crate::upstream::{AttemptOutcome, Carrier, Lease, Repeat, RequestPlace, Slot};

/// Interim responses that are passed over before the final one.
const MOST_INTERIM: u32 = 100;

/// A request that can be sent a second time while it is sent the first time.
pub(super) struct Copied {
    pub head: RequestHead,
    pub body: Vec<u8>,
    pub length: BodyLength,
}

/// A second attempt on its way.
pub(super) struct Second<'p> {
    pub lease: Lease<'p>,
    /// Its part of the budget, and its place where requests are limited.
    pub held: (Option<Repeat<'p>>, Option<RequestPlace>),
    pub request: Copied,
    /// Whether it may have a connection of its own.
    pub may_connect: bool,
    /// Whether a pooled connection is looked at once more before it is used.
    pub is_certain: bool,
    /// How long a connection may take, and the response head.
    pub patience: (Duration, Duration),
}

/// A response head that a second attempt has brought, and what the rest of it comes by.
pub(super) struct Brought<'p> {
    pub lease: Lease<'p>,
    pub held: (Option<Repeat<'p>>, Option<RequestPlace>),
    pub backend: Backend,
    pub reused: bool,
    pub buffer: Buffer,
    pub response: ResponseHead,
    pub meta: ResponseMeta,
    pub duplex: Duplex,
}

impl<'p> Second<'p> {
    /// Sends the request beside another one and waits for the head of the response; `None` if none
    /// comes. Dropped, it closes its connection or resets its stream, and says nothing of the
    /// backend.
    pub(super) async fn run(self, terms: Terms<'_>, preserve_case: bool) -> Option<Brought<'p>> {
        let client = self.request.head.client;
        let attempted = self.attempt(terms, preserve_case).await;
        let brought = attempted.map_err(|(lease, outcome)| report(lease, outcome, client));
        brought.ok()
    }

    /// The same where the outcome is for the caller to report.
    pub(super) async fn attempt(
        mut self,
        terms: Terms<'_>,
        preserve_case: bool,
    ) -> Result<Brought<'p>, (Lease<'p>, AttemptOutcome)> {
        let timer = terms.worker.timers.register();
        let carrier = match self.carrier(terms.worker, &timer).await {
            Ok(carrier) => carrier,
            Err(outcome) => return Err((self.lease, outcome)),
        };
        self.lease.begin();
        let reused = carrier.is_reused();
        let (mut buffer, mut response) = (Buffer::default(), ResponseHead::default());
        response.fields.keep_spelling(preserve_case);
        let duplex = Duplex::new(Stage::Whole, false);
        let with = (&mut buffer, &mut response, &duplex);
        match self.converse(terms, carrier, &timer, with).await {
            Ok((backend, meta)) => Ok(Brought {
                lease: self.lease,
                held: self.held,
                backend,
                reused,
                buffer,
                response,
                meta,
                duplex,
            }),
            Err(end) => {
                terms.worker.buffers.take_back(buffer);
                let known = Circumstances {
                    reused,
                    answered: false,
                    slow_client: false,
                };
                Err((self.lease, blame::outcome(&end, known)))
            }
        }
    }

    async fn converse(
        &self,
        terms: Terms<'_>,
        carrier: Carrier,
        timer: &Timer,
        (buffer, response, duplex): (&mut Buffer, &mut ResponseHead, &Duplex),
    ) -> Result<(Backend, ResponseMeta), ExchangeEnd> {
        let mut backend = match carrier {
            Carrier::H1(connection) => Backend::Connection(connection),
            Carrier::H2(slot) => Backend::Stream(self.stream(slot)?),
        };
        let upward = upward(&mut backend, buffer);
        let meta = self.ask(terms, upward, timer, (response, duplex)).await?;
        Ok((backend, meta))
    }

    /// A connection or a stream. It waits in no queue: others need the connection more.
    async fn carrier(&self, worker: &Worker, timer: &Timer) -> Result<Carrier, AttemptOutcome> {
        if let Some(pooled) = self.lease.pooled(self.is_certain) {
            worker.shard.upstream_reuses.increment();
            return Ok(pooled);
        }
        let endpoint = self.lease.endpoint();
        if !self.may_connect && !endpoint.has_streams() {
            return Err(AttemptOutcome::NoShare);
        }
        let place = match endpoint.is_unlimited() || endpoint.has_streams() {
            true => None,
            false => Some(endpoint.place().ok_or(AttemptOutcome::NoPlace)?),
        };
        let patience = self.patience.0;
        let connect = async {
            let room = self.lease.room().await?;
            self.lease.connect((place, room), patience).await
        };
        let connected = worker
            .timers
            .limit(timer, Wait::UpstreamWrite, patience, Box::pin(connect))
            .await;
        connected.unwrap_or(Err(AttemptOutcome::ConnectTimedOut))
    }

    fn stream(&self, slot: Slot) -> Result<BackendStream, ExchangeEnd> {
        let (head, endpoint) = (&self.request.head, self.lease.endpoint());
        let extras = RequestExtras {
            length: match upstream_length(self.request.length, &head.method) {
                BodyLength::Known(n) => Some(n),
                BodyLength::None | BodyLength::Unknown => None,
            },
            host: &endpoint.name,
            is_secure: endpoint.is_secure(),
        };
        let head = h2::request(head, extras).map_err(|e| refused(Refusal::Malformed(e)))?;
        let is_end = self.request.body.is_empty();
        BackendStream::open(slot, head, is_end).map_err(|_| ExchangeEnd::Unprocessed)
    }

    async fn ask(
        &self,
        terms: Terms<'_>,
        upward: Upward<'_>,
        timer: &Timer,
        (response, duplex): (&mut ResponseHead, &Duplex),
    ) -> Result<ResponseMeta, ExchangeEnd> {
        let (Copied { head, body, length }, mut up) = (&self.request, Vec::new());
        let (mut reader, mut sink) = upward.open(terms, timer, &mut up, duplex);
        let length = upstream_length(*length, &head.method);
        sink.request(head, length, &self.lease.endpoint().name, false);
        sink.add(body);
        let timers = &terms.worker.timers;
        timers.arm(timer, Wait::UpstreamRead, self.patience.1);
        let sent = async {
            let is_whole = matches!(sink, MessageSink::H2(_)) && body.is_empty();
            match is_whole {
                true => Ok(()),
                false => sink.finish().await.map_err(TransferEnd::from),
            }
        };
        let both = join(sent, read_head(&mut reader, response, head)).await;
        both.unwrap_or_else(|end| Err(ExchangeEnd::Upload(end)))
    }
}

/// Only what can't be the request's doing is reported: what else fails may have failed in both
/// attempts, and the first one says so.
fn report(lease: Lease<'_>, outcome: AttemptOutcome, client: IpAddr) {
    if !outcome.may_be_of_request() {
        lease.finish(outcome, &mut Default::default(), client);
    }
}

/// What carries a request that is sent by this.
pub(super) fn upward<'a>(backend: &'a mut Backend, buffer: &'a mut Buffer) -> Upward<'a> {
    match backend {
        Backend::Connection(connection) => Upward::Connection(connection, buffer),
        Backend::Stream(stream) => Upward::Stream(stream),
    }
}

/// Waits for the final head of a response.
async fn read_head(
    reader: &mut MessageReader<'_>,
    response: &mut ResponseHead,
    head: &RequestHead,
) -> Result<ResponseMeta, ExchangeEnd> {
    for _ in 0..MOST_INTERIM {
        let meta = match reader {
            MessageReader::H1(reader) => head_of_connection(reader, response, head).await?,
            MessageReader::H2(reader) => head_of_stream(reader, response, head).await?,
        };
        match response.status {
            200.. => return Ok(meta),
            101 => return Err(refused(Refusal::UnaskedUpgrade)),
            _ => {}
        }
    }
    Err(bad(Malformed::Interim))
}

async fn head_of_connection(
    reader: &mut Reader<'_>,
    response: &mut ResponseHead,
    head: &RequestHead,
) -> Result<ResponseMeta, ExchangeEnd> {
    let mut arrival: Option<Arrival> = None;
    loop {
        let (limits, input) = (reader.limits, reader.buffer.filled());
        let due = match &mut arrival {
            None => !input.is_empty(),
            Some(arrival) => arrival.is_due(input, limits),
        };
        if due {
            let parsed = parse_response(response, input, &head.method, limits);
            if let Some(meta) = parsed.map_err(bad)? {
                reader.buffer.consume(meta.head_len);
                return Ok(meta);
            }
            arrival.get_or_insert_with(|| Arrival::after(input.len()));
        }
        let read = reader.read.read_first(reader.buffer, reader.buffers).await;
        received(read, reader.buffer.is_empty())?;
    }
}

async fn head_of_stream(
    reader: &mut H2Reader<'_>,
    response: &mut ResponseHead,
    head: &RequestHead,
) -> Result<ResponseMeta, ExchangeEnd> {
    let (timers, timer, from) = (reader.timers, reader.timer, &mut *reader.from);
    let parts = poll_fn(|cx| from.poll_head(cx));
    let parts = timers.watch(timer, Wait::UpstreamRead, parts).await;
    let parts = parts.map_err(|_| refused(Refusal::ResponseTimeout))?;
    let parts = parts.map_err(|e| stream_end(&e))?;
    let facts = h2::read_response(response, &parts, RESPONSE_LIMITS).map_err(bad)?;
    let is_end = reader.from.is_at_end();
    Ok(meta_of_stream(facts, is_end, response.status, &head.method))
}

/// What it means for a head that so many bytes came; `nothing` came before.
fn received(read: Result<usize, IoEnd>, nothing: bool) -> Result<(), ExchangeEnd> {
    match read {
        Ok(0) | Err(IoEnd::Failed) if nothing => Err(ExchangeEnd::Closed),
        Ok(0) | Err(IoEnd::Failed) => Err(refused(Refusal::ClosedEarly)),
        Ok(_) => Ok(()),
        Err(IoEnd::TimedOut) => Err(refused(Refusal::ResponseTimeout)),
    }
}
