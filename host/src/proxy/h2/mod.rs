//! Clients that speak HTTP/2: their connections, their streams, and what limits them.

mod ends;
mod frames;
mod limits;
mod serve;
mod stream;
mod task;
mod wire;

pub(in crate::proxy) use ends::{Incoming, Outgoing};
pub(in crate::proxy) use serve::serve;
pub(in crate::proxy) use stream::Stream;
