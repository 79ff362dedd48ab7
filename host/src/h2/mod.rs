//! HTTP/2: what do the heads of its streams say?
//!
//! Frames, HPACK and flow control are the engine's (the crate of this name). Here its heads become
//! those of `message`, by the same rules as in HTTP/1.1, and ours become its. `proxy` reads and
//! writes with it. Never does I/O, never waits, never knows a route, a policy, a configuration or
//! the client's address.

mod backend;
mod fields;
mod request;
mod response;

pub use backend::{RequestExtras, ResponseFacts, is_bodiless, read_response, request};
pub use fields::{read_trailers, trailers};
pub use request::{Arrived, read_request};
pub use response::{ResponseExtras, answer, interim, response};
