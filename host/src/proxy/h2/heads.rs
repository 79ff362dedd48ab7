//! What the heads of streams under way may hold of memory together.
//!
//! A few bytes name a field of kilobytes that the client's table has, so that each head may be
//! small on the wire and as large in memory as a head may be.

use std::cell::Cell;
use std::rc::Rc;

use http::HeaderMap;
use http::request::Parts;

/// How many of the largest heads the streams of one connection may have together.
const LARGEST: usize = 16;
/// Bytes of all heads of a worker, beyond which a connection may only have ...
const OF_WORKER: usize = 64 * 1024 * 1024;
/// ... so many of them.
const LEAST: usize = 64 * 1024;
/// What a field costs beside its name and value, as the engine counts it (RFC 9113 section 6.5.2).
const OVERHEAD: usize = 32;

/// Counts the heads of one connection's streams, and with them those of its worker.
#[derive(Debug)]
pub(super) struct Heads {
    held: Cell<usize>,
    of_worker: Rc<Cell<usize>>,
}

/// A head that counts until this is dropped.
#[derive(Debug)]
pub(super) struct HeldHead {
    heads: Rc<Heads>,
    bytes: usize,
}

/// Why there is no room for a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IsTooMuch {
    /// The streams of its connection have too much.
    OfConnection,
    /// All streams of the worker have.
    OfWorker,
}

impl Heads {
    /// None so far.
    pub(super) fn new(of_worker: &Rc<Cell<usize>>) -> Self {
        Self {
            held: Cell::new(0),
            of_worker: Rc::clone(of_worker),
        }
    }

    /// Counts one more, if there is room for it. The first one has room for certain. `largest` is
    /// what one head may have.
    ///
    /// # Errors
    ///
    /// There is none: whether that is this connection's doing.
    pub(super) fn hold(
        self: &Rc<Self>,
        head: &Parts,
        largest: usize,
    ) -> Result<HeldHead, IsTooMuch> {
        let bytes = bytes_of(head);
        let held = self.held.get() + bytes;
        let of_worker = self.of_worker.get() + bytes;
        let most = largest.saturating_mul(LARGEST);
        if held > bytes && held > most {
            return Err(IsTooMuch::OfConnection);
        }
        if held > bytes && of_worker > OF_WORKER && held > LEAST {
            return Err(IsTooMuch::OfWorker);
        }
        self.held.set(held);
        self.of_worker.set(of_worker);
        let heads = Rc::clone(self);
        Ok(HeldHead { heads, bytes })
    }
}

fn bytes_of(head: &Parts) -> usize {
    let uri = head
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let authority = head.uri.authority().map_or(0, |a| a.as_str().len());
    uri + authority + bytes_of_fields(&head.headers)
}

fn bytes_of_fields(fields: &HeaderMap) -> usize {
    let bytes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD);
    bytes.sum()
}

impl Drop for HeldHead {
    fn drop(&mut self) {
        let Self { heads, bytes } = self;
        heads.held.set(heads.held.get() - *bytes);
        heads.of_worker.set(heads.of_worker.get() - *bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: usize) -> Parts {
        let value = "x".repeat(bytes);
        let request = http::Request::get("http://a.test/").header("a", value);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_heads_of_a_connection_have_a_budget_that_comes_back() {
        let worker = Rc::default();
        let heads = Rc::new(Heads::new(&worker));
        let largest = 4_000;
        for _ in 0..2 {
            let held: Vec<_> = (0..100)
                .map_while(|_| heads.hold(&head(3_000), largest).ok())
                .collect();
            // 64,000 bytes, of which each takes some 3,040.
            assert_eq!(held.len(), 21);
            let refused = heads.hold(&head(3_000), largest).unwrap_err();
            assert_eq!(refused, IsTooMuch::OfConnection);
            assert!(worker.get() > 63_000 && worker.get() <= 64_000);
            drop(held);
            assert_eq!((heads.held.get(), worker.get()), (0, 0));
        }
        assert!(heads.hold(&head(100_000), largest).is_ok(), "the first");
    }

    #[test]
    fn where_a_worker_has_many_heads_each_connection_may_have_few() {
        let worker = Rc::new(Cell::new(OF_WORKER));
        let heads = Rc::new(Heads::new(&worker));
        let held: Vec<_> = (0..100)
            .map_while(|_| heads.hold(&head(8_000), 32 * 1024).ok())
            .collect();
        assert_eq!(held.len(), LEAST / 8_046);
        let refused = heads.hold(&head(8_000), 32 * 1024).unwrap_err();
        assert_eq!(refused, IsTooMuch::OfWorker);
        drop(held);
        assert_eq!(worker.get(), OF_WORKER);
    }
}
