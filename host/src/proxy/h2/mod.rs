//! Clients that speak HTTP/2: their connections, their streams, and what limits them.

mod ends;
mod stream;

pub(in crate::proxy) use ends::{Incoming, Outgoing};
pub(in crate::proxy) use stream::{Session, Stream};
