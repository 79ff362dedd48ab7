//! The counters of one worker.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    AttemptShard, ByClass, CompressionShard, Counter, Decisions, Exemplars, ForwardShard, Gauge,
    Histogram, MirrorShard, RetryReason, RouteShards,
};

/// How many hooks are counted, in the order of [`crate::policy::Hook`].
pub const HOOKS: usize = 9;

/// The number of status codes: 100 to 999.
pub const STATUSES: usize = 900;

/// The most counters that a policy may define.
pub const MAX_POLICY_COUNTERS: usize = 64;

/// Counters of one worker's connections and requests.
#[derive(Debug)]
pub struct WorkerShard {
    /// Bytes read from clients, heads and framing included.
    pub bytes_from_clients: Counter,
    /// Bytes written to clients.
    pub bytes_to_clients: Counter,
    /// Bytes read from backends.
    pub bytes_from_backends: Counter,
    /// Bytes written to backends.
    pub bytes_to_backends: Counter,
    /// Requests whose head arrived, refused ones included.
    pub requests: Counter,
    /// Requests between their head and the end of their response.
    pub requests_active: Gauge,
    /// Responses by status code, 100 to 999, index 0 = 100.
    pub by_status: Box<[Counter; STATUSES]>,
    /// What routes were taken.
    pub routes: RouteShards,
    /// Requests that ended without a response head, because the client had left.
    pub unanswered: Counter,
    /// Client connections accepted.
    pub connections: Counter,
    /// Client connections open now.
    pub connections_active: Gauge,
    /// Client connections turned away by a limit.
    pub connections_refused: Counter,
    /// Connections of trusted peers closed because their PROXY header was missing, malformed or
    /// late.
    pub proxy_headers_refused: Counter,
    /// TLS handshakes with clients that ended well.
    pub tls_handshakes: Counter,
    /// TLS handshakes with clients that failed or took too long.
    pub tls_handshakes_failed: Counter,
    /// Connections closed because too many TLS handshakes were under way.
    pub tls_handshakes_refused: Counter,
    /// What clients of HTTP/2 do.
    pub http2: Http2Shard,
    /// Connections that have changed their protocol.
    pub tunnels: Counter,
    /// Those of them that are open now.
    pub tunnels_active: Gauge,
    /// What the forward proxy does.
    pub forward: ForwardShard,
    /// Connections that are passed on as they are.
    pub layer4: Layer4Shard,
    /// Attempts at a backend after the first of a request.
    pub retries: Counter,
    /// The same by reason, and what else is counted of attempts.
    pub attempts: AttemptShard,
    /// Responses that are compressed on their way.
    pub compression: CompressionShard,
    /// Connections opened to backends.
    pub upstream_connections: Counter,
    /// Requests sent on a pooled connection.
    pub upstream_reuses: Counter,
    /// Requests that got no connection to a backend, because the process could have no more.
    pub upstream_refused: Counter,
    /// Access-log lines dropped because the log could not keep up.
    pub log_lines_dropped: Counter,
    /// Spans that the exporter of traces had no room for.
    pub spans_dropped: Counter,
    /// Sampled requests that were not recorded, because the writer could not keep up.
    pub records_dropped: Counter,
    /// Requests that were sampled for watchers.
    pub samples: Counter,
    /// Samples that a watcher did not take in time.
    pub samples_dropped: Counter,
    /// Sweeps of the worker, which stop when it hangs.
    pub heartbeats: Counter,
    /// How long the worker has hung; 0 if it works. Written by the watchdog.
    pub hanging_seconds: Gauge,
    /// Time from a request's head to the end of its response, in microseconds.
    pub request_microseconds: Histogram,
    /// Of these, traced requests: the last of each range.
    pub exemplars: Exemplars,
}

/// Counters of one worker's clients that speak HTTP/2.
#[derive(Debug, Default)]
pub struct Http2Shard {
    /// Their requests, which are among all requests.
    pub requests: Counter,
    /// Their connections, which are among all connections.
    pub connections: Counter,
    /// Connections open now.
    pub connections_active: Gauge,
    /// Streams open now.
    pub streams_active: Gauge,
    /// Connections that were ended because of what their clients did too often.
    pub cut: Counter,
    /// Streams that were refused because their client had all that it may have: connections to
    /// backends, or memory for heads.
    pub refused: Counter,
}

/// Counters of one worker's connections that are passed on as they are.
#[derive(Debug, Default)]
pub struct Layer4Shard {
    /// Those that have reached a backend.
    pub connections: Counter,
    /// Those of them that are open now.
    pub active: Gauge,
    /// Those that were closed, because no backend was reached or a policy refused them.
    pub refused: Counter,
    /// Bytes of them read from clients.
    pub bytes_from_clients: Counter,
    /// Bytes of them written to clients.
    pub bytes_to_clients: Counter,
}

impl Default for WorkerShard {
    fn default() -> Self {
        Self {
            bytes_from_clients: Counter::default(),
            bytes_to_clients: Counter::default(),
            bytes_from_backends: Counter::default(),
            bytes_to_backends: Counter::default(),
            requests: Counter::default(),
            requests_active: Gauge::default(),
            by_status: Box::new(std::array::from_fn(|_| Counter::default())),
            routes: RouteShards::default(),
            unanswered: Counter::default(),
            connections: Counter::default(),
            connections_active: Gauge::default(),
            connections_refused: Counter::default(),
            proxy_headers_refused: Counter::default(),
            tls_handshakes: Counter::default(),
            tls_handshakes_failed: Counter::default(),
            tls_handshakes_refused: Counter::default(),
            http2: Http2Shard::default(),
            tunnels: Counter::default(),
            tunnels_active: Gauge::default(),
            forward: ForwardShard::default(),
            layer4: Layer4Shard::default(),
            retries: Counter::default(),
            attempts: AttemptShard::default(),
            compression: CompressionShard::default(),
            upstream_connections: Counter::default(),
            upstream_reuses: Counter::default(),
            upstream_refused: Counter::default(),
            log_lines_dropped: Counter::default(),
            spans_dropped: Counter::default(),
            records_dropped: Counter::default(),
            samples: Counter::default(),
            samples_dropped: Counter::default(),
            heartbeats: Counter::default(),
            hanging_seconds: Gauge::default(),
            request_microseconds: Histogram::default(),
            exemplars: Exemplars::default(),
        }
    }
}

impl WorkerShard {
    /// A connection that changes its protocol, or that is passed on as it is, becomes a tunnel. Its
    /// client has sent so many bytes before.
    pub fn tunnel_begins(&self, layer4: bool, sent: u64) {
        if layer4 {
            self.layer4.connections.increment();
            self.layer4.active.increment();
            self.layer4.bytes_from_clients.add(sent);
        } else {
            self.tunnels.increment();
            self.tunnels_active.increment();
        }
    }

    /// A tunnel has ended.
    pub fn tunnel_ends(&self, layer4: bool) {
        match layer4 {
            false => self.tunnels_active.decrement(),
            true => self.layer4.active.decrement(),
        }
    }

    /// Counts an attempt after the first of a request.
    pub fn retried(&self, reason: RetryReason) {
        self.retries.increment();
        self.attempts.retries(reason).increment();
    }
}

/// Counters of one pool, as one worker sees it.
#[derive(Debug, Default)]
pub struct PoolShard {
    /// Requests of its routes that have ended.
    pub requests: ByClass,
    /// 1 where requests may wait or be copied, so that what is counted of that may be more than 0.
    pub is_limited: Gauge,
    /// Requests that wait for a connection now.
    pub waiting: Gauge,
    /// Requests that waited for a connection and got it.
    pub waits: Counter,
    /// Requests that found the queue full or waited too long.
    pub refused: Counter,
    /// Requests aborted because their clients were slow while others waited.
    pub slow_clients: Counter,
    /// Copies of other pools' requests.
    pub mirror: MirrorShard,
}

impl PoolShard {
    /// Adds the counts of another shard that is no longer written.
    pub(super) fn fold(&self, other: &Self) {
        self.requests.fold(&other.requests);
        self.waits.add(other.waits.value());
        self.refused.add(other.refused.value());
        self.slow_clients.add(other.slow_clients.value());
        self.mirror.fold(&other.mirror);
    }
}

/// Counters of one policy on one worker.
#[derive(Debug, Default)]
pub struct PolicyShard {
    /// Time of each hook's calls in nanoseconds, in the order of [`crate::policy::Hook`]; their
    /// counts are the calls.
    pub hook_nanoseconds: [Histogram; HOOKS],
    /// Calls that trapped.
    pub traps: Counter,
    /// Calls that missed their deadline.
    pub deadlines: Counter,
    /// Of these, those whose answer was used, because it came before the first tick after the
    /// deadline.
    pub late: Counter,
    /// Invalid answers.
    pub invalid: Counter,
    /// Calls that could not be made, because no instance could be built.
    pub unbuilt: Counter,
    /// Requests that the policy refused or answered itself.
    pub refusals: Counter,
    /// Requests handled by the policy's failure mode.
    pub failure_mode_uses: Counter,
    /// Instances built.
    pub instances_built: Counter,
    /// Instances of the worker; two during a swap.
    pub instances: Gauge,
    /// Memory of the live instances in bytes, tables and globals included; two instances during a
    /// swap.
    pub memory: Gauge,
    /// The largest memory of an instance so far, in bytes.
    pub memory_peak: Gauge,
    /// Log lines dropped by the rate limit.
    pub log_lines_dropped: Counter,
    /// The moment up to which the rate limit's allowance is used up, in microseconds of the
    /// process. It outlives the policy's instances on this worker.
    pub log_lines_until: Gauge,
    /// How often a hook was suspended for all clients, because faults of many cost too much.
    pub suspensions: Counter,
    /// How often a client was paused, because its faults cost too much.
    pub client_pauses: Counter,
    /// Calls skipped because their client was paused.
    pub paused_calls: Counter,
    /// Requests of which the policy did not hear what became of them: too many waited, or it could
    /// not be called.
    pub completions_dropped: Counter,
    /// The time that faults cost, in nanoseconds: failed calls, rebuilt instances and late answers.
    pub fault_nanoseconds: Counter,
    /// Suspended until this moment, in milliseconds since 1970; 0 if it is not suspended.
    pub suspended_until: Gauge,
    /// Selections by pool and backend.
    pub decisions: Decisions,
    /// The policy's own counters; names in [`super::PolicyStats::counter_names`].
    pub counters: PolicyCounters,
}

impl PolicyShard {
    /// Adds the counts of another shard that is no longer written. Its instances and their memory
    /// are gone by then.
    pub(super) fn fold(&self, other: &Self) {
        for (sum, more) in self.hook_nanoseconds.iter().zip(&other.hook_nanoseconds) {
            sum.fold(more);
        }
        let counters: [fn(&Self) -> &Counter; 14] = [
            |s| &s.traps,
            |s| &s.deadlines,
            |s| &s.late,
            |s| &s.invalid,
            |s| &s.unbuilt,
            |s| &s.refusals,
            |s| &s.failure_mode_uses,
            |s| &s.instances_built,
            |s| &s.log_lines_dropped,
            |s| &s.suspensions,
            |s| &s.client_pauses,
            |s| &s.paused_calls,
            |s| &s.completions_dropped,
            |s| &s.fault_nanoseconds,
        ];
        for counter in counters {
            counter(self).add(counter(other).value());
        }
        for (sum, more) in self.counters.0.iter().zip(&other.counters.0) {
            sum.add(more.value());
        }
        self.memory_peak
            .set(self.memory_peak.value().max(other.memory_peak.value()));
        self.decisions.fold(&other.decisions);
    }

    /// Whether the policy is suspended on this worker.
    pub fn is_suspended(&self) -> bool {
        let until = self.suspended_until.value();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // Reads the clock only if it was ever suspended.
        until > 0 && u128::from(until) > now.as_millis()
    }
}

/// The values of a policy's own counters.
#[derive(Debug)]
pub struct PolicyCounters(pub [Counter; MAX_POLICY_COUNTERS]);

impl Default for PolicyCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::DecidedPool;

    #[test]
    fn folding_loses_no_counter() {
        let shard = PolicyShard::default();
        // Without `..`: a counter that is new has to be thought of here as well.
        let PolicyShard {
            hook_nanoseconds,
            traps,
            deadlines,
            late,
            invalid,
            unbuilt,
            refusals,
            failure_mode_uses,
            instances_built,
            instances: _,
            memory: _,
            memory_peak,
            log_lines_dropped,
            log_lines_until: _,
            suspensions,
            client_pauses,
            paused_calls,
            completions_dropped,
            fault_nanoseconds,
            suspended_until: _,
            decisions,
            counters,
        } = &shard;
        hook_nanoseconds
            .iter()
            .zip([10, 20, 30, 40, 50])
            .for_each(|(hook, n)| hook.record(n));
        let single = [
            traps,
            deadlines,
            late,
            invalid,
            unbuilt,
            refusals,
            failure_mode_uses,
            instances_built,
            log_lines_dropped,
            suspensions,
            client_pauses,
            paused_calls,
            completions_dropped,
            fault_nanoseconds,
        ];
        single
            .iter()
            .zip(100..)
            .for_each(|(counter, n)| counter.add(n));
        memory_peak.set(7);
        counters
            .0
            .iter()
            .zip(200..)
            .for_each(|(counter, n)| counter.add(n));
        let pool = |id, name: &str, backends: &[&str]| DecidedPool {
            id,
            name: name.to_owned(),
            backends: backends.iter().map(|b| (*b).to_owned()).collect(),
        };
        let lists = [pool(0, "web", &["a", "b"]), pool(2, "other", &["a"])];
        let selections = decisions.follow(&lists.into());
        [(0, 0), (0, 1), (0, 1), (2, 0)]
            .iter()
            .for_each(|(pool, position)| selections.count(*pool, *position));

        let folded = PolicyShard::default();
        folded.fold(&shard);
        assert_eq!(format!("{folded:?}"), format!("{shard:?}"));
        folded.fold(&shard);
        assert_eq!(
            (folded.traps.value(), folded.suspensions.value()),
            (200, 218)
        );
        assert_eq!(
            format!("{:?}", folded.decisions),
            r#"{"other": {"a": 2}, "web": {"a": 2, "b": 4}}"#
        );
        assert_eq!(folded.memory_peak.value(), 7, "a peak is no sum");
        assert_eq!(folded.counters.0[63].value(), 2 * 263);
    }

    #[test]
    fn a_canary_that_is_over_counts_on() {
        let stats = super::super::Stats::new(1).policy("p");
        let count = || -> u64 {
            stats
                .all_shards()
                .iter()
                .map(|shard| shard.traps.value())
                .sum()
        };
        for round in 1..=3 {
            let canary = std::sync::Arc::new(PolicyShard::default());
            stats.join([std::sync::Arc::clone(&canary)]);
            canary.traps.add(5);
            assert_eq!(count(), 5 * round);
        }
        assert!(
            stats.all_shards().len() <= 4,
            "those that are over are one: two of the policy, one canary, and the sum"
        );
    }
}
