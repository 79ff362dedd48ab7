//! Does a policy do what it should? A host for tests, on any machine and without WebAssembly.
//!
//! The test gives what a policy sees: pools and how their backends are, requests, random draws and
//! the time. Then it calls hooks and looks at what they answer, count, log and store. Whatever the
//! contract bounds is bounded here as well: a field that the host owns can't be written, and an
//! answer that the host would refuse ends the test.
//!
//! ```
//! use waypost_policy::{prelude::*, testing::{self, Host}};
//!
//! #[derive(Default)]
//! struct LeastInFlight {
//!     sizes: Pools<u32>,
//! }
//!
//! impl Topology for LeastInFlight {
//!     fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
//!         self.sizes.keep(pool.id, backends.len() as u32);
//!     }
//! }
//!
//! impl Select for LeastInFlight {
//!     fn select(&mut self, _request: &Request, attempt: &Attempt) -> Decision {
//!         let size = self.sizes.at(attempt.pool).copied().unwrap_or(0);
//!         (0..size).filter(|n| attempt.is_usable(*n)).min_by_key(|n| facts::in_flight(*n)).into()
//!     }
//! }
//!
//! waypost_policy::export!(LeastInFlight: Topology, Select);
//!
//! let host = Host::new();
//! let pool = host.pool("web", [Backend::new("10.0.0.1:80"), Backend::new("10.0.0.2:80")]);
//! let mut policy = host.load::<LeastInFlight>("{}").unwrap();
//!
//! pool.set_in_flight(0, 7);
//! assert_eq!(policy.select(&testing::get("/")), Decision::Backend(1));
//! assert_eq!(policy.retry(&testing::get("/"), [1]), Decision::Backend(0));
//! pool.set_healthy(0, false);
//! assert_eq!(policy.retry(&testing::get("/"), [1]), Decision::Pass);
//! ```

#![allow(clippy::panic, reason = "a test ends by a panic")]

#[doc(hidden)]
pub mod contract;
mod fields;
mod host;
mod message;
mod policy;
mod state;
mod store;
mod table;
mod target;
mod ways;

pub use self::{
    host::{Host, TestPool},
    message::{TestCertificate, TestRequest, TestResponse, certificate, get, request, response},
    policy::{Exported, TestPolicy},
    target::{Part, TestTarget, target},
};

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For who looks for a mistake.
    Debug,
    /// For who wants to know.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something does not work.
    Error,
}
