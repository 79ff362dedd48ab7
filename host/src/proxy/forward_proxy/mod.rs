//! A forward proxy: requests whose clients say where they go.
//!
//! A listener of `[forward]` reads heads as every other one does; then `Exchange::run_forward`
//! (`requests`) takes the place of routes and policies. It decides who the client is (`door`), what
//! the destination is (`destination`), whether it may be reached (`rules`, `address`) and by which
//! addresses (`look_up`). What was checked is an address, and that address is connected to. Then a
//! `CONNECT` becomes a tunnel (`connect`), and any other request goes through the same attempts as
//! one with a route, with the pool that was made for its destination.

mod address;
mod asked;
mod connect;
mod destination;
mod door;
mod look_up;
mod requests;
mod rules;
mod tunnels;

pub use self::look_up::{Found, LookUp, NotFound};
pub(super) use self::rules::ForwardRules;
pub use self::tunnels::OpenTunnels;
pub(super) use self::tunnels::TunnelPlace;
