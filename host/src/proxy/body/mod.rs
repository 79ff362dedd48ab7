//! Bodies: where their pieces come from, where they go, and the one loop between them.
//!
//! A [`BodySource`] shows the available bytes of a body, and waits for more. A [`MessageSink`]
//! takes a head, pieces and trailers. Both are an enum over protocols, so that two protocols on
//! either side are two and two files and not two times two. `copy` moves one into the other;
//! [`Sliced`] cuts ranges in between,
//! [`Compressed`] compresses. [`Progress`] is the position in a request's body, and
//! outlives the attempts at sending it; [`Duplex`] holds what the two directions of an exchange
//! know about each other. Never knows a policy, a backend's health or a status that refuses.

mod compressed;
mod copy;
mod duplex;
mod h1;
mod h2;
mod h2_sink;
mod lines;
mod pace;
mod pieces;
mod progress;
mod reader;
mod sink;
mod sliced;
mod source;
mod upload;
mod waits;

pub(in crate::proxy) use compressed::{Compressed, Encode};
pub(in crate::proxy) use copy::{copy, join};
pub(in crate::proxy) use duplex::{Duplex, Sent, Stage};
#[cfg(test)]
use h1::H1Body;
pub(in crate::proxy) use h1::Reader;
pub(in crate::proxy) use h2::H2Reader;
pub(in crate::proxy) use h2_sink::H2Sink;
pub(in crate::proxy) use lines::ResponseLines;
pub(in crate::proxy) use pace::{Pace, SLOW};
pub(in crate::proxy) use pieces::{Pieces, Ready, TransferEnd};
pub(in crate::proxy) use progress::Progress;
pub(in crate::proxy) use reader::{BodyParts, MessageReader};
pub(in crate::proxy) use sink::MessageSink;
pub(in crate::proxy) use sliced::{Cut, Sliced};
pub(in crate::proxy) use source::BodySource;
pub(in crate::proxy) use upload::upload;
pub(in crate::proxy) use waits::Waits;

/// How long a backend may ignore an expectation before the proxy sends the client a 100 anyway.
/// Many clients wait no longer themselves.
pub(in crate::proxy) const SILENCE: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests;
