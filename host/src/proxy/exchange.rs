//! One request, straight down: route, normalise, ask, attempt, answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use http::Method;

use super::ask::{Local, Panel};
use super::connection::{Connection, Scratch, Then, client_read, client_write};
use super::download::{Download, End};
use super::forwarding;
use super::io::{IoEnd, Limited};
use super::join::join;
use super::refusal::{Refusal, Side};
use super::reply::{self, ReplyTo};
use super::snapshot::View;
use super::timer::{Timer, Wait};
use super::upload::{Upload, UploadEnd};
use super::worker::Worker;
use crate::policy::{ByteRange, FailedAttempt, Failure};
use crate::stats::Counter;
use crate::upstream::{Backend, Lease, WorkerPool};
use crate::wire::{Framing, RequestMeta, Version, write_request_head};

/// What the statistics and the access log are told of a request.
#[derive(Debug, Default)]
pub struct Record {
    /// The status sent; 0 if none was.
    pub status: u16,
    /// Why the proxy or a policy answered, or why the request could not be completed.
    pub reason: Option<String>,
    /// The last backend asked.
    pub backend: Option<Rc<Backend>>,
    /// How many were asked.
    pub attempts: u32,
}

/// A request on its way.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The client's connection.
    pub connection: &'a mut Connection,
    /// The request's head and buffers.
    pub scratch: &'a mut Scratch,
    /// What the head said of body and connection.
    pub meta: RequestMeta,
    /// Told what happens.
    pub record: &'a mut Record,
    /// Whether some of the body may have been taken out of the connection's input already.
    pub streamed: bool,
}

/// What an attempt came to.
enum Attempted {
    /// The client has its answer, or never will.
    Ended(Then),
    /// It failed before the backend answered.
    Failed(Failure),
    /// The client gets this answer.
    Local(Local),
}

impl Record {
    /// Notes why the proxy refused.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.reason = Some(refusal.reason());
    }
}

impl Exchange<'_> {
    /// Has the request decided, forwarded and answered.
    pub async fn run(mut self) -> Then {
        let worker = Rc::clone(&self.connection.worker);
        let view = worker.view();
        if let Some(then) = self.stats_page(&worker).await {
            return then;
        }
        let ended = match self.route(&view) {
            Ok(rule) => {
                let panel = Panel { worker: &worker, view: &view, rule };
                panel.begin();
                let ended = match self.prepare(panel) {
                    Ok(range) => self.attempts(panel, range).await,
                    Err(local) => Err(local),
                };
                panel.end();
                ended
            }
            Err(refusal) => Err(Local::Refusal(refusal)),
        };
        match ended {
            Ok(then) => then,
            Err(local) => self.answer(&worker, local).await,
        }
    }

    fn route<'v>(&mut self, view: &'v View) -> Result<&'v crate::route::Rule, Refusal> {
        let head = &self.scratch.head;
        // CONNECT is for forward proxies; TRACE would hand a script the fields that it must not see (RFC 9110 section 9.3.8).
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method);
        }
        let limit = self.connection.worker.settings.limits.body_bytes;
        if limit > 0 && matches!(self.meta.framing, Framing::Length(n) if n > limit) {
            return Err(Refusal::BodyTooLarge);
        }
        view.snapshot.routes.find(&head.host, head.path()).ok_or_else(|| Refusal::NoRoute { host: head.host.clone() })
    }

    /// Normalises the request and lets the policies see it; tells the range that the proxy may have to cut.
    fn prepare(&mut self, panel: Panel<'_>) -> Result<Option<ByteRange>, Local> {
        let head = &mut self.scratch.head;
        let control = self.meta.control;
        if control.te_trailers && head.version == Version::Http11 {
            head.fields.append(b"te", b"trailers");
        }
        let settings = &panel.worker.settings;
        forwarding::set_fields(head, control, &self.connection.peer, &settings.trusted_proxies);
        let range = panel.range(head, control)?;
        panel.edit_request(head)?;
        Ok(range)
    }

    /// Asks for a backend and tries it, as often as the pool allows.
    async fn attempts(&mut self, panel: Panel<'_>, range: Option<ByteRange>) -> Result<Then, Local> {
        let pool = panel.view.pools.pool(panel.rule.pool);
        let mut failed: Vec<FailedAttempt> = Vec::new();
        for number in 1..=pool.topology.attempts.max(1) {
            let index = panel.select(&mut self.scratch.head, number, &failed)?;
            self.record.attempts = number;
            self.record.backend = Some(Rc::clone(&pool.backends[index as usize]));
            if number > 1 {
                panel.worker.shard.retries.increment();
            }
            match self.attempt(panel, pool, index, range).await {
                Attempted::Ended(then) => return Ok(then),
                Attempted::Local(local) => {
                    if matches!(&local, Local::Refusal(refusal) if refusal.side() == Side::Upstream) {
                        pool.failed(index, panel.worker.stats.started());
                    }
                    return Err(local);
                }
                Attempted::Failed(failure) => {
                    // Having too many connections ourselves (`Other`) says nothing of the backend.
                    if failure != Failure::Other {
                        pool.failed(index, panel.worker.stats.started());
                    }
                    if failure == Failure::Closed && !self.may_repeat() {
                        return Err(Local::Refusal(Refusal::ClosedEarly));
                    }
                    failed.push(FailedAttempt { backend: index, failure });
                }
            }
        }
        Err(Local::Refusal(match failed.last().map(|f| f.failure) {
            Some(Failure::ConnectTimeout) => Refusal::ConnectTimeout,
            Some(Failure::Other) => Refusal::NoBackend,
            _ => Refusal::Unreachable,
        }))
    }

    /// Tries one backend. A pooled connection that had ended in the meantime costs the request nothing.
    async fn attempt(
        &mut self,
        panel: Panel<'_>,
        pool: &WorkerPool,
        index: u32,
        range: Option<ByteRange>,
    ) -> Attempted {
        let backend = &pool.backends[index as usize];
        let worker = panel.worker;
        loop {
            let lease = match backend.lease_idle(!self.may_repeat()) {
                Some(lease) => {
                    worker.shard.upstream_reuses.increment();
                    lease
                }
                None => match self.connect(worker, pool, backend).await {
                    Ok(lease) => lease,
                    Err(failure) => return Attempted::Failed(failure),
                },
            };
            let reused = lease.reused;
            match self.forward(panel, pool, index, lease, range).await {
                Attempted::Failed(Failure::Closed) if reused && self.may_repeat() => {}
                attempted => return attempted,
            }
        }
    }

    async fn connect(&self, worker: &Worker, pool: &WorkerPool, backend: &Rc<Backend>) -> Result<Lease, Failure> {
        let most = pool.topology.max_connections as u64;
        if most > 0 && backend.shard.connections.value() >= most {
            return Err(Failure::Other);
        }
        worker.shard.upstream_connections.increment();
        let (timer, patience) = (&self.connection.timer, worker.settings.timeouts.connect);
        match worker.timers.limit(timer, Wait::UpstreamWrite, patience, backend.connect()).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(e)) if is_ours(&e) => Err(Failure::Other),
            Ok(Err(_)) => Err(Failure::Connect),
            Err(_) => Err(Failure::ConnectTimeout),
        }
    }

    /// Sends the request on a connection and the response back.
    async fn forward(
        &mut self,
        panel: Panel<'_>,
        pool: &WorkerPool,
        index: u32,
        mut lease: Lease,
        range: Option<ByteRange>,
    ) -> Attempted {
        let worker = panel.worker;
        let backend = &pool.backends[index as usize];
        let in_flight = backend.in_flight();
        let in_hand = self.body_in_hand();
        let keep_alive = self.keep_alive();
        let framing = self.meta.framing;
        self.streamed |= in_hand.is_none();
        let wants_continue = self.meta.control.expect_continue && self.connection.input.is_empty();
        let Scratch { head, response, out, up, request_trailers, response_trailers } = &mut *self.scratch;
        let Connection { stream, timer, input, .. } = &mut *self.connection;
        let wants_continue = wants_continue && head.version == Version::Http11;
        out.clear();
        up.clear();
        write_request_head(head, upstream_framing(framing, &head.method), &backend.name, up);
        let mut buffer = worker.buffers.small();
        let (uploaded, status) = (Cell::new(in_hand.is_some()), Cell::new(0));
        let (client_in, client_out) = stream.split();
        let (upstream_in, upstream_out) = lease.stream.split();
        let mut client = client_write(worker, timer, client_out);
        let mut upstream = upstream_write(worker, timer, upstream_out);
        let sent = Instant::now();

        let mut early = None;
        if let Some(n) = in_hand {
            up.extend_from_slice(&input.filled()[..n]);
            // A backend that takes no more may have said why: its answer is read all the same.
            early = upstream.flush(up).await.err().filter(|end| matches!(end, IoEnd::TimedOut));
            worker.timers.arm(timer, Wait::UpstreamRead, worker.settings.timeouts.response);
        } else if wants_continue && client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Attempted::Ended(Then::Abort);
        }
        let download = Download {
            upstream: upstream_read(worker, timer, upstream_in),
            buffer: &mut buffer,
            client,
            out,
            head,
            response,
            trailers: response_trailers,
            panel,
            backend,
            index,
            range,
            keep_alive,
            uploaded: &uploaded,
            status: &status,
            sent,
        };
        let end = match (early, in_hand) {
            (Some(_), _) => Ok(End::Local(Local::Refusal(Refusal::ResponseTimeout))),
            (None, Some(_)) => Ok(download.run().await),
            (None, None) => {
                let upload = Upload {
                    client: client_read(worker, timer, client_in),
                    input,
                    upstream,
                    up,
                    buffers: &worker.buffers,
                    trailers: request_trailers,
                    limits: worker.head_limits,
                    body_limit: worker.settings.limits.body_bytes,
                    response_patience: worker.settings.timeouts.response,
                    complete: &uploaded,
                };
                join(upload.run(framing), download.run()).await
            }
        };
        timer.disarm(Wait::UpstreamRead);
        worker.buffers.take_back(buffer);
        drop(in_flight);
        if matches!(end, Ok(End::Broken(_))) {
            pool.failed(index, worker.stats.started());
        }
        if matches!(end, Ok(End::Complete { reusable: true, .. })) {
            lease.keep(worker.timers.now(), pool.topology.max_idle);
        }
        if status.get() != 0
            && let Some(n) = in_hand
        {
            input.consume(n);
        }
        self.ended(end, status.get(), uploaded.get())
    }

    /// What the end of both directions means for the request.
    fn ended(&mut self, end: Result<End, UploadEnd>, status: u16, uploaded: bool) -> Attempted {
        self.record.status = status;
        let refusal = match end {
            Ok(End::Complete { keep_alive: true, .. }) => return Attempted::Ended(Then::Next),
            // Nothing is unread if the request's end was seen and nothing came after it.
            Ok(End::Complete { .. }) if uploaded && self.connection.input.is_empty() => {
                return Attempted::Ended(Then::Finish);
            }
            Ok(End::Complete { .. }) => return Attempted::Ended(Then::Close),
            Ok(End::Closed) => return Attempted::Failed(Failure::Closed),
            Ok(End::Local(local)) => return Attempted::Local(local),
            Ok(End::Broken(reason) | End::ClientGone(reason)) => return self.aborted(reason),
            Err(UploadEnd::ClientGone) => return self.aborted("the client closed the connection within its request"),
            Err(UploadEnd::ClientTimedOut) => Refusal::RequestTimeout,
            Err(UploadEnd::Malformed(reason)) => Refusal::Malformed(reason),
            Err(UploadEnd::TooLarge) => Refusal::BodyTooLarge,
            Err(UploadEnd::BackendTimedOut | UploadEnd::BackendGone | UploadEnd::Complete) => Refusal::ResponseTimeout,
        };
        if status != 0 {
            // The answer has begun: all that is left is to show that it is not whole.
            return self.aborted(&refusal.reason());
        }
        Attempted::Local(Local::Refusal(refusal))
    }

    fn aborted(&mut self, reason: &str) -> Attempted {
        self.record.reason = Some(reason.to_owned());
        Attempted::Ended(Then::Abort)
    }

    /// Sends an answer that is not a backend's.
    async fn answer(&mut self, worker: &Worker, local: Local) -> Then {
        // A body that was not read as a whole would be taken for the next request.
        let in_hand = self.body_in_hand();
        let keep_alive = in_hand.is_some() && self.keep_alive();
        self.connection.input.consume(in_hand.unwrap_or_default());
        let Scratch { head, out, .. } = &mut *self.scratch;
        let date = worker.date();
        let to = ReplyTo { method: &head.method, version: head.version, keep_alive, date: &date };
        out.clear();
        match &local {
            Local::Reply { reply, policy } => {
                reply::write_reply(reply, to, out);
                self.record.status = reply.status;
                self.record.reason = Some(format!("answered by policy {policy:?}"));
            }
            Local::Refusal(refusal) => {
                // Heads that are malformed have been dealt with: this is a body, and where it ends is anyone's guess.
                reply::write_refusal(refusal, to, out);
                self.record.status = refusal.status();
                self.record.refused(refusal);
            }
        }
        self.send(worker, keep_alive).await
    }

    /// Serves the statistics, if this is their path.
    async fn stats_page(&mut self, worker: &Worker) -> Option<Then> {
        let (path, page) = worker.settings.stats_page.as_ref()?;
        let head = &self.scratch.head;
        if head.path() != path || !matches!(head.method, Method::GET | Method::HEAD) {
            return None;
        }
        let in_hand = self.body_in_hand();
        let keep_alive = in_hand.is_some() && self.keep_alive();
        self.connection.input.consume(in_hand.unwrap_or_default());
        let Scratch { head, out, .. } = &mut *self.scratch;
        let (content_type, body) = page(head.fields.first("accept"));
        let date = worker.date();
        let to = ReplyTo { method: &head.method, version: head.version, keep_alive, date: &date };
        out.clear();
        reply::write_page(content_type, &body, to, out);
        self.record.status = 200;
        Some(self.send(worker, keep_alive).await)
    }

    async fn send(&mut self, worker: &Worker, keep_alive: bool) -> Then {
        let Connection { stream, timer, .. } = &mut *self.connection;
        let mut client = client_write(worker, timer, stream.split().1);
        match client.flush(&mut self.scratch.out).await {
            Err(_) => Then::Abort,
            Ok(()) if keep_alive => Then::Next,
            Ok(()) => Then::Close,
        }
    }

    /// The length of the body, if all of it (or none) is there.
    fn body_in_hand(&self) -> Option<usize> {
        match self.meta.framing {
            _ if self.streamed => None,
            Framing::Length(n) => usize::try_from(n).ok().filter(|n| *n <= self.connection.input.len()),
            Framing::Chunked => None,
            Framing::None | Framing::UntilClose => Some(0),
        }
    }

    /// Whether the request may be sent again after a connection ended without an answer (RFC 9110 section 9.2.2).
    fn may_repeat(&self) -> bool {
        let idempotent = matches!(
            self.scratch.head.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
        idempotent && self.body_in_hand().is_some()
    }

    /// Whether the client's connection may carry another request (RFC 9112 section 9.3).
    fn keep_alive(&self) -> bool {
        let control = self.meta.control;
        let wanted = match self.scratch.head.version {
            Version::Http11 => !control.close,
            Version::Http10 => control.keep_alive && !control.close,
        };
        wanted && self.connection.may_continue()
    }
}

/// Whether a connect failed for want of something on this machine: file descriptors, ports, buffers.
fn is_ours(e: &std::io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(e)
        .is_some_and(|e| [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS].contains(&e))
}

/// A request that could have a body says that it has none (RFC 9110 section 8.6).
fn upstream_framing(framing: Framing, method: &Method) -> Framing {
    match framing {
        Framing::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Framing::Length(0),
        framing => framing,
    }
}

fn upstream_read<'a, H>(worker: &'a Worker, timer: &'a Timer, half: H) -> Limited<'a, H> {
    upstream_half(worker, timer, half, Wait::UpstreamRead, &worker.shard.bytes_from_backends)
}

fn upstream_write<'a, H>(worker: &'a Worker, timer: &'a Timer, half: H) -> Limited<'a, H> {
    upstream_half(worker, timer, half, Wait::UpstreamWrite, &worker.shard.bytes_to_backends)
}

fn upstream_half<'a, H>(
    worker: &'a Worker,
    timer: &'a Timer,
    half: H,
    wait: Wait,
    bytes: &'a Counter,
) -> Limited<'a, H> {
    Limited { half, timers: &worker.timers, timer, wait, patience: worker.settings.timeouts.response, bytes }
}
