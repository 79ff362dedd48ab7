//! The right to one exchange with an endpoint: from the choice of the endpoint to the report of how
//! the attempt went.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::doubt::Accuser;
use super::health::milliseconds;
use super::{
    AttemptOutcome, Carrier, Doubt, FailedAttempt, Place, Room, Verdict, WorkerEndpoint, WorkerPool,
};

/// The part of an ejection's time for which an endpoint is left alone when the request that tried
/// it may have failed by its own doing.
const PUT_OFF: u32 = 10;

/// The right to one exchange. It opens the connection on which the exchange takes place, and
/// [`Lease::finish`] is the one report from which health and statistics learn how the attempt went,
/// whether it came to an exchange or not.
///
/// Dropped without a report, it says nothing of the endpoint.
#[derive(Debug)]
pub struct Lease<'p> {
    pool: &'p WorkerPool,
    position: u32,
    /// It tries an endpoint that is to be avoided, as other requests do meanwhile.
    tries: bool,
    /// Its end is to be counted here.
    counted: Cell<bool>,
    /// It waits for its client.
    paced: Cell<bool>,
}

impl WorkerPool {
    /// Begins an attempt at the endpoint with this position in the pool, which is how policies
    /// identify it. From here on the lease represents the endpoint, which has the request in
    /// flight: one that waits for a connection is load as well.
    pub fn lease(&self, position: u32) -> Lease<'_> {
        Lease {
            pool: self,
            position,
            tries: self.endpoints[position as usize].health.begins(),
            counted: Cell::new(true),
            paced: Cell::new(false),
        }
    }
}

impl<'p> Lease<'p> {
    /// The pool of the endpoint.
    #[inline]
    pub fn pool(&self) -> &'p WorkerPool {
        self.pool
    }

    /// The endpoint.
    #[inline]
    pub fn endpoint(&self) -> &'p Rc<WorkerEndpoint> {
        &self.pool.endpoints[self.position as usize]
    }

    /// The endpoint's position in the pool.
    #[inline]
    pub fn position(&self) -> u32 {
        self.position
    }

    /// A pooled connection, the most recently used first, as it is the least likely to be closed.
    /// Or a stream of a connection that is there.
    ///
    /// A connection that has ended, or on which the backend has sent unrequested bytes, is skipped.
    /// `certain` looks at the socket itself rather than at what the last poll saw: one more system
    /// call, for requests that must not be repeated.
    #[inline]
    pub fn pooled(&self, certain: bool) -> Option<Carrier> {
        self.endpoint().pooled(certain)
    }

    /// The right to a new connection, if the process may have one more, perhaps by waiting for it
    /// for a while. `None` if streams of another connection may do.
    pub async fn room(&self) -> Result<Option<Room>, AttemptOutcome> {
        match self.endpoint().has_streams() {
            true => Ok(None),
            false => self.endpoint().room().await.map(Some),
        }
    }

    /// A new connection, or a stream of one that may have to be made first; making it may take
    /// `patience`. The caller limits the time.
    pub async fn connect(
        &self,
        with: (Option<Place>, Option<Room>),
        patience: Duration,
    ) -> Result<Carrier, AttemptOutcome> {
        self.endpoint().connect(with, patience).await
    }

    /// The request is about to be sent.
    pub fn begin(&mut self) {
        self.endpoint().shard.requests.increment();
    }

    /// The rest of the request's body is the client's to send: until then it is not the endpoint
    /// that keeps it waiting.
    pub fn is_paced(&self) {
        if !self.paced.replace(true) {
            self.endpoint().health.is_paced();
        }
    }

    /// Reports how the attempt went. `doubt` holds what the request's attempts have shown so far.
    pub fn finish(self, outcome: AttemptOutcome, doubt: &mut Doubt, client: IpAddr) {
        self.ends();
        match outcome.verdict() {
            Verdict::Unknown => {}
            Verdict::Well => {
                let health = &self.endpoint().health;
                health.succeeded();
                if self.tries {
                    health.comes_back();
                }
                self.pool.answers(self.position, doubt, client);
            }
            Verdict::Failed => self.pool.fails(self.contender(), outcome, doubt, client),
        }
    }

    /// Whether requests go elsewhere by now, and this one is not the one that tries it.
    pub fn is_avoided(&self) -> bool {
        !self.tries && !self.endpoint().health.is_well()
    }

    /// What is known of the attempt when its lease is gone.
    pub fn contender(&self) -> Contender {
        Contender {
            position: self.position,
            tries: self.tries,
        }
    }

    fn ends(&self) {
        if self.counted.take() {
            self.endpoint().health.ends(self.paced.get());
        }
    }
}

/// An exchange that goes on after its lease has ended, as a tunnel: it is in flight until this is
/// dropped.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Rc<WorkerEndpoint>,
    paced: bool,
}

impl Lease<'_> {
    /// Keeps the exchange in flight after [`Lease::finish`].
    pub fn goes_on(&self) -> InFlight {
        self.counted.set(false);
        InFlight {
            endpoint: Rc::clone(self.endpoint()),
            paced: self.paced.get(),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.health.ends(self.paced);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.ends();
        if self.tries {
            self.endpoint().health.tried();
        }
    }
}

/// One of two attempts at the same request that run beside each other.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    /// Of its endpoint.
    pub position: u32,
    tries: bool,
}

impl WorkerPool {
    /// Reports that an attempt has failed. `doubt` as for [`Lease::finish`].
    #[cold]
    pub fn fails(&self, of: Contender, outcome: AttemptOutcome, doubt: &mut Doubt, client: IpAddr) {
        let endpoint = &self.endpoints[of.position as usize];
        endpoint.shard.failures.increment();
        let accuser = self.accuser(client);
        if doubt.failed(of.position, outcome, accuser, endpoint.health.accuser()) {
            if outcome.may_be_of_request() {
                endpoint.health.accused_by(accuser);
            }
            self.failed(FailedAttempt {
                backend: of.position,
                failure: outcome.failure(),
            });
        } else {
            self.puts_off(of);
        }
    }

    /// The endpoint at this position has answered the request.
    pub fn answers(&self, position: u32, doubt: &mut Doubt, client: IpAddr) {
        if let Some(other) = doubt.answered(position) {
            self.held(other, client);
        }
    }

    /// An attempt was given up before an answer, because another one was quicker. That is no
    /// failure; but where no answer comes at all, the endpoint is stalled.
    #[cold]
    pub fn gives_up(&self, of: Contender) {
        self.endpoints[of.position as usize].health.gives_up();
        self.puts_off(of);
    }

    /// The next request that tries an endpoint that is to be avoided comes later.
    fn puts_off(&self, of: Contender) {
        if of.tries {
            let time = self.topology.health.fail_timeout;
            let health = &self.endpoints[of.position as usize].health;
            health.put_off(time / PUT_OFF);
        }
    }

    fn accuser(&self, client: IpAddr) -> Accuser {
        Accuser::new(client, milliseconds(self.started.elapsed()))
    }

    /// A failure of this client, of which nothing was held against the endpoint, counts after all.
    #[cold]
    fn held(&self, failed: FailedAttempt, client: IpAddr) {
        let health = &self.endpoints[failed.backend as usize].health;
        health.accused_by(self.accuser(client));
        self.failed(failed);
    }

    fn failed(&self, failed: FailedAttempt) {
        let FailedAttempt { backend, failure } = failed;
        self.topology.failed(backend as usize, failure);
    }
}
