//! HTTP/2 on both sides: clients' connections, their streams and what limits them; and the streams
//! to backends.

mod backend;
mod directions;
mod ends;
mod heads;
mod limits;
mod open;
mod serve;
mod stream;
mod task;
mod windows;
mod wire;

pub(in crate::proxy) use backend::BackendStream;
pub(in crate::proxy) use ends::{Incoming, Outgoing};
pub(in crate::proxy) use heads::WorkerHeads;
pub(in crate::proxy) use serve::serve;
pub(in crate::proxy) use stream::{Ends, Stream};
