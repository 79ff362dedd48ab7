//! Wire: what exactly do the bytes say?
//!
//! HTTP/1.1 as bytes (RFC 9112): heads parsed strictly, framing decided once, canonical messages
//! written. Called by `proxy` (downstream side) and `upstream` (upstream side); `policy` reads and
//! edits [`Fields`]. Never does I/O, never waits, never knows a route, a policy or a configuration.

mod arrival;
mod chunked;
mod early;
mod fields;
pub mod forwarded;
mod head;
pub mod names;
pub mod path;
mod refused;
mod request;
mod response;
pub mod syntax;
mod write;

pub use arrival::Arrival;
pub use chunked::{ChunkedDecoder, Decoded, write_chunk_size, write_last_chunk};
pub use early::may_come_before;
pub use fields::{Checkpoint, Edited, Fields};
pub use head::{Control, Framing, HeadLimits};
pub use refused::Malformed;
pub use request::{RequestHead, RequestMeta, Version};
pub use response::{ResponseHead, ResponseMeta};
pub use write::{
    write_expectation, write_name, write_number, write_request_head, write_response_end,
    write_status_line,
};

#[cfg(test)]
mod tests;
