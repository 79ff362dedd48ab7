//! Standard output and error of a guest: lines in its log.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::lines::{Lines, Stream};

/// How much a guest may write or read in one call.
pub(super) const CHUNK: usize = 4096;

/// Standard output or error: all streams of one instance share it.
#[derive(Clone)]
pub(super) struct LogOutput {
    lines: Arc<Mutex<Lines>>,
    stream: Stream,
}

impl LogOutput {
    /// Standard output, into these lines.
    pub(super) fn output(lines: &Arc<Mutex<Lines>>) -> Self {
        Self::new(lines, Stream::Output)
    }

    /// Standard error, into these lines.
    pub(super) fn error(lines: &Arc<Mutex<Lines>>) -> Self {
        Self::new(lines, Stream::Error)
    }

    fn new(lines: &Arc<Mutex<Lines>>, stream: Stream) -> Self {
        Self {
            lines: Arc::clone(lines),
            stream,
        }
    }
}

impl IsTerminal for LogOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogOutput {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogOutput {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for LogOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}
