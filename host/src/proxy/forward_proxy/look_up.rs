//! How a worker has a name looked up: beside the data plane, where the resolver is.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::proxy::refusal::ForwardRefusal;

/// What comes of a look-up: addresses, of which there is at least one.
pub type Found = Result<Arc<[IpAddr]>, NotFound>;

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFound {
    /// There is no such name, or it has no address.
    Absent,
    /// No server could say.
    Failed,
    /// None did in time.
    TimedOut,
    /// Too many others are looked up.
    Busy,
}

/// Looks names up.
#[derive(Clone)]
pub struct LookUp(Arc<Ask>);

type Ask = dyn Fn(String) -> oneshot::Receiver<Found> + Send + Sync;

impl LookUp {
    /// By this function, which returns at once.
    pub fn new(ask: impl Fn(String) -> oneshot::Receiver<Found> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) async fn addresses(&self, host: &str) -> Result<Arc<[IpAddr]>, ForwardRefusal> {
        // The other end is gone only when the process ends.
        let found = (self.0)(host.to_owned()).await;
        found
            .unwrap_or(Err(NotFound::Failed))
            .map_err(|reason| match reason {
                NotFound::Absent => ForwardRefusal::NoAddress,
                NotFound::Failed => ForwardRefusal::NameFailed,
                NotFound::TimedOut => ForwardRefusal::NameTimeout,
                NotFound::Busy => ForwardRefusal::TooManyNames,
            })
    }
}

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookUp").finish_non_exhaustive()
    }
}
