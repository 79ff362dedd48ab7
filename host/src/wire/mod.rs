//! Wire: what exactly do the bytes say?
//!
//! HTTP/1.1 as bytes (RFC 9112): heads parsed strictly, framing decided once, canonical messages written.
//! Called by `proxy` (downstream side) and `upstream` (upstream side); `policy` reads and edits [`Fields`].
//! Never does I/O, never waits, never knows a route, a policy or a configuration.

mod fields;
mod request;

pub use fields::{Checkpoint, Fields};
pub use request::{RequestHead, Version};
