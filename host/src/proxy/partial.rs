//! A response of which the client gets parts: which, and what its head says then.

use super::body::Cut;
use super::download::Download;
use super::end::{ExchangeEnd, refused};
use super::refusal::Refusal;
use super::slice::{self, Multipart, Plan};

impl Download<'_> {
    /// Cuts a body of this length to the requested ranges, and returns the length of the result.
    /// `None` if the client gets the whole.
    pub(super) fn cut(&mut self, length: u64) -> Result<Option<(Cut, u64)>, ExchangeEnd> {
        if !slice::if_range_holds(&self.head.fields, &self.response.fields) {
            return Ok(None);
        }
        let parts = match slice::plan(self.to.ranges, length) {
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
        Ok(Some((Cut::Many(multipart), length)))
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
}
