//! Reading into buffers and writing out of them, with a time-out and a byte count.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use super::timer::Elapsed;
use super::{Buffer, Buffers, ReadHalf, Timer, Timers, Wait, WriteHalf};
use crate::stats::Counter;

/// How often a write that waits is thought over.
const LOOK: Duration = Duration::from_secs(1);

/// Why bytes did not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoEnd {
    /// The time was up.
    TimedOut,
    /// The connection failed; how does not matter to anyone.
    Failed,
}

/// One direction of a connection together with what limits and counts it.
#[derive(Debug)]
pub struct TimedIo<'a, Half> {
    /// The half of the socket.
    pub half: Half,
    /// The worker's clock.
    pub timers: &'a Timers,
    /// The connection's deadlines.
    pub timer: &'a Timer,
    /// Which deadline.
    pub wait: Wait,
    /// How long a wait may take.
    pub patience: Duration,
    /// Counts the bytes.
    pub bytes: &'a Counter,
}

impl TimedIo<'_, ReadHalf<'_>> {
    /// Reads once into the buffer; 0 is the end.
    pub async fn read(&mut self, buffer: &mut Buffer) -> Result<usize, IoEnd> {
        let half = &mut self.half;
        let read = poll_fn(|cx| half.poll_read(cx, buffer));
        let n = self
            .timers
            .limit(self.timer, self.wait, self.patience, read)
            .await;
        self.count(n)
    }

    /// Like [`TimedIo::read`], under a deadline that others arm.
    pub async fn read_watched(&mut self, buffer: &mut Buffer) -> Result<usize, IoEnd> {
        let half = &mut self.half;
        let read = poll_fn(|cx| half.poll_read(cx, buffer));
        let n = self.timers.watch(self.timer, self.wait, read).await;
        self.count(n)
    }

    /// Like [`TimedIo::read_watched`], and borrows the buffer once there is something to read.
    pub async fn read_first(
        &mut self,
        buffer: &mut Buffer,
        buffers: &Buffers,
    ) -> Result<usize, IoEnd> {
        let half = &mut self.half;
        let read = poll_fn(|cx| half.poll_first(cx, buffer, buffers));
        let n = self.timers.watch(self.timer, self.wait, read).await;
        self.count(n)
    }

    fn count(&self, read: Result<io::Result<usize>, Elapsed>) -> Result<usize, IoEnd> {
        let n = read
            .map_err(|_| IoEnd::TimedOut)?
            .map_err(|_| IoEnd::Failed)?;
        self.bytes.add(n as u64);
        let read = &self.timer.moved.read;
        read.set(read.get().wrapping_add(n as u64));
        Ok(n)
    }
}

impl TimedIo<'_, WriteHalf<'_>> {
    /// Writes all of it; the patience is for each piece that the socket takes.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), IoEnd> {
        while !bytes.is_empty() {
            let half = &mut self.half;
            let moved = &self.timer.moved;
            let mut since = None;
            let write = poll_fn(|cx| {
                let written = half.poll_write(cx, bytes);
                if written.is_pending() && matches!(self.wait, Wait::ClientWrite) {
                    since = since.or(Some(self.timers.now()));
                    if moved.asked.replace(false) {
                        moved.unsent.set(Some(half.socket().unacknowledged()));
                    }
                }
                written
            });
            let written = self
                .timers
                .limit(self.timer, self.wait, self.patience, write)
                .await;
            if let Some(since) = since {
                moved
                    .waited
                    .set(moved.waited.get() + self.timers.now().saturating_sub(since));
            }
            let n = written
                .map_err(|_| IoEnd::TimedOut)?
                .map_err(|_| IoEnd::Failed)?;
            if n == 0 {
                return Err(IoEnd::Failed);
            }
            self.bytes.add(n as u64);
            moved
                .written
                .set(moved.written.get().wrapping_add(n as u64));
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Like [`TimedIo::write_all`]; while the socket takes nothing, asks every so often whether it
    /// is to `go_on`.
    pub async fn write_while(
        &mut self,
        mut bytes: &[u8],
        go_on: impl Fn(Duration) -> bool,
    ) -> Result<(), IoEnd> {
        let mut waited = Duration::ZERO;
        while !bytes.is_empty() {
            let piece = self.patience.saturating_sub(waited).min(LOOK);
            let half = &mut self.half;
            let write = poll_fn(|cx| half.poll_write(cx, bytes));
            match self.timers.limit(self.timer, self.wait, piece, write).await {
                Ok(Ok(n)) if n > 0 => {
                    self.bytes.add(n as u64);
                    (bytes, waited) = (&bytes[n..], Duration::ZERO);
                }
                Ok(_) => return Err(IoEnd::Failed),
                Err(_) => {
                    waited += piece;
                    if waited >= self.patience {
                        return Err(IoEnd::TimedOut);
                    }
                    if !go_on(waited) {
                        return Err(IoEnd::Failed);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes all of `out` and empties it.
    pub async fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), IoEnd> {
        let written = self.write_all(out).await;
        out.clear();
        written
    }
}

#[cfg(test)]
mod tests;
