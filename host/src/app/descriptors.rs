//! File descriptors: a proxy needs two for each request, and the usual soft limit is 1,024.

use super::names::{AT_ONCE as NAMES, SOCKETS};
use crate::admin::CONNECTIONS as MOST_OF_ADMIN;
use crate::config::Limits;
use crate::proxy::MOST_TURNED_AWAY;

/// Descriptors that the process needs apart from connections: logs, listeners, components, the
/// compiling process, a cache.
const OWN: u64 = 40;
/// The same per worker: a listener, its clock, its wake-ups. Each further listener is one more.
const OWN_OF_WORKER: u64 = 8;
/// Names are looked up this many at a time in any case.
const LEAST_NAMES: u64 = 2;
/// With fewer client connections the process does not start: one idle client could hold all of
/// them.
const LEAST_CONNECTIONS: u64 = 16;

/// How the process divides its descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// Client connections: each may need one more to a backend. A stream of HTTP/2 that needs one
    /// for itself counts as one of them.
    pub connections: usize,
    /// Connections to backends, idle ones included.
    pub backends: usize,
    /// Per worker, connections that were turned away and have not ended yet.
    pub turned_away: usize,
    /// Connections to the admin listener.
    pub admin: usize,
    /// Names that are looked up at the same time.
    pub names: usize,
}

/// A number of descriptors, divided.
struct Divided {
    own: u64,
    turned_away: u64,
    admin: u64,
    names: u64,
    connections: u64,
}

impl Divided {
    fn of(limit: u64, workers: usize, listeners: usize) -> Self {
        let (workers, further) = (workers.max(1) as u64, listeners.saturating_sub(1) as u64);
        let turned_away = (MOST_TURNED_AWAY as u64).min(limit / 8 / workers).max(1);
        let admin = (MOST_OF_ADMIN as u64).min(limit / 8).max(4);
        let names = (NAMES as u64).min(limit / 32).max(LEAST_NAMES);
        let own = OWN
            + admin
            + names * SOCKETS as u64
            + workers * (OWN_OF_WORKER + further + turned_away);
        Self {
            own,
            turned_away,
            admin,
            names,
            connections: limit.saturating_sub(own) / 2,
        }
    }
}

impl Shares {
    /// Divides this number of descriptors, of which each worker needs one for each listener.
    ///
    /// # Errors
    /// A sentence if there are too few to serve clients.
    pub(super) fn of(limit: u64, workers: usize, listeners: usize) -> Result<Self, String> {
        let divided = Divided::of(limit, workers, listeners);
        if divided.connections < LEAST_CONNECTIONS {
            // What the process keeps for itself grows with the limit: the number is looked for.
            let suffices = |limit: &u64| {
                Divided::of(*limit, workers, listeners).connections >= LEAST_CONNECTIONS
            };
            let least = (limit..).find(suffices).unwrap_or(limit);
            return Err(format!(
                "this process may open {limit} files and sockets; with `workers = {workers}` and \
                 {listeners} listeners it needs at least {least}, to serve {LEAST_CONNECTIONS} \
                 client connections; raise `ulimit -n` (systemd: LimitNOFILE) to that or more, or \
                 lower `workers`"
            ));
        }
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self {
            connections: number(divided.connections),
            backends: number(limit - divided.own - divided.connections),
            turned_away: number(divided.turned_away),
            admin: number(divided.admin),
            names: number(divided.names),
        })
    }

    /// Raises the soft limit to the hard one and divides it. Without a limit nothing is lowered.
    ///
    /// # Errors
    ///
    /// Those of [`Self::of`].
    pub(super) fn claim(workers: usize, listeners: usize) -> Result<Self, String> {
        let all = Self {
            connections: usize::MAX,
            backends: usize::MAX,
            turned_away: MOST_TURNED_AWAY,
            admin: MOST_OF_ADMIN,
            names: NAMES,
        };
        raise_limit().map_or(Ok(all), |limit| Self::of(limit, workers, listeners))
    }

    /// Lowers the limits to the number of descriptors; one client gets a part of them. Returns a
    /// sentence if that is less than was configured.
    pub(super) fn lower(self, limits: &mut Limits) -> Option<String> {
        let asked = limits.connections;
        if asked > 0 && asked <= self.connections || self.connections == usize::MAX {
            return None;
        }
        limits.connections = self.connections;
        if limits.connections_per_client > 0 {
            // As by default, one client never gets all of them.
            let most = (self.connections / 5 * 3).max(1);
            limits.connections_per_client = limits.connections_per_client.min(most);
        }
        let asked = if asked == 0 {
            "unlimited".to_owned()
        } else {
            asked.to_string()
        };
        Some(format!(
            "`limits.connections` is lowered to {} from {asked}: each client connection may need \
             one more to a backend, and this process may not open more files and sockets; raise \
             `ulimit -n` (systemd: LimitNOFILE)",
            self.connections
        ))
    }
}

/// Raises the soft limit as far as possible and returns it.
#[cfg(unix)]
fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A failure leaves the limit as it was, and that is returned.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    getrlimit(Resource::Nofile).current
}

/// There is no such limit here.
#[cfg(not(unix))]
fn raise_limit() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_never_exceed_the_limit() {
        for limit in [0, 3, 40, 64, 128, 256, 1_024, 20_000, 1 << 20] {
            for (workers, listeners) in [(1, 1), (2, 4), (8, 2), (64, 1)] {
                let Ok(Shares {
                    connections,
                    backends,
                    turned_away,
                    admin,
                    names,
                }) = Shares::of(limit, workers, listeners)
                else {
                    assert!(limit < 512 || workers > 8, "{limit} {workers}");
                    continue;
                };
                let all = connections
                    + backends
                    + workers * (turned_away + OWN_OF_WORKER as usize + listeners - 1)
                    + admin
                    + names * SOCKETS
                    + OWN as usize;
                assert!(
                    all <= limit as usize
                        && backends >= connections
                        && connections >= LEAST_CONNECTIONS as usize,
                    "{limit} {workers}: {all}"
                );
                assert!(
                    turned_away <= MOST_TURNED_AWAY
                        && turned_away > 0
                        && (4..=MOST_OF_ADMIN).contains(&admin)
                        && (LEAST_NAMES as usize..=NAMES).contains(&names)
                );
            }
        }
        assert_eq!(Shares::of(1_024, 2, 1).unwrap().connections, 324);
        let few = Shares::of(64, 2, 1).unwrap_err();
        assert!(
            few.contains("64 files") && few.contains("`ulimit -n`"),
            "{few}"
        );
        // The number that it names is enough, and no more than that.
        let least = few.split("at least ").nth(1).unwrap();
        let least: u64 = least.split(',').next().unwrap().parse().unwrap();
        assert!(Shares::of(least, 2, 1).is_ok() && Shares::of(least - 1, 2, 1).is_err());
    }

    #[test]
    fn limits_are_lowered_only_where_there_are_too_few() {
        let limits = |connections, connections_per_client| Limits {
            connections,
            connections_per_client,
            ..Limits::default()
        };
        let shares = Shares {
            connections: 400,
            backends: 400,
            turned_away: 1,
            admin: 4,
            names: 2,
        };
        for (asked, expected) in [
            ((400, 100), (400, 100)),
            ((20_000, 12_000), (400, 240)),
            ((0, 12_000), (400, 240)),
            ((20_000, 2), (400, 2)),
            ((1_000, 0), (400, 0)),
            ((1_000_000, 1), (400, 1)),
        ] {
            let mut lowered = limits(asked.0, asked.1);
            let said = shares.lower(&mut lowered);
            assert_eq!(
                (lowered.connections, lowered.connections_per_client),
                expected,
                "{asked:?}"
            );
            assert_eq!(said.is_some(), asked != expected, "{asked:?}");
        }
        let mut unlimited = limits(0, 0);
        let all = Shares {
            connections: usize::MAX,
            backends: usize::MAX,
            turned_away: 1,
            admin: 4,
            names: 2,
        };
        assert_eq!(
            (all.lower(&mut unlimited), unlimited.connections),
            (None, 0)
        );
    }
}
