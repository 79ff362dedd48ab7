//! The position in a body of HTTP/1.1, and the part of a request's body that is kept so that it can
//! be sent again.

use super::{Ready, TransferEnd};
use crate::h1::{ChunkedDecoder, Decoded, Framing, HeadLimits};
use crate::message::{BodyLength, Fields};
use crate::net::Buffer;

/// The position in a body. A request's outlives the attempt, because the client's bytes can't be
/// read again.
#[derive(Debug)]
pub(in crate::proxy) struct Progress {
    at: At,
    /// Bytes of content that are known so far, where the length is not.
    total: u64,
    /// The largest body; 0 = no limit.
    most: u64,
    /// Of a stream: how long its head says that it is; 0 if it does not.
    announced: u64,
    /// The content that was passed on, if it is kept.
    kept: Vec<u8>,
    /// Whether all that was passed on is in `kept`.
    whole: bool,
    /// How many bytes may be kept.
    room: usize,
}

/// Where in the body the sender's connection stands.
#[derive(Debug)]
enum At {
    /// This many bytes before its end.
    Length(u64),
    /// Within chunks. The decoder has passed this many bytes of content that are still in the
    /// buffer.
    Chunked(ChunkedDecoder, usize),
    /// Its end is that of the connection.
    UntilClose,
    /// At its end.
    End,
}

impl Progress {
    /// At the beginning of a request's body of at most `most` bytes. Up to `room` bytes that were
    /// sent are kept, if the request may be repeated.
    pub(in crate::proxy) fn of_request(length: BodyLength, room: Option<usize>, most: u64) -> Self {
        Self {
            most,
            whole: room.is_some(),
            room: room.unwrap_or_default(),
            ..Self::of_response(length.into())
        }
    }

    /// At the beginning of a response's body.
    pub(in crate::proxy) fn of_response(framing: Framing) -> Self {
        let at = match framing {
            Framing::None => At::End,
            Framing::Length(n) => At::Length(n),
            Framing::Chunked => At::Chunked(ChunkedDecoder::default(), 0),
            Framing::UntilClose => At::UntilClose,
        };
        Self {
            at,
            total: 0,
            most: 0,
            announced: 0,
            kept: Vec::new(),
            whole: false,
            room: 0,
        }
    }

    /// At the beginning of a request's body that ends with its stream.
    pub(in crate::proxy) fn of_stream(room: Option<usize>, most: u64) -> Self {
        Self {
            most,
            whole: room.is_some(),
            room: room.unwrap_or_default(),
            ..Self::of_response(Framing::UntilClose)
        }
    }

    /// At the beginning of a response's body of this length that ends with its stream.
    pub(in crate::proxy) fn of_announced(length: u64) -> Self {
        Self {
            announced: length,
            ..Self::of_stream(None, 0)
        }
    }

    /// The content that has to be sent before the rest when the request is sent again.
    pub(in crate::proxy) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Whether the request can be sent again.
    pub(in crate::proxy) fn is_whole(&self) -> bool {
        self.whole
    }

    /// How many more bytes may be kept.
    pub(in crate::proxy) fn spare(&self) -> usize {
        self.room.saturating_sub(self.kept.len())
    }

    /// Whether all of the body was taken from the sender's connection.
    pub(in crate::proxy) fn is_at_end(&self) -> bool {
        matches!(self.at, At::End | At::Length(0))
    }

    /// Gives up that the request can be sent again.
    pub(super) fn forget(&mut self) {
        (self.whole, self.kept) = (false, Vec::new());
    }

    /// What of the body is there. Takes framing out of the buffer.
    #[inline]
    pub(super) fn ready(
        &mut self,
        buffer: &mut Buffer,
        limits: HeadLimits,
        trailers: &mut Fields,
    ) -> Result<Ready, TransferEnd> {
        match &mut self.at {
            At::Length(0) => self.at = At::End,
            At::Length(left) => {
                let n = buffer
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                return Ok(Ready::of(n));
            }
            At::Chunked(..) => return self.chunk(buffer, limits, trailers),
            At::UntilClose => return Ok(Ready::of(buffer.len())),
            At::End => {}
        }
        Ok(Ready::End)
    }

    fn chunk(
        &mut self,
        buffer: &mut Buffer,
        limits: HeadLimits,
        trailers: &mut Fields,
    ) -> Result<Ready, TransferEnd> {
        let At::Chunked(decoder, ahead) = &mut self.at else {
            return Ok(Ready::End);
        };
        if *ahead > 0 {
            return Ok(Ready::Content(*ahead));
        }
        match decoder
            .decode(buffer.filled(), limits, trailers)
            .map_err(TransferEnd::Malformed)?
        {
            Decoded::End(n) => {
                buffer.consume(n);
                self.at = At::End;
                Ok(Ready::End)
            }
            Decoded::Data { skip, data } => {
                buffer.consume(skip);
                *ahead = data;
                self.total = self.total.saturating_add(data as u64);
                if self.most > 0 && self.total > self.most {
                    return Err(TransferEnd::TooLarge);
                }
                Ok(Ready::of(data))
            }
        }
    }

    /// Whether the body of a stream may have this many bytes more.
    pub(super) fn may_take(&self, more: usize) -> bool {
        self.most == 0 || self.total.saturating_add(more as u64) <= self.most
    }

    /// These bytes of a stream have been passed on.
    pub(super) fn passed(&mut self, bytes: &[u8]) {
        if self.whole {
            self.keep(bytes);
        }
        self.total = self.total.saturating_add(bytes.len() as u64);
    }

    /// This many of the ready bytes have been passed on: takes them out of the buffer.
    #[inline]
    pub(super) fn consume(&mut self, buffer: &mut Buffer, n: usize) {
        if self.whole {
            self.keep(&buffer.filled()[..n]);
        }
        buffer.consume(n);
        match &mut self.at {
            At::Length(left) => *left -= n as u64,
            At::Chunked(_, ahead) => *ahead -= n,
            At::UntilClose => self.total = self.total.saturating_add(n as u64),
            At::End => {}
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if bytes.len() > self.spare() {
            self.forget();
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    /// The sender has ended its side. Whether that is the end of the body.
    pub(super) fn sender_ended(&mut self) -> bool {
        if matches!(self.at, At::UntilClose) {
            self.at = At::End;
        }
        self.is_at_end()
    }

    /// Whether the sender has announced more than has come: between two chunks nothing is.
    pub(super) fn owes(&self) -> bool {
        match &self.at {
            At::Length(left) => *left > 0,
            At::Chunked(decoder, _) => decoder.owes(),
            At::UntilClose => self.total < self.announced,
            At::End => false,
        }
    }

    /// Bytes of the content of a request's body of this length that were passed on.
    pub(in crate::proxy) fn passed_on(&self, length: BodyLength) -> u64 {
        match (&self.at, length) {
            (At::Length(left), BodyLength::Known(n)) => n.saturating_sub(*left),
            (At::End, BodyLength::Known(n)) => n,
            (At::Chunked(_, ahead), _) => self.total.saturating_sub(*ahead as u64),
            _ => self.total,
        }
    }

    /// How long the body is, as far as it is known.
    pub(super) fn extent(&self) -> u64 {
        match self.at {
            At::Length(left) => left,
            _ => self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        first_line: 1_000,
        bytes: 1_000,
        fields: 10,
    };

    fn holding(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::default();
        while buffer.spare().len() < bytes.len() {
            let grown = buffer.spare().len();
            buffer.advance(grown);
        }
        buffer.spare()[..bytes.len()].copy_from_slice(bytes);
        buffer.advance(bytes.len());
        buffer.consume(buffer.len() - bytes.len());
        buffer
    }

    /// Passes on all that is there; the content, and how that ended.
    fn pass_on(
        progress: &mut Progress,
        buffer: &mut Buffer,
    ) -> (Vec<u8>, Result<Ready, TransferEnd>) {
        let (mut content, mut trailers) = (Vec::new(), Fields::new());
        loop {
            match progress.ready(buffer, LIMITS, &mut trailers) {
                Ok(Ready::Content(n)) => {
                    content.extend_from_slice(&buffer.filled()[..n]);
                    progress.consume(buffer, n);
                }
                end => return (content, end),
            }
        }
    }

    #[test]
    fn sent_bytes_are_kept_as_content_with_any_framing() {
        let body = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        for (length, sent) in [
            (BodyLength::Known(5), &b"hello"[..]),
            (BodyLength::Unknown, body),
        ] {
            for keep in [true, false] {
                let room = keep.then_some(5);
                let mut progress = Progress::of_request(length, room, 0);
                let (content, end) = pass_on(&mut progress, &mut holding(sent));
                assert_eq!((&content[..], end), (&b"hello"[..], Ok(Ready::End)));
                assert_eq!((progress.is_whole(), progress.is_at_end()), (keep, true));
                let kept: &[u8] = if keep { b"hello" } else { b"" };
                assert_eq!(progress.kept(), kept);
            }
        }
    }

    #[test]
    fn more_than_so_much_is_not_kept() {
        for (more, whole) in [(0, true), (1, false)] {
            const ROOM: usize = 10_000;
            let sent = vec![b'x'; ROOM + more];
            let length = BodyLength::Known(sent.len() as u64);
            let mut progress = Progress::of_request(length, Some(ROOM), 0);
            let (content, _) = pass_on(&mut progress, &mut holding(&sent));
            assert_eq!(content.len(), sent.len());
            let kept = if whole { ROOM } else { 0 };
            assert_eq!((progress.is_whole(), progress.kept().len()), (whole, kept));
        }
    }

    #[test]
    fn a_piece_is_there_until_it_is_passed_on_and_may_be_passed_on_in_parts() {
        let mut progress = Progress::of_request(BodyLength::Unknown, Some(10), 0);
        let (mut buffer, mut trailers) = (holding(b"5\r\nhello\r\n"), Fields::new());
        for _ in 0..2 {
            let ready = progress.ready(&mut buffer, LIMITS, &mut trailers);
            assert_eq!(ready, Ok(Ready::Content(5)));
        }
        progress.consume(&mut buffer, 2);
        assert_eq!(buffer.filled(), b"llo\r\n");
        let (content, end) = pass_on(&mut progress, &mut buffer);
        assert_eq!((&content[..], end), (&b"llo"[..], Ok(Ready::Nothing)));
        assert_eq!(progress.kept(), b"hello");
    }

    #[test]
    fn chunks_may_hold_as_much_as_the_limit_in_all() {
        for (most, end) in [(5, Ok(Ready::End)), (4, Err(TransferEnd::TooLarge))] {
            let mut progress = Progress::of_request(BodyLength::Unknown, None, most);
            let mut buffer = holding(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
            assert_eq!(pass_on(&mut progress, &mut buffer).1, end, "{most}");
        }
    }

    #[test]
    fn only_between_chunks_nothing_is_owed() {
        for (sent, owes) in [
            (&b""[..], false),
            (b"5\r\nhel", true),
            (b"5\r\nhello", true),
            (b"5\r\nhello\r\n", false),
            (b"5\r\nhello\r\n0\r\n", true),
            (b"5\r\nhello\r\n0\r\n\r\n", false),
        ] {
            let mut progress = Progress::of_response(Framing::Chunked);
            let (_, end) = pass_on(&mut progress, &mut holding(sent));
            assert!(end.is_ok());
            assert_eq!(progress.owes(), owes, "{sent:?}");
        }
        assert!(Progress::of_response(Framing::Length(1)).owes());
        assert!(!Progress::of_response(Framing::UntilClose).owes());
    }
}
