//! HTTP/1.1: what exactly do the bytes say?
//!
//! The codec of RFC 9112: lines parsed strictly, framing decided once, canonical messages written.
//! `proxy` reads and writes with it on both of its sides. The heads themselves, and the rules that
//! other versions of HTTP share, are `message`'s. Never does I/O, never waits, never knows a route,
//! a policy, a configuration or the client's address.

mod arrival;
mod chunked;
mod head;
mod request;
mod response;
mod to_proxy;
mod write;

pub use crate::message::HeadLimits;
pub use arrival::Arrival;
pub use chunked::{ChunkedDecoder, Decoded, write_chunk_size, write_last_chunk};
pub use head::{Control, Framing};
pub use request::{RequestMeta, parse_request};
pub use response::{ResponseMeta, parse_response};
pub use to_proxy::to_proxy;
pub use write::{
    write_expectation, write_name, write_number, write_request_head, write_response_end,
    write_status_line,
};

#[cfg(test)]
mod tests;
