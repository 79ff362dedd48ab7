//! The hooks: one trait each. A policy implements those that it wants and names them in
//! [`export!`](crate::export).

use crate::{
    Attempt, Backend, Destination, Headers, Outcome, Pool, PoolDecision, Request, Response,
    ResponseSource, Settings, Target,
};

/// The operator's settings, before any other hook.
///
/// A policy without this hook begins as its `Default`, and the host refuses settings for it.
pub trait Configure: Sized {
    /// The policy for these settings. An error refuses them: its sentence is shown to the operator,
    /// and nothing that runs changes.
    fn configure(settings: Settings) -> Result<Self, String>;
}

/// The backends, told when they change and never per request.
pub trait Topology {
    /// The list of this pool is now this one. Told of each pool before the first request, and again
    /// when its list changes.
    ///
    /// A backend's index in the list is its name everywhere else. [`Pools`](crate::Pools) keeps
    /// what you make of it.
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]);
}

/// Which backend takes a request.
pub trait Select {
    /// Asked for each attempt at a request: `attempt` says for which pool, the how manieth it is,
    /// and which backends failed.
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision;
}

/// Edits of a request's header fields.
pub trait EditRequest {
    /// Asked once for each request, before a backend is selected. `request` shows the edits as they
    /// are made. An error answers the client with this response.
    fn edit_request(&mut self, request: &Request, headers: &mut Headers) -> Result<(), Response>;
}

/// Edits of what the backend is asked for: path, query and host.
pub trait EditTarget {
    /// Called once for each request, where the route lets its policies edit something
    /// (`policies-may-edit`), after [`EditRequest`]. `request` goes on to show what the client has
    /// asked for, and the route stays. An error answers the client with this response.
    fn edit_target(&mut self, request: &Request, target: &mut Target) -> Result<(), Response>;
}

/// Which pool of the route takes a request.
pub trait Route {
    /// Called once for each request of a route with several pools, before a backend is selected.
    /// The choice holds for all attempts, and is followed even if the pool has no healthy backend,
    /// or a weight of 0.
    fn route(&mut self, request: &Request) -> PoolDecision;
}

/// Whether a client of the forward proxy may reach its destination, and by which way.
pub trait DecideDestination {
    /// Called once for each request and each tunnel, before a name is looked up, and no other hook
    /// is called for them. [`PoolDecision::Pool`] sends the request to a pool of `[forward]`. A
    /// policy can't allow what the rules of `[forward]` refuse.
    fn decide_destination(&mut self, request: &Request, destination: &Destination) -> PoolDecision;
}

/// Edits of a response's header fields.
pub trait EditResponse {
    /// Asked once for each response of a backend, whose `status` it is, and whose index in the pool
    /// `backend` is. An error replaces the response by this one.
    fn edit_response(
        &mut self,
        request: &Request,
        status: u16,
        backend: u32,
        headers: &mut Headers,
    ) -> Result<(), Response>;
}

/// Edits of the header fields of responses that no backend has made: refusals of the proxy, and
/// answers of policies.
pub trait EditLocalResponse {
    /// Called once for such a response, whose `status` the client gets, if the route is known. The
    /// response can't be replaced.
    fn edit_local_response(
        &mut self,
        request: &Request,
        status: u16,
        source: ResponseSource,
        headers: &mut Headers,
    );
}

/// What a range request asks for (RFC 9110 section 14).
pub trait CheckRange {
    /// Asked for GET and HEAD with a `Range` field, or a query that may hold a `range` parameter.
    fn check_range(&mut self, request: &Request) -> RangeVerdict;
}

/// What became of a request.
pub trait Completed {
    /// Called once for each request that another hook of the policy was asked about, after its end
    /// and beside other requests. Nothing waits for it. `request` is as the last hook has left it.
    fn completed(&mut self, request: &Request, outcome: &Outcome);
}

/// What [`Select`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// This backend of the pool takes the request. An index that the pool does not have is an
    /// invalid answer.
    Backend(u32),
    /// The next policy of the route chooses, and after the last the host: a random healthy backend
    /// that has not failed this request; if there is none, any that has not failed it; then any. It
    /// looks at neither weights nor labels, so it may well be one that your policy would never
    /// choose. If that must not be, answer the client instead.
    Pass,
    /// The client gets this response.
    Answer(Response),
}

impl From<u32> for Decision {
    #[inline]
    fn from(backend: u32) -> Self {
        Decision::Backend(backend)
    }
}

impl From<Option<u32>> for Decision {
    #[inline]
    fn from(backend: Option<u32>) -> Self {
        backend.map_or(Decision::Pass, Decision::Backend)
    }
}

impl From<Response> for Decision {
    #[inline]
    fn from(response: Response) -> Self {
        Decision::Answer(response)
    }
}

/// What [`CheckRange`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum RangeVerdict {
    /// Not about byte ranges: the request is forwarded as it is.
    Untouched,
    /// Byte ranges in a way that is to be ignored: the request is forwarded without them.
    Ignore,
    /// These, 64 at most.
    Ranges(Vec<ByteRange>),
    /// The client gets this response.
    Answer(Response),
}

/// One byte range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the second, both included.
    Between(u64, u64),
    /// From here to the end.
    From(u64),
    /// The final bytes, so many.
    Final(u64),
}
