//! Standard output and error of a guest: lines in its log.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::lines::Lines;

/// How much a guest may write or read in one call, and the longest line that is kept together.
pub(super) const CHUNK: usize = 4096;

/// Standard output or error: all streams of one instance share it.
#[derive(Clone)]
pub(super) struct LogOutput {
    pending: Arc<Mutex<Pending>>,
}

struct Pending {
    lines: Arc<Mutex<Lines>>,
    level: Level,
    line: Vec<u8>,
}

impl LogOutput {
    /// Standard output, into these lines.
    pub(super) fn output(lines: &Arc<Mutex<Lines>>) -> Self {
        Self::new(lines, Level::INFO)
    }

    /// Standard error, into these lines.
    pub(super) fn error(lines: &Arc<Mutex<Lines>>) -> Self {
        Self::new(lines, Level::WARN)
    }

    fn new(lines: &Arc<Mutex<Lines>>, level: Level) -> Self {
        Self {
            pending: Arc::new(Mutex::new(Pending {
                lines: Arc::clone(lines),
                level,
                line: Vec::new(),
            })),
        }
    }
}

impl Pending {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") || self.line.len() >= CHUNK {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        let text = text.trim_end_matches(['\r', '\n']);
        if !text.is_empty() {
            self.lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .print(self.level, text);
        }
        self.line.clear();
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
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}
