//! Where do the bytes of an answer come from, a piece at a time?

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

/// Large enough that a piece's system call is cheap, small enough that a thousand slow readers fit
/// in memory.
const PIECE: u64 = 64 * 1024;

/// Every line of the large text has the same width, so that any slice can be generated without the
/// text before it.
const LINE: u64 = 64;
/// Over a mebibyte, which is more than the socket buffers of a usual connection hold.
const LINES: u64 = 20 * 1024;
/// The large text's length in bytes.
pub(super) const TEXT: u64 = LINE * LINES;

/// What slices are cut from.
#[derive(Debug)]
pub(super) enum Source {
    /// Bytes at hand.
    Memory(Bytes),
    /// The large text, of [`TEXT`] bytes.
    Text,
    /// A file, read as its slices are sent.
    File(tokio::fs::File),
}

#[derive(Debug)]
enum Part {
    Literal(Bytes),
    Slice(Range<u64>),
}

/// A body of known length: slices of one source, with literal bytes between them (the heads of a
/// multipart answer).
#[derive(Debug)]
pub(super) struct Content {
    source: Source,
    parts: VecDeque<Part>,
    /// Where the file's next read happens; `None` until it was sought.
    position: Option<u64>,
    seeking: bool,
}

impl Content {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            parts: VecDeque::new(),
            position: None,
            seeking: false,
        }
    }

    pub(super) fn empty() -> Self {
        Self::new(Source::Memory(Bytes::new()))
    }

    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::empty().literal(bytes)
    }

    pub(super) fn literal(mut self, bytes: impl Into<Bytes>) -> Self {
        self.parts.push_back(Part::Literal(bytes.into()));
        self
    }

    /// Adds a slice, which must lie within the source; a file that is shorter by then ends the
    /// answer with an error.
    pub(super) fn slice(mut self, slice: Range<u64>) -> Self {
        self.parts.push_back(Part::Slice(slice));
        self
    }

    /// The remaining bytes.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.parts.iter().map(|part| match part {
            Part::Literal(bytes) => bytes.len() as u64,
            Part::Slice(slice) => slice.end.saturating_sub(slice.start),
        });
        lengths.sum()
    }

    /// The next piece of `slice`, never empty and never longer.
    fn read(&mut self, context: &mut Context<'_>, slice: &Range<u64>) -> Poll<io::Result<Bytes>> {
        let wanted = slice.start..slice.end.min(slice.start + PIECE);
        match &mut self.source {
            Source::Memory(bytes) => {
                let within = usize::try_from(wanted.start)
                    .ok()
                    .zip(usize::try_from(wanted.end).ok());
                let piece = within
                    .filter(|(_, end)| *end <= bytes.len())
                    .map(|(start, end)| bytes.slice(start..end));
                Poll::Ready(piece.ok_or_else(shorter))
            }
            Source::Text => Poll::Ready(Ok(text(wanted))),
            Source::File(file) => {
                let mut file = Pin::new(file);
                if self.seeking {
                    self.position = Some(ready!(file.as_mut().poll_complete(context))?);
                    self.seeking = false;
                }
                if self.position != Some(wanted.start) {
                    file.as_mut()
                        .start_seek(io::SeekFrom::Start(wanted.start))?;
                    self.seeking = true;
                    self.position = Some(ready!(file.as_mut().poll_complete(context))?);
                    self.seeking = false;
                }
                let mut buffer = BytesMut::zeroed(
                    usize::try_from(wanted.end - wanted.start).map_err(|_| shorter())?,
                );
                let mut unread = ReadBuf::new(&mut buffer);
                ready!(file.poll_read(context, &mut unread))?;
                let filled = unread.filled().len();
                if filled == 0 {
                    return Poll::Ready(Err(shorter()));
                }
                buffer.truncate(filled);
                self.position = Some(wanted.start + filled as u64);
                Poll::Ready(Ok(buffer.freeze()))
            }
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            match self.parts.front() {
                None => return Poll::Ready(None),
                Some(Part::Slice(slice)) if !slice.is_empty() => {
                    let slice = slice.clone();
                    let piece = ready!(self.read(context, &slice))?;
                    if let Some(Part::Slice(rest)) = self.parts.front_mut() {
                        rest.start += piece.len() as u64;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Some(_) => {
                    if let Some(Part::Literal(bytes)) = self.parts.pop_front()
                        && !bytes.is_empty()
                    {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

fn shorter() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the content became shorter while it was sent",
    )
}

/// A slice of the large text: numbered lines, so that a reader can tell where any slice was cut.
fn text(slice: Range<u64>) -> Bytes {
    let mut bytes =
        Vec::with_capacity(usize::try_from(slice.end - slice.start + 2 * LINE).unwrap_or_default());
    for line in slice.start / LINE..slice.end.div_ceil(LINE) {
        let sentence = format!(
            "line {:>6} of {LINES}: a signpost stands where roads part",
            line + 1
        );
        bytes.extend_from_slice(
            format!("{sentence:<width$}\n", width = LINE as usize - 1).as_bytes(),
        );
    }
    let skipped = (slice.start % LINE) as usize;
    let length = (slice.end - slice.start) as usize;
    Bytes::from(bytes).slice(skipped..skipped + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn sent(content: Content) -> Result<Bytes, io::Error> {
        let length = content.length();
        let bytes = content.collect().await?.to_bytes();
        assert_eq!(bytes.len() as u64, length);
        Ok(bytes)
    }

    #[tokio::test]
    async fn any_slice_of_the_text_is_the_same_as_that_slice_of_the_whole() {
        let whole = sent(Content::new(Source::Text).slice(0..TEXT))
            .await
            .unwrap();
        assert!(whole.starts_with(b"line      1 of 20480: a signpost"));
        assert!(
            whole
                .chunks(LINE as usize)
                .all(|line| line.ends_with(b"\n") && line[..63].is_ascii())
        );
        for slice in [0..1, 63..64, 63..65, 64..128, 1000..200_000, TEXT - 1..TEXT] {
            let cut = sent(Content::new(Source::Text).slice(slice.clone()))
                .await
                .unwrap();
            assert_eq!(cut, whole.slice(slice.start as usize..slice.end as usize));
        }
    }

    #[tokio::test]
    async fn slices_of_a_file_come_in_any_order() {
        let mut file = tempfile();
        io::Write::write_all(
            &mut file,
            &(0..=255).cycle().take(300_000).collect::<Vec<u8>>(),
        )
        .unwrap();
        let content = Content::new(Source::File(tokio::fs::File::from_std(file)));
        let content = content
            .slice(200_000..300_000)
            .literal("|")
            .slice(10..12)
            .slice(12..14)
            .slice(5..5);
        let bytes = sent(content).await.unwrap();
        assert_eq!(bytes[..2], [(200_000 % 256) as u8, (200_001 % 256) as u8]);
        assert_eq!(bytes[100_000..], *b"|\x0a\x0b\x0c\x0d");
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error_and_not_an_end() {
        let content =
            Content::new(Source::File(tokio::fs::File::from_std(tempfile()))).slice(0..10);
        assert_eq!(
            sent(content).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    fn tempfile() -> std::fs::File {
        let path =
            std::env::temp_dir().join(format!("waypost-content-{:032x}", rand::random::<u128>()));
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }
}
