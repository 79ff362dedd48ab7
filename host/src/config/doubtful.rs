//! Values that are allowed and hardly meant: a warning for each.

use std::time::Duration;

use super::{
    Ejection, HedgeAfter, Pool, PoolProtocol, Probe, ResolverConfig, RetryPolicy, Timeouts,
};
use crate::document::{Findings, Places};
use crate::units::exact_duration;

/// Looking or asking more often than this costs more than it shows.
const OFTEN: Duration = Duration::from_millis(100);
/// Hardly a backend is always quicker, and hardly an ejection of this length is noticed.
const MOMENT: Duration = Duration::from_millis(10);
/// A share that grows for longer is a mistaken unit.
const LONG: Duration = Duration::from_secs(3600);

/// Keys of a pool that have no effect, or a strange one; `usual` has the defaults.
pub(super) fn pool(pool: &Pool, usual: &Pool, places: &Places, findings: &mut Findings) {
    let mut warn = |key, doubtful: bool, message: &str| {
        if let (Some(place), true) = (places.of(key), doubtful) {
            findings.warning(place, message);
        }
    };
    let own = |backend: &super::Backend| backend.protocol.is_some();
    let is_http11 = pool.protocol == PoolProtocol::Http11
        && pool.file.is_none()
        && !pool.backends.iter().any(own);
    let is_limited = pool.max_connections + pool.max_requests + pool.max_pool_requests > 0
        || pool.adaptive.is_some();
    let no_queue = is_http11 && !is_limited;
    let message = "has no effect, because nothing waits: the pool has none of `max-connections`, \
                   `max-requests`, `max-pool-requests` and `adaptive-requests`";
    warn("queue", no_queue && pool.queue != usual.queue, message);
    let waits = pool.queue_timeout != usual.queue_timeout;
    warn("queue-timeout", no_queue && waits, message);
    let message = "has no effect without `max-connections`";
    let any = pool.max_connections == 0;
    let waits = pool.body_wait != usual.body_wait;
    warn("body-wait", any && waits, message);
    let is_slow = pool.slow_client != usual.slow_client;
    warn("slow-client", any && is_slow, message);
    let rate = pool.slow_client_rate != usual.slow_client_rate;
    warn("slow-client-rate", any && rate, message);
    let pings = pool.ping_interval != usual.ping_interval;
    let message = "has no effect, because no backend of the pool speaks HTTP/2";
    warn("ping-interval", is_http11 && pings, message);
    let exceeds = pool.max_pool_requests > 0 && pool.max_requests > pool.max_pool_requests;
    let message = "has no effect, because it is more than `max-pool-requests`";
    warn("max-requests", exceeds, message);
    let message = "gives a backend that comes back its whole share only after more than an hour";
    warn("slow-start", pool.health.slow_start > LONG, message);
    let message = "ejects a backend for hardly longer than a request takes";
    warn("fail-timeout", pool.health.fail_timeout < MOMENT, message);
}

/// `ejection` of a pool whose first ejections last for `fail_timeout`.
pub(super) fn ejection(
    ejection: &Ejection,
    fail_timeout: Duration,
    places: &Places,
    findings: &mut Findings,
) {
    let max_time = ejection.max_time;
    if let Some(place) = places.of("max-time")
        && max_time < fail_timeout
    {
        let each = exact_duration(fail_timeout);
        let message = format!(
            "is less than `fail-timeout`: each ejection lasts {each} all the same, and none is \
             longer than the one before"
        );
        findings.warning(place, message);
    }
    if let Some(place) = places.of("interval")
        && ejection.interval < OFTEN
    {
        let message = "compares backends so often that hardly one has `min-requests` by then";
        findings.warning(place, message);
    }
    if let Some(place) = places.of("stalled-after")
        && !ejection.stalled_after.is_zero()
        && ejection.stalled_after < MOMENT
    {
        let message = "avoids backends that are well: hardly one always answers so quickly";
        findings.warning(place, message);
    }
}

/// `[pools.NAME.health]`
pub(super) fn probe(probe: &Probe, places: &Places, findings: &mut Findings) {
    if let Some(place) = places.of("interval")
        && probe.interval < OFTEN
    {
        let times = 1_000 / probe.interval.as_millis().max(1);
        findings.warning(place, format!("probes each backend {times} times a second"));
    }
    // A default is nobody's mistake.
    if let Some(place) = places.of("timeout")
        && probe.timeout > probe.interval
    {
        let [timeout, interval] = [probe.timeout, probe.interval].map(exact_duration);
        let message = format!(
            "a probe may take longer ({timeout}) than from one to the next ({interval}): a backend \
             that is silent is probed less often than it says"
        );
        findings.warning(place, message);
    }
}

/// A policy of retries that was put together from what `places` are of, and from others;
/// `response` is how long an answer may take in any case.
pub(super) fn retry(
    policy: &RetryPolicy,
    places: &Places,
    response: Duration,
    findings: &mut Findings,
) {
    let is_once = policy.attempts == 1;
    let repeats = policy.on.repeats_work();
    if let Some(place) = places.of("hedge").or(places.of("attempts"))
        && policy.hedge.is_some()
        && is_once
    {
        let message = "asks no second backend, because `attempts` is 1; write `attempts = 2` or \
                       more, or remove `hedge`";
        findings.warning(place, message);
    }
    if let Some(place) = places.of("on")
        && is_once
        && (policy.on.connect || policy.on.refused || repeats)
    {
        findings.warning(place, "has no effect, because `attempts` is 1");
    }
    if let Some(place) = places.of("budget")
        && policy.budget.thousandths == 0
        && policy.budget.least == 0
        && !is_once
        && (repeats || policy.hedge.is_some())
    {
        let message = "allows no attempt that repeats work: only failed connections and refusals \
                       by the protocol are tried again";
        findings.warning(place, message);
    }
    let patience = policy.try_timeout.map_or(response, |t| t.min(response));
    if let Some(place) = places.of("try-timeout")
        && policy.try_timeout.is_some_and(|time| time >= response)
    {
        let most = exact_duration(response);
        let message = format!("has no effect: `timeouts.response` ends an attempt after {most}");
        findings.warning(place, message);
    }
    if let (Some(place), Some(HedgeAfter::Time(after))) = (places.of("hedge"), policy.hedge)
        && after >= patience
    {
        let [after, patience] = [after, patience].map(exact_duration);
        let message = format!(
            "asks no second backend: the first has {patience} to answer, and the second is asked \
             after {after}"
        );
        findings.warning(place, message);
    }
}

/// `[timeouts]`
pub(super) fn timeouts(timeouts: &Timeouts, places: &Places, findings: &mut Findings) {
    if let Some(place) = places.of("drain-idle")
        && timeouts.drain_idle > timeouts.drain
    {
        findings.warning(place, "ends with `drain`, which is less");
    }
    if let Some(place) = places.of("upgrade")
        && timeouts.upgrade < OFTEN
    {
        findings.warning(
            place,
            "is less than a process takes to start: no upgrade succeeds",
        );
    }
}

/// `[resolver]`
pub(super) fn resolver(resolver: &ResolverConfig, places: &Places, findings: &mut Findings) {
    if let Some(place) = places.of("timeout")
        && resolver.timeout.is_some_and(|timeout| timeout < MOMENT)
    {
        let message = "is less than most name servers take, so that names may have no address";
        findings.warning(place, message);
    }
}
