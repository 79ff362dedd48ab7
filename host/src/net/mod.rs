//! Net: what carries bytes to clients and backends, and how long do reads and writes wait?
//!
//! [`Stream`] is the one enum over TCP, Unix sockets and TLS sessions over either; nothing above it
//! is generic. [`TimedIo`] reads and writes its halves under the coarse deadlines
//! of [`Timers`], into [`Buffer`]s that a worker lends. [`ConnectionInfo`] holds the facts about a
//! connection, which are known before it is admitted. Called by `proxy` and `upstream`. Never
//! parses HTTP, never knows a request, a route or a policy.

mod buffer;
mod info;
mod listen;
mod moved;
pub mod proxy_protocol;
mod socket;
mod stream;
mod timed;
mod timer;
pub mod tls;
mod unacknowledged;

pub use buffer::{Buffer, Buffers, SMALL};
pub use info::{ConnectionInfo, ShownPeer, TlsFacts};
pub use listen::{BACKLOG, Listener, StdListener, handed_in, is_of_one_connection};
pub use moved::Slowness;
pub use socket::Socket;
pub use stream::{ReadHalf, Stream, WriteHalf};
pub use timed::{IoEnd, TimedIo};
pub use timer::{SWEEP, Timer, Timers, Wait};

#[cfg(test)]
pub(crate) use stream::tests::pair;
