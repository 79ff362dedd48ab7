//! HTTP/2: what do the heads of its streams say?
//!
//! Frames, HPACK and flow control are the engine's (the crate of this name). Here its heads become
//! those of `message`, by the same rules as in HTTP/1.1, and ours become its. The frames of a
//! connection are looked at on their way to the engine and from it ([`Inbound`], [`Frames`]): what
//! it does not show is noted in [`Traffic`]. `proxy` and `upstream` read and write with it. Never
//! does I/O, never waits, never knows a route, a policy, a configuration or the client's address.

mod account;
mod backend;
mod fields;
mod frames;
mod inbound;
mod pseudo;
mod request;
mod response;
mod to_proxy;
mod traffic;

pub use account::Account;
pub use backend::{RequestExtras, ResponseFacts, is_bodiless, read_response, request};
pub use fields::{read_trailers, trailers};
pub use frames::{
    CONTINUATION, DATA, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PADDED, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};
pub use inbound::Inbound;
pub use request::{Arrived, read_request};
pub use response::{ResponseExtras, answer, interim, response};
pub use to_proxy::KeptToProxy;
pub use traffic::{ANSWER, Traffic, is_refusal, is_reset_for_an_error};
