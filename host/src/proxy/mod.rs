//! Proxy: the life of one request.
//!
//! Read straight down: `accept` takes a connection in, `serve` reads a head, `exchange` has
//! it routed, normalised (`forwarding`), decided (by [`crate::decision`], with what `context`
//! gives it) and sent to a backend (`lease`, `forward`), and brings the answer back (`interim`,
//! `download`, `slice`); bodies go through `body`. `end` is how that may end, `blame` what it says
//! of the backend, and `attempted` what it means for the request. `presence` notices a client that
//! leaves while its backend is waited for; `linger` ends a connection whose client is sending
//! still; `slow` breaks off what keeps limited connections from others. `refusal` is the one place
//! where what went wrong becomes a status; `answer` sends what is not a backend's, as `reply`
//! writes it. A [`Worker`] is what the connections of one thread share; `app` makes them. Never
//! names wasmtime, and never asks a policy itself.

mod accept;
mod answer;
mod attempted;
mod blame;
mod body;
mod connection;
mod context;
mod download;
mod end;
mod exchange;
mod forward;
mod forwarding;
mod halves;
mod hops;
mod interim;
mod lease;
mod linger;
mod partial;
mod presence;
mod refusal;
mod reply;
mod routing;
mod scratch;
mod serve;
mod settings;
mod slice;
mod slow;
mod snapshot;
mod worker;

pub use accept::{Admission, accept, accept_rest, hand_in};
pub use linger::MOST_TURNED_AWAY;
pub use reply::PAGE_FIELDS;
pub use settings::Settings;
pub use snapshot::{Snapshot, WorkerSnapshot};
pub use worker::{Shared, StatsPage, Worker};
