//! Buffers that connections borrow while they have something to read, and give back when they wait.

use std::cell::{Cell, RefCell};

/// Enough for the heads and bodies of nearly all requests.
pub const SMALL: usize = 16 * 1024;
/// For long bodies: fewer, longer reads and writes.
const LARGE: usize = 256 * 1024;
/// From here on a body is worth a large buffer: below, many short bodies at once would make and
/// clear large buffers all the time.
const LONG_BODY: u64 = 128 * 1024;
/// How many idle ones a worker keeps of each size: 4 MiB of each.
const KEPT_SMALL: usize = 256;
const KEPT_LARGE: usize = 16;
/// How many large ones a worker lends at once, 32 MiB: thousands of slow readers of long bodies get
/// by with small ones.
const LENT_LARGE: usize = 128;

/// Bytes that were read and not yet consumed.
#[derive(Debug, Default)]
pub struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

/// The buffers of a worker that are not in use.
#[derive(Debug, Default)]
pub struct Buffers {
    small: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Vec<u8>>>,
    large_lent: Cell<usize>,
}

impl Buffer {
    /// The bytes that were read and not yet consumed.
    pub fn filled(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// How much that is.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether it is more than a place for one.
    pub fn has_room(&self) -> bool {
        !self.data.is_empty()
    }

    /// Consumes this many bytes.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Space to read into; never empty. If there is none, moves the content to the front, or grows.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.end == self.data.len() {
            if self.start > 0 {
                self.data.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                let len = (self.data.len() * 2).max(SMALL);
                self.data.resize(len, 0);
            }
        }
        &mut self.data[self.end..]
    }

    /// Adds bytes at the end.
    pub fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.spare();
            let (now, later) = bytes.split_at(bytes.len().min(spare.len()));
            spare[..now.len()].copy_from_slice(now);
            self.advance(now.len());
            bytes = later;
        }
    }

    /// This many bytes were read into [`Buffer::spare`].
    pub fn advance(&mut self, n: usize) {
        self.end += n;
        debug_assert!(self.end <= self.data.len());
    }
}

impl Buffers {
    /// A buffer for heads and short bodies.
    pub fn small(&self) -> Buffer {
        let data = self
            .small
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; SMALL]);
        Buffer {
            data,
            start: 0,
            end: 0,
        }
    }

    /// Makes room in a buffer if the body, as far as it is known, is long enough to be worth it.
    pub fn enlarge(&self, buffer: &mut Buffer, body: u64) {
        if body < LONG_BODY || buffer.data.len() >= LARGE || self.large_lent.get() >= LENT_LARGE {
            return;
        }
        self.large_lent.set(self.large_lent.get() + 1);
        let mut data = self
            .large
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; LARGE]);
        let len = buffer.len();
        data[..len].copy_from_slice(buffer.filled());
        let old = std::mem::replace(
            buffer,
            Buffer {
                data,
                start: 0,
                end: len,
            },
        );
        self.take_back(old);
    }

    /// Takes a buffer back and discards its content.
    pub fn take_back(&self, buffer: Buffer) {
        if buffer.data.len() == LARGE {
            self.large_lent.set(self.large_lent.get().saturating_sub(1));
        }
        let (list, kept) = match buffer.data.len() {
            SMALL => (&self.small, KEPT_SMALL),
            LARGE => (&self.large, KEPT_LARGE),
            _ => return,
        };
        let mut list = list.borrow_mut();
        if list.len() < kept {
            list.push(buffer.data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(buffers: &Buffers, bytes: &[u8]) -> Buffer {
        let mut buffer = buffers.small();
        buffer.spare()[..bytes.len()].copy_from_slice(bytes);
        buffer.advance(bytes.len());
        buffer
    }

    #[test]
    fn only_a_long_body_gets_a_large_buffer_and_loses_nothing() {
        let buffers = Buffers::default();
        for (body, size) in [
            (0, SMALL),
            (LONG_BODY - 1, SMALL),
            (LONG_BODY, LARGE),
            (u64::MAX, LARGE),
        ] {
            let mut buffer = holding(&buffers, b"xabc");
            buffer.consume(1);
            buffers.enlarge(&mut buffer, body);
            assert_eq!(
                (buffer.data.len(), buffer.filled()),
                (size, &b"abc"[..]),
                "{body}"
            );
            let before = (buffer.data.as_ptr(), buffers.large_lent.get());
            buffers.enlarge(&mut buffer, body);
            assert_eq!(
                (buffer.data.as_ptr(), buffers.large_lent.get()),
                before,
                "it is large enough"
            );
            buffers.take_back(buffer);
        }
    }

    #[test]
    fn large_buffers_are_lent_up_to_a_number_and_again_when_they_are_back() {
        let buffers = Buffers::default();
        let enlarged = || {
            let mut buffer = buffers.small();
            buffers.enlarge(&mut buffer, LONG_BODY);
            buffer
        };
        for _ in 0..2 {
            let mut lent: Vec<Buffer> = (0..LENT_LARGE).map(|_| enlarged()).collect();
            assert!(lent.iter().all(|buffer| buffer.data.len() == LARGE));
            assert_eq!(enlarged().data.len(), SMALL, "there are no more");
            buffers.enlarge(&mut lent[0], u64::MAX);
            assert_eq!(
                buffers.large_lent.get(),
                LENT_LARGE,
                "one that is large stays as it is"
            );
            buffers.take_back(lent.remove(0));
            lent.push(enlarged());
            assert_eq!(lent[LENT_LARGE - 1].data.len(), LARGE);
            lent.into_iter()
                .for_each(|buffer| buffers.take_back(buffer));
            assert_eq!(buffers.large_lent.get(), 0);
        }
    }

    #[test]
    fn idle_buffers_are_kept_up_to_a_number_and_used_again() {
        let buffers = Buffers::default();
        let lent: Vec<Buffer> = (0..=KEPT_SMALL).map(|_| buffers.small()).collect();
        lent.into_iter()
            .for_each(|buffer| buffers.take_back(buffer));
        assert_eq!(buffers.small.borrow().len(), KEPT_SMALL);
        let mut large: Vec<Buffer> = (0..=KEPT_LARGE).map(|_| buffers.small()).collect();
        assert_eq!(buffers.small.borrow().len(), KEPT_SMALL - KEPT_LARGE - 1);
        large
            .iter_mut()
            .for_each(|buffer| buffers.enlarge(buffer, LONG_BODY));
        assert_eq!(
            buffers.small.borrow().len(),
            KEPT_SMALL,
            "the small ones come back"
        );
        large
            .into_iter()
            .for_each(|buffer| buffers.take_back(buffer));
        assert_eq!(buffers.large.borrow().len(), KEPT_LARGE);
        buffers.enlarge(&mut buffers.small(), LONG_BODY);
        assert_eq!(buffers.large.borrow().len(), KEPT_LARGE - 1);
        let mut grown = holding(&buffers, &vec![b'x'; SMALL]);
        assert_eq!(grown.spare().len(), SMALL);
        buffers.take_back(grown);
        buffers.take_back(Buffer::default());
        assert_eq!(
            buffers.small.borrow().len(),
            KEPT_SMALL - 1,
            "of other sizes none is kept"
        );
    }

    #[test]
    fn what_was_read_moves_to_the_front_before_a_buffer_grows() {
        let buffers = Buffers::default();
        let mut buffer = holding(&buffers, &vec![b'x'; SMALL]);
        buffer.consume(SMALL - 1);
        assert_eq!(
            (buffer.spare().len(), buffer.filled()),
            (SMALL - 1, &b"x"[..])
        );
        buffer.spare()[0] = b'y';
        buffer.advance(1);
        assert_eq!(
            (buffer.filled(), buffer.len(), buffer.is_empty()),
            (&b"xy"[..], 2, false)
        );
        buffer.consume(2);
        assert_eq!(
            (buffer.len(), buffer.is_empty(), buffer.spare().len()),
            (0, true, SMALL),
            "all of the room again"
        );
    }
}
