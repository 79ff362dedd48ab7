//! A response of which the client gets parts: what its head says then, and the parts.

use super::download::{Download, End, refused};
use super::refusal::Refusal;
use super::slice::{self, Multipart, Plan, Slice};

use crate::h1::Framing;

/// How the body goes on.
pub(super) struct Body {
    pub from: Framing,
    pub to: Framing,
    pub cut: Cut,
}

/// What of the body goes on.
pub(super) enum Cut {
    /// All of it.
    Whole,
    /// One part of it.
    One(Slice),
    /// Several parts, as one body.
    Many(Box<Multipart>),
}

impl Download<'_> {
    /// Cuts a body of this length to the ranges that the client asked for, and tells how long what
    /// is left is. `None` if the client gets the whole.
    pub(super) fn cut(&mut self, length: u64) -> Result<Option<(Cut, u64)>, End> {
        if !slice::if_range_holds(&self.head.fields, &self.response.fields) {
            return Ok(None);
        }
        let parts = match slice::plan(self.ranges, length) {
            Plan::Whole => return Ok(None),
            Plan::Unsatisfiable => return Err(refused(Refusal::RangeNotSatisfiable { length })),
            Plan::Parts(parts) => parts,
        };
        if let [only] = parts[..] {
            self.become_partial();
            self.response
                .fields
                .set(b"content-range", only.content_range(length).as_bytes());
            return Ok(Some((Cut::One(only), only.take)));
        }
        // What stands between the parts is not encoded, so a client that decodes the body as a
        // whole would stumble.
        if self.response.fields.contains("content-encoding") {
            return Ok(None);
        }
        let multipart = Multipart::new(parts, length, self.response.fields.first("content-type"));
        let Some(length) = multipart.length() else {
            return Ok(None);
        };
        self.become_partial();
        self.response
            .fields
            .set(b"content-type", multipart.content_type().as_bytes());
        // Each part has its own (RFC 9110 section 15.3.7.2).
        self.response.fields.remove(b"content-range");
        Ok(Some((Cut::Many(Box::new(multipart)), length)))
    }

    fn become_partial(&mut self) {
        self.response.status = 206;
        self.response.reason.clear();
        let fields = &mut self.response.fields;
        // Digests of the content as it was (RFC 9530 section 2, RFC 1864). `Repr-Digest`, `Digest`
        // and `ETag` are of the whole representation and hold for a part as well.
        fields.remove(b"content-digest");
        fields.remove(b"content-md5");
        fields.set(b"accept-ranges", b"bytes");
    }

    /// Sends a part of a body of which so many bytes have been passed over or sent.
    pub(super) async fn slice(&mut self, part: Slice, done: u64) -> Result<(), End> {
        let mut skip = part.skip - done;
        loop {
            let n = self
                .buffer
                .len()
                .min(usize::try_from(skip).unwrap_or(usize::MAX));
            self.buffer.consume(n);
            skip -= n as u64;
            if skip == 0 {
                break;
            }
            self.fill(skip, true).await?;
        }
        self.length(part.take).await
    }

    /// Sends several parts.
    pub(super) async fn slices(&mut self, multipart: &Multipart) -> Result<(), End> {
        let mut done = 0;
        for (at, part) in multipart.parts().iter().enumerate() {
            multipart.write_head(at, self.out);
            self.slice(*part, done).await?;
            done = part.skip + part.take;
        }
        multipart.write_end(self.out);
        self.flush().await
    }
}
