//! The hooks that say where a request goes, and the one for responses that no backend has made.

use super::{
    TestPolicy, TestRequest, TestResponse, TestTarget,
    contract::types,
    policy::{Exported, check, exported},
    state::with,
};
use crate::{
    DecideDestination, Destination, EditLocalResponse, EditTarget, Headers, PoolDecision, Request,
    Response, ResponseSource, Route, Target,
};

impl<P: Exported> TestPolicy<P> {
    /// The pool of this request, of those that [`TestRequest::pools`] gives.
    pub fn route(&mut self, request: &TestRequest) -> PoolDecision
    where
        P: Route,
    {
        exported::<P>("Route");
        self.begin(request, None, Vec::new());
        let decision = with(&self.state, || {
            self.policy.route(&Request::of(&types::Request))
        });
        check_pool(&decision, &self.end().request.pools());
        decision
    }

    /// Edits what the backend is asked for.
    pub fn edit_target(
        &mut self,
        request: &TestRequest,
        target: &mut TestTarget,
    ) -> Result<(), Response>
    where
        P: EditTarget,
    {
        exported::<P>("EditTarget");
        self.begin(request, None, Vec::new());
        self.state.borrow_mut().turn.target = target.clone();
        let edited = with(&self.state, || {
            self.policy.edit_target(
                &Request::of(&types::Request),
                &mut Target::of(&types::Target),
            )
        });
        *target = self.end().target;
        edited.inspect_err(check)
    }

    /// Decides about a destination of the forward proxy, whose host is that of the request.
    pub fn decide_destination(
        &mut self,
        request: &TestRequest,
        destination: Destination,
    ) -> PoolDecision
    where
        P: DecideDestination,
    {
        exported::<P>("DecideDestination");
        let mut request = request.clone();
        request.incoming.pool = u32::MAX;
        request.incoming.pools.get_or_insert_default();
        self.begin(&request, None, Vec::new());
        let decision = with(&self.state, || {
            self.policy
                .decide_destination(&Request::of(&types::Request), &destination)
        });
        check_pool(&decision, &self.end().request.pools());
        decision
    }

    /// Edits the fields of this response, which the proxy or a policy has made.
    pub fn edit_local_response(
        &mut self,
        request: &TestRequest,
        source: ResponseSource,
        response: &mut TestResponse,
    ) where
        P: EditLocalResponse,
    {
        exported::<P>("EditLocalResponse");
        self.begin(request, Some(response), Vec::new());
        with(&self.state, || {
            let (request, headers) = (
                &Request::of(&types::Request),
                &mut Headers::of(&types::Headers),
            );
            self.policy
                .edit_local_response(request, response.status, source, headers);
        });
        response.fields = self.end().response.unwrap_or_default();
    }
}

fn check_pool(decision: &PoolDecision, pools: &[u32]) {
    match decision {
        PoolDecision::Pool(index) if *index as usize >= pools.len() => {
            panic!(
                "invalid answer: pool {index} of {} pools of the route",
                pools.len()
            )
        }
        PoolDecision::Answer(response) => check(response),
        PoolDecision::Pool(_) | PoolDecision::Pass => {}
    }
}
