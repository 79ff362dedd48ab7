//! Message: which rules hold for requests and responses of every protocol version?
//!
//! Heads as policies and backends see them, their fields, the rules of syntax that hold in every
//! version of HTTP (RFC 9110), and the one table of names that mean something to the proxy. `h1`
//! reads and writes such heads, `proxy` fills in what only the connection knows, `policy` reads and
//! edits [`Fields`]. Never does I/O, never frames a body, never imports another room.

mod crossing;
mod early;
mod facts;
mod fields;
pub mod forwarded;
pub mod grpc;
mod lengths;
pub mod names;
pub mod path;
mod protocol;
mod refused;
mod request;
mod response;
mod sent_target;
mod session;
pub mod syntax;
mod to_proxy;
pub mod trace_context;
mod trailers;
mod upgrade;
pub mod websocket;

pub use crossing::{Keep, Notes, Side};
pub use early::may_come_before;
pub use facts::{BodyLength, RequestFacts};
pub use fields::{Checkpoint, Draft, Edited, Fields, capitalise};
pub use lengths::{HeadLimits, read_length};
pub use protocol::{Scheme, Version};
pub use refused::Malformed;
pub use request::{ByRoute, RequestHead, take_authority};
pub use response::ResponseHead;
pub use session::{ClientCertificate, SubjectName, TlsSession, TlsVersion};
pub use to_proxy::{TargetForm, ToProxy};
pub use trace_context::TraceContext;
pub use trailers::{announce, may_trail};
pub use upgrade::Upgrade;
