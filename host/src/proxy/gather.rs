//! The beginning of a body by HTTP/1.1, which is waited for before the request takes a connection.

use std::time::Duration;

use super::connection::Connection;
use super::halves::client_read;
use super::settings::Settings;
use crate::h1::{ChunkedDecoder, Decoded, HeadLimits};
use crate::message::{BodyLength, Fields};
use crate::net::{IoEnd, SMALL, Wait};

/// How much of a body has arrived.
enum Arrived {
    /// There will be this many bytes.
    Length(u64),
    /// Chunks, of which this many bytes were read.
    Chunked(ChunkedDecoder, usize),
}

impl Connection {
    /// Waits so long for the beginning of a body of this length. Returns whether it came in time.
    pub(super) async fn gather(
        &mut self,
        settings: &Settings,
        length: BodyLength,
        patience: Duration,
    ) -> bool {
        let Self {
            worker,
            stream,
            timer,
            input,
            ..
        } = self;
        let mut arrived = Arrived::nothing(length);
        let mut client = client_read(worker, &settings.timeouts, timer, stream.split().0);
        worker.timers.arm(timer, Wait::ClientRead, patience);
        let mut in_time = true;
        while !arrived.is_enough(input.filled(), settings.head_limits) {
            match client.read_watched(input).await {
                Ok(n) if n > 0 => {}
                Err(IoEnd::TimedOut) => {
                    in_time = false;
                    break;
                }
                // The upload will come to the same end.
                Ok(_) | Err(IoEnd::Failed) => break,
            }
        }
        timer.disarm(Wait::ClientRead);
        in_time
    }
}

impl Arrived {
    fn nothing(length: BodyLength) -> Self {
        match length {
            BodyLength::Known(n) => Self::Length(n),
            _ => Self::Chunked(ChunkedDecoder::default(), 0),
        }
    }

    /// Whether all of the body is there, or as much as is waited for, or what can't be a body.
    fn is_enough(&mut self, input: &[u8], limits: HeadLimits) -> bool {
        match self {
            _ if input.len() >= SMALL => true,
            Self::Length(n) => input.len() as u64 >= *n,
            Self::Chunked(decoder, seen) => loop {
                // Trailers are read again when they are sent on.
                match decoder.decode(&input[*seen..], limits, &mut Fields::new()) {
                    Ok(Decoded::Data { skip, data }) => {
                        *seen += skip + data;
                        if data == 0 {
                            return false;
                        }
                    }
                    Ok(Decoded::End(_)) | Err(_) => return true,
                }
            },
        }
    }
}
