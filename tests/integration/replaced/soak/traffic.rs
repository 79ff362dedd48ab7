//! Requests all the time, each of which has to be answered.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::Scope;

use crate::fixtures::tls::{Authority, ask, session};
use crate::fixtures::{TestProxy, TestUpstream, eventually, get, response};
use crate::replaced::load::{Stops, block_on, kept, streams};

/// Clients that go on until they are to stop.
#[derive(Default)]
pub(super) struct Traffic {
    stop: AtomicBool,
    served: AtomicU64,
    /// Over TLS, with a handshake each.
    encrypted: AtomicU64,
}

impl Traffic {
    /// Ends with what this returns.
    pub(super) fn begin<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        proxy: &TestProxy,
        authority: &Authority,
    ) -> Stops<'scope> {
        let (to, encrypted) = (proxy.address(), proxy.addresses()[1]);
        let config = Arc::new(authority.client(&["http/1.1"]));
        let (stop, served) = (&self.stop, &self.served);
        for _ in 0..2 {
            scope.spawn(move || kept(to, stop, served));
        }
        scope.spawn(move || block_on(streams(to, stop, served)));
        scope.spawn(move || {
            while !stop.load(Relaxed) {
                let mut session = session(encrypted, &config, "edge.test").unwrap();
                ask(&mut session, &get("edge.test", "/secret"), "/secret");
                self.encrypted.fetch_add(1, Relaxed);
            }
        });
        Stops(stop)
    }

    pub(super) fn served(&self) -> u64 {
        self.served.load(Relaxed) + self.encrypted.load(Relaxed)
    }

    /// Waits until so many more requests were answered, and some of each kind.
    pub(super) fn goes_on(&self, requests: u64) {
        let before = [&self.served, &self.encrypted].map(|count| count.load(Relaxed));
        eventually("traffic", || {
            let is_more = self.served.load(Relaxed) >= before[0] + requests;
            let is_both = self.encrypted.load(Relaxed) > before[1];
            (is_more && is_both).then_some(())
        });
    }
}

/// Answers each request by its path.
pub(super) fn mirror_on(listener: TcpListener) -> TestUpstream {
    TestUpstream::listen(listener, |connection| {
        while let Some(request) = connection.request() {
            connection.send(response("200 OK", &[], request.target()));
        }
    })
}
