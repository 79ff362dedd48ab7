//! Memory that a request needs while it is served, and that an idle connection does not hold.

use super::switched::Switched;
use crate::message::{Fields, RequestHead, ResponseHead};

/// Memory for one request, borrowed from the worker.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The request.
    pub head: RequestHead,
    /// The response.
    pub response: ResponseHead,
    /// Bytes for the client.
    pub out: Vec<u8>,
    /// Bytes for the backend.
    pub up: Vec<u8>,
    /// Trailers of the request.
    pub request_trailers: Fields,
    /// Trailers of the response.
    pub response_trailers: Fields,
    /// The backend's side of a tunnel that begins when the request has ended.
    pub tunnel: Option<Box<Switched>>,
}

impl Scratch {
    /// Makes it ready for a response, of which names are kept as they are spelled, or are not.
    pub(super) fn expect_response(&mut self, spelling: bool) {
        self.response.fields.keep_spelling(spelling);
        self.response_trailers.keep_spelling(spelling);
    }

    /// Whether its heads are: by HTTP/2 a few bytes on the wire make a long one.
    pub(super) fn has_small_heads(&self) -> bool {
        const SMALL: usize = 16 * 1024;
        let (head, response) = (&self.head.fields, &self.response.fields);
        let trailers = (&self.request_trailers, &self.response_trailers);
        [head, response, trailers.0, trailers.1]
            .iter()
            .all(|fields| fields.capacity() <= SMALL)
    }

    /// Whether it is worth keeping: long bodies leave long buffers behind.
    pub(super) fn is_small(&self) -> bool {
        // Twice a small buffer: the head and the first piece of a body.
        const SMALL: usize = 64 * 1024;
        self.out.capacity() <= SMALL && self.up.capacity() <= SMALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_space_is_kept_unless_one_of_its_buffers_is_long() {
        let scratch = |out, up| Scratch {
            out: Vec::with_capacity(out),
            up: Vec::with_capacity(up),
            ..Scratch::default()
        };
        let most = 64 * 1024;
        assert!(Scratch::default().is_small() && scratch(most, most).is_small());
        assert!(!scratch(most + 1, 0).is_small() && !scratch(0, most + 1).is_small());
    }

    #[test]
    fn scratch_space_with_a_long_head_is_not_kept_for_streams() {
        let mut scratch = Scratch::default();
        scratch.head.fields.append(b"a", &[b'x'; 8 * 1024]);
        scratch.head.fields.clear();
        assert!(scratch.has_small_heads());
        scratch.response_trailers.append(b"a", &[b'x'; 17 * 1024]);
        scratch.response_trailers.clear();
        assert!(!scratch.has_small_heads());
    }
}
