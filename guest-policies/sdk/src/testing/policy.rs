//! A policy under test: its hooks, called as the host would.

use std::{cell::RefCell, fmt, rc::Rc};

use super::{
    TestRequest, TestResponse, TestTarget,
    contract::types,
    fields::{Budget, check_name, check_value},
    state::{State, Turn, with},
};
use crate::{
    Attempt, Backend, ByteRange, CheckRange, Completed, Decision, EditRequest, EditResponse,
    FailedAttempt, Failure, Headers, Outcome, Pool, RangeVerdict, Request, Response, Select,
    Settings, export::past,
};

const MAX_RESPONSE_FIELDS: usize = 64;
const MAX_RESPONSE_BODY: usize = 64 * 1024;
const MAX_RANGES: usize = 64;

/// What [`export!`](crate::export) tells about a policy.
pub trait Exported: Sized {
    /// The hooks that it names.
    const HOOKS: &'static [&'static str];

    /// The policy for these settings.
    fn start(settings: Settings) -> Result<Self, String>;

    /// The list of this pool is now this one.
    fn backends_changed(&mut self, _pool: &Pool, _backends: &[Backend]) {}
}

/// An instance of a policy. A hook can be called if [`export!`](crate::export) names it.
pub struct TestPolicy<P> {
    pub(super) policy: P,
    pub(super) state: Rc<RefCell<State>>,
}

impl<P: Exported> TestPolicy<P> {
    /// The backend for the first attempt at a request.
    pub fn select(&mut self, request: &TestRequest) -> Decision
    where
        P: Select,
    {
        self.retry(request, [] as [FailedAttempt; 0])
    }

    /// The backend for one more attempt after these failed: indices, alone or with the [`Failure`].
    pub fn retry<F: Into<FailedAttempt>>(
        &mut self,
        request: &TestRequest,
        failed: impl IntoIterator<Item = F>,
    ) -> Decision
    where
        P: Select,
    {
        exported::<P>("Select");
        let failed: Vec<FailedAttempt> = failed.into_iter().map(Into::into).collect();
        let (pool, number) = (request.incoming.pool, failed.len() as u32 + 1);
        self.begin(request, None, failed);
        let decision = with(&self.state, || {
            self.policy.select(
                &Request::of(&types::Request),
                &Attempt::of(pool, number, &past()),
            )
        });
        self.end();
        let size = self
            .state
            .borrow()
            .pools
            .get(pool as usize)
            .map_or(0, |pool| pool.backends.len());
        match &decision {
            Decision::Backend(backend) if *backend as usize >= size => {
                panic!("invalid answer: backend {backend} of a pool that has {size}")
            }
            Decision::Answer(response) => check(response),
            _ => {}
        }
        decision
    }

    /// Edits the fields of this request.
    pub fn edit_request(&mut self, request: &mut TestRequest) -> Result<(), Response>
    where
        P: EditRequest,
    {
        exported::<P>("EditRequest");
        self.begin(request, None, Vec::new());
        let edited = with(&self.state, || {
            self.policy.edit_request(
                &Request::of(&types::Request),
                &mut Headers::of(&types::Headers),
            )
        });
        request.incoming = self.end().request;
        edited.inspect_err(check)
    }

    /// Edits the fields of this response to a request.
    pub fn edit_response(
        &mut self,
        request: &TestRequest,
        response: &mut TestResponse,
    ) -> Result<(), Response>
    where
        P: EditResponse,
    {
        exported::<P>("EditResponse");
        self.begin(request, Some(response), Vec::new());
        let (status, backend) = (response.status, response.backend);
        let edited = with(&self.state, || {
            let (request, headers) = (
                &Request::of(&types::Request),
                &mut Headers::of(&types::Headers),
            );
            self.policy.edit_response(request, status, backend, headers)
        });
        response.fields = self.end().response.unwrap_or_default();
        edited.inspect_err(check)
    }

    /// What this request asks for.
    pub fn check_range(&mut self, request: &TestRequest) -> RangeVerdict
    where
        P: CheckRange,
    {
        exported::<P>("CheckRange");
        self.begin(request, None, Vec::new());
        let verdict = with(&self.state, || {
            self.policy.check_range(&Request::of(&types::Request))
        });
        self.end();
        match &verdict {
            RangeVerdict::Ranges(ranges) => check_ranges(ranges),
            RangeVerdict::Answer(response) => check(response),
            RangeVerdict::Untouched | RangeVerdict::Ignore => {}
        }
        verdict
    }

    /// Tells what became of this request, after these attempts failed. The outcome's pool is that
    /// of the request.
    pub fn completed<F: Into<FailedAttempt>>(
        &mut self,
        request: &TestRequest,
        outcome: Outcome,
        failed: impl IntoIterator<Item = F>,
    ) where
        P: Completed,
    {
        exported::<P>("Completed");
        let failed = failed.into_iter().map(Into::into).collect();
        let pool = request.incoming.pool;
        self.begin(request, None, failed);
        with(&self.state, || {
            self.policy
                .completed(&Request::of(&types::Request), &Outcome { pool, ..outcome })
        });
        self.end();
    }

    /// The policy itself.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    pub(super) fn tell(&mut self, pool: usize) {
        let told = self
            .state
            .borrow()
            .pools
            .get(pool)
            .map(|state| (state.pool.clone(), state.backends.clone()));
        if let Some((pool, backends)) = told {
            with(&self.state, || {
                self.policy.backends_changed(&pool, &backends)
            });
        }
    }

    pub(super) fn begin(
        &self,
        request: &TestRequest,
        response: Option<&TestResponse>,
        failed: Vec<FailedAttempt>,
    ) {
        self.state.borrow_mut().turn = Turn {
            request: request.incoming.clone(),
            response: response.map(|response| response.fields.clone()),
            target: TestTarget::default(),
            failed,
            pool: Some(request.incoming.pool),
            budget: Budget::default(),
        };
    }

    pub(super) fn end(&self) -> Turn {
        std::mem::take(&mut self.state.borrow_mut().turn)
    }
}

impl<P> fmt::Debug for TestPolicy<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_struct("TestPolicy").finish_non_exhaustive()
    }
}

impl From<u32> for FailedAttempt {
    fn from(backend: u32) -> Self {
        FailedAttempt {
            backend,
            failure: Failure::Connect,
        }
    }
}

impl From<(u32, Failure)> for FailedAttempt {
    fn from((backend, failure): (u32, Failure)) -> Self {
        FailedAttempt { backend, failure }
    }
}

pub(super) fn exported<P: Exported>(hook: &str) {
    if !P::HOOKS.contains(&hook) {
        panic!(
            "`export!` does not name {hook}, so the host would never call it; it names {}",
            P::HOOKS.join(", ")
        );
    }
}

pub(super) fn check(response: &Response) {
    let Response {
        status,
        fields,
        body,
    } = response;
    if !(200..=599).contains(status) {
        panic!("invalid answer: a response with status {status}");
    }
    if fields.len() > MAX_RESPONSE_FIELDS {
        panic!(
            "invalid answer: a response with {} header fields; {MAX_RESPONSE_FIELDS} is the most",
            fields.len()
        );
    }
    if body.len() > MAX_RESPONSE_BODY {
        panic!(
            "invalid answer: a response body of {} bytes; {MAX_RESPONSE_BODY} is the most",
            body.len()
        );
    }
    for (name, value) in fields {
        if let Err(error) = check_name(name).and_then(|()| check_value(value)) {
            panic!("invalid answer: a response with the field {name:?}: {error}");
        }
    }
}

fn check_ranges(ranges: &[ByteRange]) {
    if ranges.is_empty() || ranges.len() > MAX_RANGES {
        panic!(
            "invalid answer: {} ranges; 1 is the least and {MAX_RANGES} the most",
            ranges.len()
        );
    }
    for range in ranges {
        if let ByteRange::Between(first, last) = range
            && first > last
        {
            panic!("invalid answer: a range from {first} to {last}");
        }
    }
}
