//! Sends a key to the same backend, but none of them more than its share of the load: consistent
//! hashing with bounded load.
//!
//! Use it where backends keep what a key needs warm (a cache, a session), and one key may be hotter
//! than a backend can bear. Keys lie on a ring of points. A key walks from its place to the first
//! backend that has room: fewer requests in flight, of all workers, than `bound` times the average,
//! times its weight. So a hot key spreads over its neighbours, always the same ones, and keys that
//! are not hot stay where they are. Those of other workers are seen some milliseconds late: each
//! worker may be one over the bound, and more in a burst of that time. Requests without the key are
//! left to the next policy or the proxy. Each choice looks at all backends of the pool.
//!
//! ```toml
//! [policies.cache.settings]
//! key = "path"          # or "header:x-user", "cookie:session", "client"
//! bound = 1.25          # times the average; 1 spreads evenly, more keeps keys together
//! points = 100          # on the ring, for each backend and weight
//! ```

use serde::Deserialize;
use waypost_policy::{cookie, hash, prelude::*};

/// More points would take a second to sort.
const MOST_POINTS: u64 = 1_000_000;

struct BoundedLoad {
    key: Key,
    options: Options,
    rings: Pools<Ring>,
    moved: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    key: String,
    #[serde(default = "bound")]
    bound: f64,
    #[serde(default = "points")]
    points: u32,
}

fn bound() -> f64 {
    1.25
}

fn points() -> u32 {
    100
}

enum Key {
    Header(String),
    Cookie(String),
    Path,
    Client,
}

#[derive(Default)]
struct Ring {
    /// Where each point lies, and whose it is.
    points: Vec<(u64, u32)>,
    weights: Vec<u32>,
}

impl Configure for BoundedLoad {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        let key = match options.key.split_once(':') {
            Some(("header", name)) => {
                Headers::check_name("key", name)?;
                Key::Header(name.to_owned())
            }
            Some(("cookie", name)) if cookie::is_name(name) => Key::Cookie(name.to_owned()),
            None if options.key == "path" => Key::Path,
            None if options.key == "client" => Key::Client,
            _ => {
                return Err(
                    "key: has to be \"path\", \"client\", \"header:\" and the name of a field, or \
                     \"cookie:\" and the name of a cookie"
                        .to_owned(),
                );
            }
        };
        if !(1.0..=1000.0).contains(&options.bound) {
            return Err(format!("bound: {} is not 1 to 1000", options.bound));
        }
        if !(1..=1000).contains(&options.points) {
            return Err(format!("points: {} is not 1 to 1000", options.points));
        }
        Ok(BoundedLoad {
            key,
            options,
            rings: Pools::default(),
            moved: Counter::define("moved")?,
        })
    }
}

impl Topology for BoundedLoad {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let weights: Vec<u32> = backends.iter().map(|backend| backend.weight).collect();
        let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let each = u64::from(self.options.points)
            .min(MOST_POINTS / sum.max(1))
            .max(1);
        let mut points = Vec::new();
        for (at, backend) in (0..).zip(backends) {
            for point in 0..each * u64::from(backend.weight) {
                points.push((hash::of(point, backend.address.as_bytes()), at));
            }
        }
        points.sort_unstable();
        self.rings.keep(pool.id, Ring { points, weights });
    }
}

impl Select for BoundedLoad {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let (Some(key), Some(ring)) = (self.key.of(request), self.rings.at(attempt.pool)) else {
            return Decision::Pass;
        };
        let loads = Loads::now(ring, attempt);
        let mut walk = ring.walk(hash::of(0, &key));
        let first = walk.clone().find(|backend| loads.of(*backend).is_some());
        let choice = walk.find(|backend| loads.has_room(*backend, self.options.bound));
        if choice != first {
            self.moved.count();
        }
        choice.or(first).into()
    }
}

impl Key {
    fn of(&self, request: &Request) -> Option<Vec<u8>> {
        match self {
            Key::Header(name) => request.header(name),
            Key::Cookie(name) => {
                let fields = request.header_values("cookie");
                let mut found = fields.iter().filter_map(|field| cookie::find(field, name));
                found.next().map(<[u8]>::to_vec)
            }
            Key::Path => Some(request.path().into_bytes()),
            Key::Client => Some(request.client_address().into_bytes()),
        }
    }
}

impl Ring {
    /// The backends from this place on, once around. One comes up as often as it has points.
    fn walk(&self, place: u64) -> impl Iterator<Item = u32> + Clone {
        let at = self.points.partition_point(|(point, _)| *point < place);
        let (before, after) = self.points.split_at(at);
        after.iter().chain(before).map(|(_, backend)| *backend)
    }
}

/// The usable backends of a pool, and how busy they are.
struct Loads {
    /// Weight and requests in flight; `None` if it is not usable.
    each: Vec<Option<(u32, u32)>>,
    in_flight: u64,
    weight: u64,
}

impl Loads {
    fn now(ring: &Ring, attempt: &Attempt) -> Self {
        let load = |(backend, weight): (u32, &u32)| {
            let usable = *weight > 0 && attempt.is_usable(backend);
            usable.then(|| (*weight, facts::in_flight_of_all(backend)))
        };
        let each: Vec<_> = (0..).zip(&ring.weights).map(load).collect();
        let known = each.iter().flatten();
        let (weight, in_flight) = known.fold((0, 0), |(weights, all), (weight, requests)| {
            (weights + u64::from(*weight), all + u64::from(*requests))
        });
        Loads {
            each,
            in_flight,
            weight,
        }
    }

    fn of(&self, backend: u32) -> Option<(u32, u32)> {
        self.each.get(backend as usize).copied().flatten()
    }

    /// Whether it may have one more, with which the average is counted.
    fn has_room(&self, backend: u32, bound: f64) -> bool {
        let Some((weight, requests)) = self.of(backend) else {
            return false;
        };
        let average = (self.in_flight + 1) as f64 / self.weight as f64;
        f64::from(requests) < (bound * average * f64::from(weight)).ceil()
    }
}

waypost_policy::export!(BoundedLoad: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host, TestPolicy};

    use super::*;

    fn chosen(policy: &mut TestPolicy<BoundedLoad>, path: &str) -> u32 {
        match policy.select(&testing::get(path)) {
            Decision::Backend(backend) => backend,
            other => panic!("{other:?}"),
        }
    }

    fn backends(count: u32) -> impl Iterator<Item = Backend> {
        (1..=count).map(|n| Backend::new(&format!("10.0.0.{n}:80")))
    }

    #[test]
    fn a_key_stays_where_it_is_and_a_hot_one_moves_on_to_the_same_neighbours() {
        let host = Host::new();
        let pool = host.pool("web", backends(5));
        let mut policy = host.load::<BoundedLoad>(r#"{"key": "path"}"#).unwrap();
        let home = chosen(&mut policy, "/hot");
        (0..20).for_each(|_| assert_eq!(chosen(&mut policy, "/hot"), home));
        assert_eq!(host.counted("moved"), 0);
        let mut load = [0u32; 5];
        for n in 1..=100u32 {
            let backend = chosen(&mut policy, "/hot");
            load[backend as usize] += 1;
            pool.set_in_flight(backend, load[backend as usize]);
            let bound = (1.25 * f64::from(n) / 5.0).ceil() as u32;
            assert!(load.iter().all(|l| *l <= bound), "{n}: {load:?}");
        }
        assert_eq!(
            load[home as usize], 25,
            "its home has all that it may: {load:?}"
        );
        assert!(host.counted("moved") > 50);
    }

    #[test]
    fn what_other_workers_have_in_flight_counts() {
        let host = Host::new();
        let pool = host.pool("web", backends(4));
        let mut policy = host
            .load::<BoundedLoad>(r#"{"key": "path", "bound": 1}"#)
            .unwrap();
        let home = chosen(&mut policy, "/a");
        pool.set_in_flight_elsewhere(home, 10);
        let other = chosen(&mut policy, "/a");
        assert_ne!(home, other);
        pool.set_healthy(other, false);
        let third = chosen(&mut policy, "/a");
        assert!(third != home && third != other);
    }

    #[test]
    fn of_a_backend_that_goes_only_its_own_keys_move_and_weights_are_shares() {
        let host = Host::new();
        let heavy = Backend::new("10.0.0.9:80").with_weight(3);
        let off = Backend::new("10.0.0.8:80").with_weight(0);
        let pool = host.pool("web", backends(3).chain([heavy, off]));
        let mut policy = host.load::<BoundedLoad>(r#"{"key": "path"}"#).unwrap();
        let homes: Vec<u32> = (0..600)
            .map(|n| chosen(&mut policy, &format!("/{n}")))
            .collect();
        let on = |backend: u32| homes.iter().filter(|home| **home == backend).count();
        assert!((240..=360).contains(&on(3)) && on(4) == 0, "{}", on(3));
        pool.set_healthy(1, false);
        for (n, home) in homes.iter().enumerate() {
            let now = chosen(&mut policy, &format!("/{n}"));
            assert_eq!(now != *home, *home == 1, "/{n}");
        }
    }

    #[test]
    fn keys_are_fields_cookies_and_addresses() {
        let host = Host::new();
        host.pool("web", backends(8));
        let mut policy = host.load::<BoundedLoad>(r#"{"key": "cookie:id"}"#).unwrap();
        assert_eq!(policy.select(&testing::get("/")), Decision::Pass);
        let of = |value: &str| testing::get("/").field("cookie", format!("a=1; id={value}"));
        let one = policy.select(&of("one"));
        assert_eq!(policy.select(&of("one")), one);
        assert!((0..20).any(|n| policy.select(&of(&n.to_string())) != one));
        let mut policy = host
            .load::<BoundedLoad>(r#"{"key": "header:x-user"}"#)
            .unwrap();
        assert_eq!(policy.select(&testing::get("/")), Decision::Pass);
        assert_ne!(
            policy.select(&testing::get("/").field("x-user", "a")),
            Decision::Pass
        );
        let mut policy = host.load::<BoundedLoad>(r#"{"key": "client"}"#).unwrap();
        assert_ne!(policy.select(&testing::get("/")), Decision::Pass);
    }

    #[test]
    fn mistakes_are_told() {
        let error = |settings: &str| Host::new().load::<BoundedLoad>(settings).unwrap_err();
        assert!(error(r#"{"key": "cookie:a b"}"#).starts_with("key: has to be"));
        assert!(error(r#"{"key": "header:"}"#).starts_with("key: "));
        assert!(error(r#"{"key": "path", "bound": 0.9}"#).starts_with("bound: 0.9"));
        assert!(error(r#"{"key": "path", "points": 0}"#).starts_with("points: 0"));
    }
}
