//! Proxy: the life of one request.
//!
//! Read straight down: `accept` takes a connection in, `serve` reads a head, `exchange` has it
//! routed, normalised (`forwarding`), decided (by [`crate::decision`], with what `context` gives
//! it) and sent to a backend (`lease`, `forward`), and brings the answer back (`interim`,
//! `download`, `slice`); bodies go through `body`. `end` lists how that may end, `blame` what it
//! means for the backend, and `attempted` what it means for the request. `presence` notices a
//! client that leaves while the proxy waits for its backend; `linger` ends a connection whose
//! client is still sending; `slow` cuts off clients that keep limited connections from others.
//! Policies hear what became of a request after its end (`run`, `completion`). After a 101,
//! `tunnel` moves the bytes of both connections; `switched` is what it takes over. Connections that
//! carry no requests become tunnels at once (`passed_on`). `refusal` is the
//! only place where an error becomes a status; `answer` sends responses that are not a backend's,
//! as `reply` writes them. A [`Worker`] holds what the connections of one thread share; `app` makes
//! them. Never names wasmtime, and never asks a policy itself.

mod accept;
mod admission;
mod answer;
mod arrival;
mod attempt;
mod attempted;
mod attempts;
mod beside;
mod blame;
mod body;
mod boxed;
mod buffering;
mod by_stream;
mod call;
mod challenges;
mod client;
mod completion;
mod completions;
mod compress;
mod conditions;
mod connection;
mod context;
mod declared;
mod download;
mod edits;
mod end;
mod entry;
mod exchange;
mod forward;
mod forward_proxy;
mod forwarding;
mod gather;
mod h2;
mod halves;
mod hedge;
mod hops;
mod interim;
mod late;
mod layer4;
mod lease;
mod linger;
mod listening;
mod location;
mod marking;
mod marks;
mod mirror;
mod mirrored;
mod of_route;
mod partial;
mod passage;
mod passed_on;
mod presence;
mod redirect;
mod refusal;
mod refuse;
mod reply;
mod retried;
mod routing;
mod run;
mod runner;
mod sampled;
mod scratch;
mod second;
mod serve;
mod settings;
mod shares;
mod slice;
mod slow;
mod snapshot;
mod spans;
mod spares;
mod switched;
mod tap;
mod target;
mod terms;
mod tries;
mod tunnel;
mod under_way;
mod upward;
mod verdict;
mod worker;

pub use accept::{Entries, Handed, accept, accept_rest, hand_in};
pub use admission::Admission;
pub use challenges::HttpChallenges;
pub use entry::{Entry, GRACE};
pub use forward_proxy::{Found, LookUp, NotFound, OpenTunnels};
pub use forwarding::Forwarding;
pub use linger::MOST_TURNED_AWAY;
pub use listening::{Listening, Sockets};
pub use reply::PAGE_FIELDS;
pub use settings::Settings;
pub use snapshot::{Equipment, Snapshot, WorkerSnapshot};
pub use worker::{Shared, StatsPage, Worker};
