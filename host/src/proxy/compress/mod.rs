//! Compressing responses: which, in which coding, and what becomes of their heads.
//!
//! Whether a response *could* be compressed depends on its route and itself only, and then it
//! varies by `Accept-Encoding`, whatever this client gets. A response that is none of these goes
//! its way untouched. Nothing is ever decompressed.

mod accept;
#[cfg(feature = "compress")]
mod encoders;
mod fields;

use http::Method;

use super::body::Encode;
use super::download::{Body, Download};
use super::passage::Passage;
use crate::config::{Coding, Compression};
use crate::h1::{Framing, ResponseMeta};
use crate::message::{Fields, Version, grpc};

/// Responses of a worker that are compressed at a time, each with 0.3 to 3 MiB for its encoder:
/// clients that read slowly, or not at all, must not take the machine's memory. Those beyond go as
/// they are.
const MOST: u64 = 256;

impl Download<'_> {
    /// Has the body compressed on its way, if the response, the route and the client agree.
    pub(super) fn compressed(
        &mut self,
        with: &Compression,
        meta: &ResponseMeta,
        mut body: Body,
    ) -> Body {
        let could_be = self.could_be_compressed(with, meta, &body);
        let (request, response) = (&self.head.fields, &mut self.response.fields);
        if self.response.status == 304 {
            fields::answer_weakly(request, response);
        } else if !could_be {
            return body;
        }
        fields::vary(response);
        // What a range is asked of is the form that is not encoded.
        let wants_range = !self.to.ranges.is_empty() || request.contains("range");
        let is_partial = is_partial(self.response.status, response);
        let is_old = self.head.version == Version::Http10;
        let compressed = &self.to.context.worker.shard.compression;
        let are_many = compressed.active.value() >= MOST;
        if !could_be || is_partial || wants_range || is_old || are_many || fields::forbids(request)
        {
            return body;
        }
        let Some((coding, level)) = accept::choose(request, &with.encodings) else {
            return body;
        };
        if self.head.method == Method::HEAD {
            body.to = Framing::None;
        } else if let Some(encoder) = encoder(coding, level, meta.content_length) {
            body.to = Framing::Chunked;
            body.passage = Passage::Encoded(encoder);
        } else {
            return body;
        }
        fields::encode(response, coding);
        body
    }

    /// Whether a client could get the response compressed: it, or that of which it is a part.
    fn could_be_compressed(&self, with: &Compression, meta: &ResponseMeta, body: &Body) -> bool {
        let (request, response) = (&self.head.fields, &self.response.fields);
        let status = self.response.status;
        let has_body = self.head.method == Method::HEAD || body.from != Framing::None;
        // A part's length says nothing of the whole.
        let length = meta
            .content_length
            .filter(|_| !is_partial(status, response));
        let is_short = length.is_some_and(|n| n < with.least.max(1));
        !matches!(status, ..200 | 204 | 205 | 304)
            && has_body
            && !is_short
            && !grpc::is_call(request)
            && fields::may_be_encoded(response, with)
    }
}

fn is_partial(status: u16, fields: &Fields) -> bool {
    status == 206 || fields.contains("content-range")
}

/// An encoder for a body of this length, if it is known.
#[cfg(feature = "compress")]
fn encoder(coding: Coding, level: u32, length: Option<u64>) -> Option<Box<dyn Encode>> {
    encoders::encoder(coding, level, length).ok()
}

/// A configuration that wants one is refused by this build.
#[cfg(not(feature = "compress"))]
fn encoder(_: Coding, _: u32, _: Option<u64>) -> Option<Box<dyn Encode>> {
    None
}
