//! Routes whose connections are passed on.

use super::Table;
use crate::config::upgrade::default_upgrade;
use crate::config::{
    Certificates, Conditions, HostPattern, Layer4, Layer4Match, Listener, PathMatch, Pool,
    PoolProtocol, RetryOn, RetryPolicy, Route, RouteEdits, TargetRights, Traffic,
};
use crate::document::{At, Place};

/// The policy of a route that names none: others have nothing to see.
const DEFAULT_POLICY: &str = "random";

/// Hosts, pool and policies of a route, as written.
type Written = (
    Vec<At<HostPattern>>,
    Option<At<String>>,
    Option<Vec<At<String>>>,
);

impl Table<'_> {
    pub(super) fn add_layer4(&mut self, (hosts, pool, policies): Written, layer4: &Layer4) {
        let place = pool.as_ref().map(|pool| pool.place.clone());
        let pool = pool.and_then(|name| self.pool(&name));
        if let (Some(at), Some(place)) = (pool, place) {
            self.check_plain(at, &place);
        }
        let policies = match policies {
            None => self.policy(DEFAULT_POLICY).into_iter().collect(),
            Some(names) => self.policies(&names),
        };
        let of_pool = pool.map_or_else(RetryPolicy::default, |at| self.pools[at].retry.clone());
        for host in hosts {
            let route = Route {
                host: host.value,
                path: PathMatch::Prefix("/".to_owned()),
                conditions: Conditions::default(),
                traffic: pool.map_or_else(Traffic::default, |at| {
                    Traffic::to(at, without_requests(&of_pool))
                }),
                answer: None,
                edits: RouteEdits::default(),
                policies: policies.clone(),
                rights: TargetRights::default(),
                preserve_header_case: false,
                upgrade: default_upgrade(),
                compress: None,
                layer4: Some(layer4.clone()),
            };
            self.push_layer4(route, host.place);
        }
    }

    fn push_layer4(&mut self, route: Route, place: Place) {
        let takes = route.layer4.as_ref().map(|layer4| &layer4.takes);
        let key = format!("{takes:?} {:?}", route.host);
        let at = *self.known.entry(key).or_insert(self.routes.len());
        match self.routes.get(at) {
            None => self.routes.push(At::new(route, place)),
            // Two listeners may say the same.
            Some(_) if !matches!(takes, Some(Layer4Match::ServerName)) => {}
            Some(earlier) => {
                let message = format!(
                    "connections for \"{}\" are passed on already, by the route at {}; remove one \
                     of them (case, port and a trailing dot make no difference)",
                    route.host, earlier.place
                );
                self.findings.error(&place, message);
            }
        }
    }

    /// A client's bytes are passed on as they are, so nothing can be put around them.
    pub(super) fn check_plain(&mut self, at: usize, place: &Place) {
        let pool = &self.pools[at];
        let Some(what) = not_plain(pool) else {
            return;
        };
        let message = format!(
            "is a pool whose backends are reached by {what}, and the bytes of a connection are \
             passed on as they come; write backends without `https://`, `tls` and `protocol`"
        );
        self.findings.error(place, message);
    }

    /// Routes with `passthrough` need listeners with `tls`, and listeners with `tls.passthrough`
    /// need routes.
    pub(super) fn check_passthrough(&mut self, listeners: &[At<Listener>]) {
        let is_passthrough = |route: &&At<Route>| {
            let layer4 = route.value.layer4.as_ref();
            layer4.is_some_and(|layer4| layer4.takes == Layer4Match::ServerName)
        };
        let routes: Vec<_> = self.routes.iter().filter(is_passthrough).collect();
        let peeks = |l: &&At<Listener>| l.value.tls.is_some() && l.value.tcp.is_none();
        let mut peeking = listeners.iter().filter(peeks).peekable();
        if let (Some(route), None) = (routes.first(), peeking.peek()) {
            let message = "passes TLS connections on, and no listener has `tls`; write for example \
                           `tls = { passthrough = true }` at one of `[[listeners]]`";
            self.findings.error(&route.place, message);
        }
        let all = routes.iter().find(|r| r.value.host == HostPattern::Any);
        for listener in peeking {
            let tls = listener.value.tls.as_ref();
            let is_bare = tls.is_some_and(|tls| tls.certificates == Certificates::None);
            // A route that can't be read may have it.
            if is_bare && routes.is_empty() && self.findings.count() == 0 {
                let message = "has `tls.passthrough`, and no route has `passthrough`: every \
                               connection is refused";
                self.findings.error(&listener.place, message);
            }
            if let (Some(all), false) = (all, is_bare) {
                let message = format!(
                    "has certificates that no client sees: the route at {} passes all TLS \
                     connections on",
                    all.place
                );
                self.findings.warning(&listener.place, message);
            }
        }
    }
}

/// No bytes are passed on before there is a connection, so another backend may always be tried;
/// what is about answers has no meaning.
fn without_requests(of_pool: &RetryPolicy) -> RetryPolicy {
    let mut on = RetryOn::nothing();
    on.connect = true;
    RetryPolicy {
        on,
        buffering: 0,
        hedge: None,
        ..of_pool.clone()
    }
}

/// How backends of a pool are reached, if not by plain TCP.
fn not_plain(pool: &Pool) -> Option<&'static str> {
    let tls = pool.tls.is_some() || pool.backends.iter().any(|backend| backend.tls.is_some());
    let own = pool.backends.iter().filter_map(|backend| backend.protocol);
    let h2 = own
        .chain([pool.protocol])
        .any(|protocol| protocol != PoolProtocol::Http11);
    match (tls, h2) {
        (true, _) => Some("TLS"),
        (false, true) => Some("HTTP/2"),
        (false, false) => None,
    }
}
