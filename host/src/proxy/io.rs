//! Reading into buffers and writing out of them, with a time-out and a byte count.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::buffer::Buffer;
use super::presence::Presence;
use super::timer::{Timer, Timers, Wait};
use super::unacknowledged::unacknowledged;
use crate::config::HalfClose;
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
pub struct Limited<'a, Half> {
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

impl Limited<'_, ReadHalf<'_>> {
    /// Reads once into the buffer; 0 is the end.
    pub async fn read(&mut self, buffer: &mut Buffer) -> Result<usize, IoEnd> {
        let half = &mut self.half;
        let read = poll_fn(|cx| read(half, cx, buffer));
        let n = self
            .timers
            .limit(self.timer, self.wait, self.patience, read)
            .await;
        self.count(n)
    }

    /// Like [`Limited::read`], under a deadline that others arm.
    pub async fn read_watched(&mut self, buffer: &mut Buffer) -> Result<usize, IoEnd> {
        let half = &mut self.half;
        let read = poll_fn(|cx| read(half, cx, buffer));
        let n = self.timers.watch(self.timer, self.wait, read).await;
        self.count(n)
    }

    fn count(
        &self,
        read: Result<io::Result<usize>, super::timer::Elapsed>,
    ) -> Result<usize, IoEnd> {
        let n = read
            .map_err(|_| IoEnd::TimedOut)?
            .map_err(|_| IoEnd::Failed)?;
        self.bytes.add(n as u64);
        let read = &self.timer.moved.read;
        read.set(read.get().wrapping_add(n as u64));
        Ok(n)
    }
}

impl Limited<'_, WriteHalf<'_>> {
    /// Whether the client at the other end is still there.
    pub fn presence(&self, half_close: HalfClose, read_whole: bool) -> Presence<'_> {
        Presence {
            stream: self.half.as_ref(),
            timers: self.timers,
            timer: self.timer,
            half_close,
            read_whole,
        }
    }

    /// Writes all of it; the patience is for each piece that the socket takes.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), IoEnd> {
        while !bytes.is_empty() {
            let half = &mut self.half;
            let moved = &self.timer.moved;
            let mut since = None;
            let write = poll_fn(|cx| {
                let written = Pin::new(&mut *half).poll_write(cx, bytes);
                if written.is_pending() && matches!(self.wait, Wait::ClientWrite) {
                    since = since.or(Some(self.timers.now()));
                    if moved.asked.replace(false) {
                        moved.unsent.set(Some(unacknowledged(half.as_ref())));
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

    /// Like [`Limited::write_all`]; while the socket takes nothing, asks every so often whether it
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
            let write = poll_fn(|cx| Pin::new(&mut *half).poll_write(cx, bytes));
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

/// Reads what is there into the buffer.
pub(super) fn read(
    half: &mut ReadHalf<'_>,
    cx: &mut Context<'_>,
    buffer: &mut Buffer,
) -> Poll<io::Result<usize>> {
    let mut spare = ReadBuf::new(buffer.spare());
    ready!(Pin::new(half).poll_read(cx, &mut spare))?;
    let n = spare.filled().len();
    buffer.advance(n);
    Poll::Ready(Ok(n))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, other) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        (one.unwrap(), other.unwrap().0)
    }

    fn limited<'a, H>(
        half: H,
        timers: &'a Timers,
        timer: &'a Timer,
        wait: Wait,
        patience: Duration,
        bytes: &'a Counter,
    ) -> Limited<'a, H> {
        Limited {
            half,
            timers,
            timer,
            wait,
            patience,
            bytes,
        }
    }

    /// Runs the clock until the future ends.
    async fn by_the_clock<T>(timers: &Timers, future: impl Future<Output = T>) -> T {
        let sweep = async {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                timers.sweep();
            }
        };
        tokio::select! {
            output = future => output,
            () = sweep => unreachable!(),
        }
    }

    #[tokio::test]
    async fn what_moves_is_counted_for_the_worker_and_for_the_connection() {
        let (timers, bytes) = (Timers::new(), Counter::default());
        let timer = timers.register();
        let (mut theirs, mut ours) = pair().await;
        let (read, write) = ours.split();
        let mut write = limited(write, &timers, &timer, Wait::ClientWrite, LONG, &bytes);
        let mut out = b"hello".to_vec();
        write.flush(&mut out).await.unwrap();
        write.write_all(b"!!").await.unwrap();
        assert_eq!(
            (
                out.len(),
                bytes.value(),
                timer.moved.written.get(),
                timer.moved.read.get()
            ),
            (0, 7, 7, 0)
        );
        write.write_while(b"abc", |_| false).await.unwrap();
        assert_eq!(bytes.value(), 10, "this way goes to a backend");
        assert_eq!(timer.moved.written.get(), 7);
        theirs.write_all(b"four").await.unwrap();
        let (mut buffer, bytes) = (Buffer::default(), Counter::default());
        let mut read = limited(read, &timers, &timer, Wait::ClientRead, LONG, &bytes);
        let mut sum = 0;
        while sum < 3 {
            sum += read.read(&mut buffer).await.unwrap();
        }
        assert_eq!(
            (buffer.filled(), bytes.value(), timer.moved.read.get()),
            (&b"four"[..sum], sum as u64, sum as u64)
        );
        drop(theirs);
        while let Ok(1..) = read.read_watched(&mut buffer).await {}
        assert_eq!((bytes.value(), timer.moved.read.get()), (4, 4));
    }

    #[tokio::test]
    async fn a_wait_ends_with_its_time_whichever_way_it_is() {
        let (timers, bytes) = (Timers::new(), Counter::default());
        let timer = timers.register();
        let (_theirs, mut ours) = pair().await;
        let (read, write) = ours.split();
        let patience = Duration::from_millis(20);
        let mut read = limited(read, &timers, &timer, Wait::ClientRead, patience, &bytes);
        let mut buffer = Buffer::default();
        assert_eq!(
            by_the_clock(&timers, read.read(&mut buffer)).await,
            Err(IoEnd::TimedOut)
        );
        timers.arm(&timer, Wait::ClientRead, patience);
        assert_eq!(
            by_the_clock(&timers, read.read_watched(&mut buffer)).await,
            Err(IoEnd::TimedOut)
        );
        let much = vec![0; 64 * 1024 * 1024];
        let mut write = limited(
            write,
            &timers,
            &timer,
            Wait::UpstreamWrite,
            patience,
            &bytes,
        );
        assert_eq!(
            by_the_clock(&timers, write.write_all(&much)).await,
            Err(IoEnd::TimedOut)
        );
        assert_eq!(
            by_the_clock(&timers, write.write_while(&much, |_| true)).await,
            Err(IoEnd::TimedOut)
        );
        write.patience = LONG;
        let waited = std::cell::Cell::new(Duration::ZERO);
        let go_on = |so_far| {
            waited.set(so_far);
            so_far < 2 * LOOK
        };
        assert_eq!(
            by_the_clock(&timers, write.write_while(&much, go_on)).await,
            Err(IoEnd::Failed)
        );
        assert_eq!(
            waited.get(),
            2 * LOOK,
            "asked after each look, with all that was waited so far"
        );
    }

    /// What a client has acknowledged is noted by the write that waits, if it was asked for, and
    /// never of a backend.
    #[tokio::test]
    async fn a_write_that_waits_for_a_client_notes_what_is_unacknowledged_when_it_is_asked() {
        for (wait, asked, noted) in [
            (Wait::ClientWrite, true, true),
            (Wait::ClientWrite, false, false),
            (Wait::UpstreamWrite, true, false),
        ] {
            let (timers, bytes) = (Timers::new(), Counter::default());
            let timer = timers.register();
            let (_theirs, mut ours) = pair().await;
            let mut write = limited(
                ours.split().1,
                &timers,
                &timer,
                wait,
                Duration::from_millis(20),
                &bytes,
            );
            timer.moved.asked.set(asked);
            let much = vec![0; 64 * 1024 * 1024];
            assert_eq!(
                by_the_clock(&timers, write.write_all(&much)).await,
                Err(IoEnd::TimedOut)
            );
            let unsent = timer.moved.unsent.get();
            assert_eq!(
                unsent.is_some_and(|n| n > 0),
                noted && cfg!(target_os = "linux"),
                "{wait:?} {asked}: {unsent:?}"
            );
            assert_eq!(timer.moved.asked.get(), asked && !noted);
            assert_eq!(timer.moved.written.get(), bytes.value());
        }
    }
}
