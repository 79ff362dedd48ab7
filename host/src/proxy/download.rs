//! The response on its way down: its head, what policies and ranges make of it, and its body.

use std::time::Duration;

use super::body::{
    BodyParts, Duplex, MessageReader, MessageSink, ResponseLines, Sent, Stage, Waits, copy,
};
use super::context::Target;
use super::edits::change_answer;
use super::end::{ExchangeEnd, bad, body_end, client_end, refused};
use super::location;
use super::passage::Passage;
use super::refusal::Refusal;
use super::reply::connection_option;
use crate::decision::TRACE;
use crate::h1::{Framing, ResponseMeta};
use crate::h2::is_bodiless;
use crate::message::{Fields, Malformed, RequestHead, ResponseHead, Version, announce, websocket};
use crate::net::Wait;

/// A response on its way down.
#[derive(Debug)]
pub(super) struct Download<'a> {
    /// Where it comes from.
    pub upstream: MessageReader<'a>,
    /// Where it goes.
    pub client: MessageSink<'a>,
    /// The request.
    pub head: &'a mut RequestHead,
    /// The response.
    pub response: &'a mut ResponseHead,
    /// Trailers of the response.
    pub trailers: &'a mut Fields,
    /// Which backend answers, and which policies see the answer.
    pub to: Target<'a>,
    /// Whether the client's connection may carry another request.
    pub keep_alive: bool,
    /// The other direction.
    pub duplex: &'a Duplex,
}

/// How the body goes on.
pub(super) struct Body {
    /// How the backend frames it.
    pub from: Framing,
    /// How the client gets it.
    pub to: Framing,
    /// What becomes of it on its way.
    pub passage: Passage,
}

impl Download<'_> {
    /// Waits for `future` while the client, of which all of the request was read, is there.
    #[inline]
    pub(super) async fn while_there<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let half_close = self.to.context.view.settings.limits.half_close;
        let presence = self.client.presence(half_close, true);
        presence.during(future).await
    }

    /// Gives the backend so long from now for the response's head.
    pub(super) fn await_head(&self, patience: Duration) {
        let (timers, timer) = self.client.clock();
        timers.arm(timer, Wait::UpstreamRead, patience);
    }

    /// Reads the response and sends it on.
    pub(super) async fn run(&mut self) -> ExchangeEnd {
        match self.respond().await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn respond(&mut self) -> Result<ExchangeEnd, ExchangeEnd> {
        let meta = self.head().await?;
        if let Some(race) = self.to.tries.race {
            // In a box, because few requests are sent twice at a time.
            Box::pin(self.win(race)).await?;
        }
        self.respond_to(meta).await
    }

    /// Sends a response on whose head is there.
    pub(super) async fn respond_to(
        &mut self,
        meta: ResponseMeta,
    ) -> Result<ExchangeEnd, ExchangeEnd> {
        if self.is_retried() {
            return Ok(self.discard(&meta));
        }
        if self.response.status == 101 {
            // In a box, because few responses are a 101.
            return Box::pin(self.switch(meta)).await;
        }
        self.pass_on(meta).await
    }

    async fn pass_on(&mut self, meta: ResponseMeta) -> Result<ExchangeEnd, ExchangeEnd> {
        let body = self.edit(&meta)?;
        let whole = body.passage.reads_all() && body.from != Framing::UntilClose;
        let keep_alive = self.may_keep_alive(&body);
        self.write_head(&meta, &body, keep_alive);
        let mut progress = self.upstream.progress_of_response(body.from);
        let mut source = self.upstream.body(BodyParts {
            progress: &mut progress,
            trailers: self.trailers,
            edited: self.response.fields.edited(),
            duplex: self.duplex,
            waits: Waits::ForBackend(self.to.context.view.settings.limits.half_close),
        });
        let (client, passed) = (&mut self.client, &self.duplex.content);
        let moved = match body.passage {
            Passage::Whole => copy(&mut source, client, passed).await,
            // In a box, because few responses are changed.
            passage => {
                let counted = &self.to.context.worker.shard.compression;
                Box::pin(passage.take(&mut source, client, passed, counted)).await
            }
        };
        if let Err(end) = moved {
            let told = self.duplex.is_answered();
            return Err(body_end(
                end,
                told,
                source.owes(),
                self.client.is_delimited(),
            ));
        }
        // Bytes beyond the response belong to nothing we asked for.
        let reusable = whole
            && source.is_drained()
            && self.duplex.sent() == Sent::WHOLE
            && persists(&meta, self.response.version);
        Ok(ExchangeEnd::Complete {
            reusable,
            keep_alive,
        })
    }

    /// Sends the 101 on, with what policies make of it. No body follows, whatever its fields say.
    async fn switch(&mut self, meta: ResponseMeta) -> Result<ExchangeEnd, ExchangeEnd> {
        let connects = self.head.upgrade.is_connect();
        if connects && !self.accepts() {
            return Err(bad(Malformed::WebSocketAccept));
        }
        let mut body = self.edit(&meta)?;
        body.to = Framing::None;
        let ResponseHead {
            fields,
            upgrade,
            status,
            ..
        } = &mut *self.response;
        if connects {
            // The same by HTTP/2, which has no key to answer (RFC 8441 section 5).
            *status = 200;
            fields.remove(websocket::ACCEPT.as_bytes());
        } else {
            fields.append(b"upgrade", upgrade.as_bytes());
        }
        self.write_head(&meta, &body, false);
        self.client.flush().await.map_err(client_end)?;
        Ok(ExchangeEnd::Switched)
    }

    /// Whether the backend has answered the key that it was sent.
    fn accepts(&self) -> bool {
        let accept = self
            .head
            .fields
            .first(websocket::KEY)
            .map(websocket::accept);
        let given = self.response.fields.first(websocket::ACCEPT);
        accept.is_some_and(|accept| given == Some(accept.as_bytes()))
    }

    /// Whether the client's connection may carry another request after this body.
    fn may_keep_alive(&self, body: &Body) -> bool {
        self.keep_alive
            && body.to != Framing::UntilClose
            && self.duplex.stage() == Stage::Whole
            && !self.to.context.worker.ends(self.to.context.entry)
    }

    /// Lets the policies edit the head that has arrived, and decides how the body goes on.
    fn edit(&mut self, meta: &ResponseMeta) -> Result<Body, ExchangeEnd> {
        let Target {
            context, position, ..
        } = self.to;
        let status = self.response.status;
        let took = self.duplex.since_whole();
        self.to.endpoint.answered(took, self.to.is_failure(status));
        let chain = context.chain();
        chain.answered(took);
        if self.head.upgrade.is_connect() && matches!(status, 200..300) {
            return Err(refused(Refusal::NotSwitched));
        }
        if let Some(edits) = &context.rule.edits
            && let Some(rewrite) = &edits.location
        {
            let answer = (status, self.to);
            location::rewrite(rewrite, self.head, answer, &mut self.response.fields);
        }
        let edited = chain.edit_response(self.head, status, position, &mut self.response.fields);
        edited.map_err(|stop| ExchangeEnd::Local(stop.into()))?;
        if let Some(marks) = &context.view.settings.marks {
            marks.respond(&self.head.id, &mut self.response.fields);
        }
        if let Some(edits) = &context.rule.edits {
            change_answer(edits, self.head, &mut self.response.fields);
        }
        // After the policies: `If-Range` is compared with the fields that the client has seen.
        let mut body = self.body(meta)?;
        if let Some(with) = &context.rule.compress {
            body = self.compressed(with, meta, body);
        }
        self.explain();
        Ok(body)
    }

    /// Decides how the body goes on, and cuts it if a range asks for it.
    fn body(&mut self, meta: &ResponseMeta) -> Result<Body, ExchangeEnd> {
        let from = meta.framing;
        if from == Framing::None {
            // HEAD and 304 may carry the length that a GET would have had; 204 may not (RFC 9110
            // section 8.6).
            let status = self.response.status;
            let to = match meta.content_length.filter(|_| status != 204) {
                Some(length) => Framing::Length(length),
                // A stream that ended with its head; HTTP/1.1 must say that nothing follows.
                None if self.head.version != Version::Http2
                    && !is_bodiless(status, &self.head.method) =>
                {
                    Framing::Length(0)
                }
                None => Framing::None,
            };
            return Ok(Body {
                from,
                to,
                passage: Passage::Whole,
            });
        }
        if !self.to.ranges.is_empty()
            && let (Framing::Length(n), 200) = (from, self.response.status)
            && let Some((cut, length)) = self.cut(n)?
        {
            return Ok(Body {
                from,
                to: Framing::Length(length),
                passage: Passage::Parts(cut),
            });
        }
        let to = match (from, self.head.version) {
            (Framing::Length(n), _) => Framing::Length(n),
            (_, Version::Http10) => Framing::UntilClose,
            (_, Version::Http11 | Version::Http2) => Framing::Chunked,
        };
        Ok(Body {
            from,
            to,
            passage: Passage::Whole,
        })
    }

    /// Adds how the request was decided, if the client asked for that.
    #[inline]
    fn explain(&mut self) {
        let (state, status) = (self.to.context.state, self.response.status);
        let (attempt, address) = (self.to.attempt, self.to.endpoint.address);
        state.attempted(attempt, address, || format!("status-{status}"));
        if let Some(trace) = state.trace() {
            let fields = &mut self.response.fields;
            fields.set(TRACE.as_bytes(), trace.as_bytes());
            // Only for the client that asked, not for a cache on the way.
            fields.set(b"cache-control", b"no-store");
        }
    }

    fn write_head(&mut self, meta: &ResponseMeta, body: &Body, keep_alive: bool) {
        let (worker, view) = (self.to.context.worker, self.to.context.view);
        let forwarding = &view.settings.forwarding;
        let fields = &mut self.response.fields;
        if meta.notes.proxy_status && fields.contains("proxy-status") {
            // RFC 9209 section 2: each hop appends itself to what those behind it have said.
            fields.append(b"proxy-status", forwarding.item().as_bytes());
        }
        if body.from == Framing::Chunked && body.to != Framing::Chunked {
            fields.remove(b"trailer");
        } else if !fields.edited().is_empty() {
            announce(fields);
        }
        // A policy may have written a date, or removed the backend's; a response has one.
        let dates = fields.keep_last(b"date");
        let date = worker.date();
        let lines = ResponseLines {
            via: forwarding.response_via(self.response.version).as_bytes(),
            date: (!dates).then_some(&date[..]),
            connection: match self.response.status {
                101 => Some("upgrade"),
                _ => connection_option(self.head.version, keep_alive),
            },
        };
        self.client.response(self.response, body.to, lines);
        if matches!(self.upstream, MessageReader::H2(_)) {
            self.client.collect();
        }
    }
}

pub(super) fn persists(meta: &ResponseMeta, version: Version) -> bool {
    !meta.control.close && (version != Version::Http10 || meta.control.keep_alive)
}
