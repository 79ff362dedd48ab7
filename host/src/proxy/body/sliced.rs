//! Parts of a body, with what stands between them.

use super::{MessageSink, Pieces, Ready, TransferEnd};
use crate::message::Fields;
use crate::proxy::slice::{Multipart, Slice};

/// What of a body goes on.
#[derive(Debug)]
pub(in crate::proxy) enum Cut {
    /// One part of it.
    One(Slice),
    /// Several parts, as one body.
    Many(Multipart),
}

/// A body of which only parts are forwarded. It ends with the last of them; the rest is not read.
#[derive(Debug)]
pub(in crate::proxy) struct Sliced<'a, S> {
    whole: &'a mut S,
    cut: Cut,
    /// The part that is under way.
    at: usize,
    /// Bytes of the whole that were passed over or passed on.
    done: u64,
    /// What stands between parts and is to be passed on now.
    text: Vec<u8>,
}

impl Cut {
    fn parts(&self) -> &[Slice] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Many(parts) => parts.parts(),
        }
    }

    /// What stands before the part, or behind the last.
    fn write_before(&self, at: usize, text: &mut Vec<u8>) {
        match self {
            Self::One(_) => {}
            Self::Many(parts) if at < parts.parts().len() => parts.write_head(at, text),
            Self::Many(parts) => parts.write_end(text),
        }
    }
}

impl<'a, S: Pieces> Sliced<'a, S> {
    /// These parts of a whole of which nothing was read.
    pub(in crate::proxy) fn new(whole: &'a mut S, cut: Cut) -> Self {
        let mut text = Vec::new();
        cut.write_before(0, &mut text);
        Self {
            whole,
            cut,
            at: 0,
            done: 0,
            text,
        }
    }

    fn pass(&mut self, n: usize) {
        self.whole.consume(n);
        self.done += n as u64;
    }
}

impl<S: Pieces> Pieces for Sliced<'_, S> {
    fn ready(&mut self) -> Result<Ready, TransferEnd> {
        if !self.text.is_empty() {
            return Ok(Ready::Content(self.text.len()));
        }
        let Some(Slice { skip, take }) = self.cut.parts().get(self.at).copied() else {
            return Ok(Ready::End);
        };
        loop {
            let Ready::Content(n) = self.whole.ready()? else {
                // The parts lie within the whole, so that it does not end before them.
                return Ok(Ready::Nothing);
            };
            let within = |bytes: u64| n.min(usize::try_from(bytes).unwrap_or(usize::MAX));
            match skip.saturating_sub(self.done) {
                0 => return Ok(Ready::Content(within(skip + take - self.done))),
                before => self.pass(within(before)),
            }
        }
    }

    fn content(&self, n: usize) -> &[u8] {
        match self.text.is_empty() {
            true => self.whole.content(n),
            false => &self.text[..n],
        }
    }

    fn consume(&mut self, n: usize) {
        if !self.text.is_empty() {
            self.text.drain(..n);
            return;
        }
        self.pass(n);
        let part = self.cut.parts()[self.at];
        if self.done == part.skip + part.take {
            self.at += 1;
            self.cut.write_before(self.at, &mut self.text);
        }
    }

    async fn fill(&mut self, sink: &MessageSink<'_>) -> Result<(), TransferEnd> {
        self.whole.fill(sink).await
    }

    fn trailers(&mut self) -> &Fields {
        self.whole.trailers()
    }
}
