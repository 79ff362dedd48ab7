//! Whether the client is still there while its backend is waited for.
//!
//! An answer that comes at once costs no system call, no registration and no wake-up. Only a wait
//! that lasts for [`LOOK`] has the client's socket watched, and from then on the end of the
//! client's side wakes it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use super::h2::Outgoing;
use crate::config::HalfClose;
use crate::net::{Slowness, Socket, Timer, Timers, Wait};

/// How long a backend is waited for before the client is watched.
const LOOK: Duration = Duration::from_millis(50);

/// This many unread bytes may fill the kernel's receive buffer. Then the end of the client's side
/// does not arrive: it waits behind the bytes that the client's kernel still has to send.
const HIDING: u64 = 32 * 1024;
/// How long a backend is waited for, beyond that, before the kernel gets more room for what hides
/// the client's end.
const WIDEN: Duration = Duration::from_secs(1);
/// As much as most systems let a process ask for.
const WIDE: usize = 208 * 1024;
/// The most connections of a worker with a larger receive buffer at a time.
const MOST_WIDE: usize = 64;

/// What shows whether a client is there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Watched<'a> {
    /// Its socket.
    Socket(Socket<'a>),
    /// Its stream on a connection of HTTP/2.
    Stream(&'a Outgoing),
}

impl Watched<'_> {
    /// Waits until the client has left.
    async fn left(self, half_close: HalfClose) {
        match self {
            Self::Socket(socket) => socket.left(half_close).await,
            Self::Stream(stream) => poll_fn(|cx| stream.poll_left(cx)).await,
        }
    }

    /// Bytes that may hide its end. What arrives on a connection of HTTP/2 is always read.
    fn unread(self) -> u64 {
        match self {
            Self::Socket(socket) => socket.unread(),
            Self::Stream(_) => 0,
        }
    }

    fn make_room(self, bytes: usize) {
        if let Self::Socket(socket) = self {
            socket.make_room(bytes);
        }
    }
}

/// A client that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence<'a> {
    /// What shows whether it is there.
    pub client: Watched<'a>,
    /// The worker's clock.
    pub timers: &'a Timers,
    /// The connection's deadlines.
    pub timer: &'a Timer,
    /// Whether a client that has ended its side is still there.
    pub half_close: HalfClose,
    /// Whether all of the request was read: what else comes is the next one.
    pub read_whole: bool,
}

impl Presence<'_> {
    /// Waits for `future`; `None` if the client leaves first.
    #[inline]
    pub(super) async fn during<T>(self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        match self.soon(future.as_mut()).await {
            None => self.watched(future).await,
            soon => soon,
        }
    }

    /// Waits for so long that the client need not be watched.
    #[inline]
    async fn soon<T>(self, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        // Most waits end at once, and then nothing is armed.
        let mut armed = false;
        let soon = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if !armed {
                armed = true;
                self.timers.arm(self.timer, Wait::Presence, LOOK);
            } else if self.timers.is_due(self.timer, Wait::Presence) {
                return Poll::Ready(None);
            }
            self.timer.remember(cx.waker());
            Poll::Pending
        })
        .await;
        if armed {
            self.timer.disarm(Wait::Presence);
        }
        soon
    }

    /// Waits on while the client is watched.
    async fn watched<T>(self, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut left = pin!(self.client.left(self.half_close));
        self.timers.arm(self.timer, Wait::Presence, WIDEN);
        let mut widened = false;
        let there = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            let due = self.timers.is_due(self.timer, Wait::Presence);
            if left.as_mut().poll(cx).is_ready()
                || (due && self.timer.moved.broken_off.get() == Some(Slowness::Hides))
            {
                return Poll::Ready(None);
            }
            if due && !widened {
                widened = true;
                self.timer.watch(Wait::Presence);
                self.widen();
            }
            self.look_behind();
            self.timer.remember(cx.waker());
            Poll::Pending
        })
        .await;
        self.timer.disarm(Wait::Presence);
        there
    }

    /// Notes, if it was asked for, whether the client's end may be hidden.
    fn look_behind(self) {
        let moved = &self.timer.moved;
        // Where clients may end their side early, that end is not watched.
        if self.half_close == HalfClose::Abort && moved.asked.replace(false) {
            moved.hidden.set(self.may_hide());
        }
    }

    fn may_hide(self) -> bool {
        self.client.unread() >= HIDING
    }

    /// Gives the kernel room for some hundred kilobytes that the client has sent of its next
    /// requests, so that its end arrives if it is behind them. Not for uploads: a room of this size
    /// does not grow any more, as that of a fast upload should.
    #[cold]
    fn widen(self) {
        if self.half_close == HalfClose::Abort
            && self.read_whole
            && self.timers.wide.get() < MOST_WIDE
            && !self.timer.moved.wide.get()
            && self.may_hide()
        {
            self.timer.moved.wide.set(true);
            self.timers.wide.set(self.timers.wide.get() + 1);
            self.client.make_room(WIDE);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::net::{Stream, pair};

    /// A connection whose client has sent this many unread bytes.
    async fn behind(bytes: usize) -> (TcpStream, Stream) {
        let (client, ours) = pair().await;
        let mut sent = 0;
        while sent < bytes {
            client.writable().await.unwrap();
            sent += client.try_write(&vec![0; bytes - sent]).unwrap_or(0);
        }
        while ours.socket().unread() < bytes as u64 {
            tokio::task::yield_now().await;
        }
        (client, ours)
    }

    /// The room of each is the kernel's memory, so it is counted, bounded, and given where it is of
    /// use alone.
    #[tokio::test]
    async fn only_a_hidden_end_of_a_whole_request_gets_more_room_and_only_a_bounded_number_do() {
        let hiding = usize::try_from(HIDING).unwrap();
        for (half_close, read_whole, unread, wide_already, is_widened) in [
            (HalfClose::Abort, true, hiding, 0, true),
            (HalfClose::Abort, true, hiding, MOST_WIDE - 1, true),
            (HalfClose::Abort, true, hiding, MOST_WIDE, false),
            (HalfClose::Abort, true, hiding - 1, 0, false),
            (HalfClose::Abort, false, hiding, 0, false),
            (HalfClose::Allow, true, hiding, 0, false),
        ] {
            let (_client, stream) = behind(unread).await;
            let timers = Timers::new();
            let timer = timers.register();
            timers.wide.set(wide_already);
            let presence = Presence {
                client: Watched::Socket(stream.socket()),
                timers: &timers,
                timer: &timer,
                half_close,
                read_whole,
            };
            // The second time there is nothing to do.
            for _ in 0..2 {
                presence.widen();
                let counted = (timer.moved.wide.get(), timers.wide.get());
                let expected = (is_widened, wide_already + usize::from(is_widened));
                assert_eq!(
                    counted, expected,
                    "{half_close:?} {read_whole} {unread} {wide_already}"
                );
            }
        }
    }

    #[tokio::test]
    async fn whether_the_end_is_hidden_is_looked_at_once_for_each_time_that_it_is_asked() {
        let (_client, stream) = behind(usize::try_from(HIDING).unwrap()).await;
        let (_other, quiet) = behind(1).await;
        for (stream, half_close, hidden) in [
            (&stream, HalfClose::Abort, true),
            (&stream, HalfClose::Allow, false),
            (&quiet, HalfClose::Abort, false),
        ] {
            let timers = Timers::new();
            let timer = timers.register();
            let presence = Presence {
                client: Watched::Socket(stream.socket()),
                timers: &timers,
                timer: &timer,
                half_close,
                read_whole: true,
            };
            presence.look_behind();
            assert!(!timer.moved.hidden.get(), "nobody has asked");
            timer.ask();
            presence.look_behind();
            assert_eq!(timer.moved.hidden.get(), hidden);
            timer.moved.hidden.set(false);
            presence.look_behind();
            assert!(!timer.moved.hidden.get(), "it was answered");
        }
    }
}
