//! The flag in front of each message that says whether it is compressed; tonic does not show it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Of the messages of one direction of a call, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(Arc<Mutex<Vec<bool>>>);

impl Flags {
    pub(crate) fn all(&self) -> Vec<bool> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn push(&self, flag: bool) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(flag);
    }
}

/// A body that reads along.
pub(crate) struct Flagged {
    body: Body,
    flags: Flags,
    /// Of the next message: its flag and length, as far as they have come.
    prefix: Vec<u8>,
    /// Bytes of the current message that are still to come.
    left: usize,
}

impl Flagged {
    pub(crate) fn body(body: Body, flags: Flags) -> Body {
        Body::new(Flagged {
            body,
            flags,
            prefix: Vec::new(),
            left: 0,
        })
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            let taken = (5 - self.prefix.len()).min(bytes.len());
            self.prefix.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [flag, a, b, c, d] = self.prefix[..] {
                self.flags.push(flag == 1);
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                self.prefix.clear();
            }
        }
    }
}

impl http_body::Body for Flagged {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            self.read(bytes);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
