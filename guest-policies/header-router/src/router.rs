//! Which backend a value stands for. Pure, so that it is tested without a host.

use crate::settings::{Fallback, Settings};

/// What the host tells about a request and its pool.
pub trait Facts {
    /// Uniform in 0 to `bound` - 1.
    fn below(&mut self, bound: u32) -> u32;
    /// Neither set aside for failing nor tried in vain for this request.
    fn usable(&self, backend: u32) -> bool;
}

/// A backend as the topology tells it.
#[derive(Debug, Clone, Copy)]
pub struct Backend<'a> {
    /// IP address and port.
    pub address: &'a str,
    /// Its `name` label.
    pub name: Option<&'a str>,
}

/// The backends of one pool, ready to be looked up.
#[derive(Debug, Default, Clone)]
pub struct Pool {
    /// For each route of the settings, the backends that it names.
    targets: Vec<Vec<u32>>,
    /// One number for each backend, from its address alone, so that it stays the same when the list
    /// changes.
    seeds: Vec<u64>,
}

/// What came of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A route names this backend.
    Routed(u32),
    /// No route has the value; this backend is the value's own.
    Hashed(u32),
    /// No route has the value.
    Unmatched,
    /// A route has the value, but no backend that it names can be used now.
    Unusable,
}

impl Pool {
    /// Finds out which backends the routes name.
    pub fn new(settings: &Settings, backends: &[Backend]) -> Self {
        let named = |target: &str| {
            let matches =
                |backend: &Backend| backend.address == target || backend.name == Some(target);
            (0_u32..)
                .zip(backends)
                .filter(|(_, backend)| matches(backend))
                .map(|(at, _)| at)
                .collect()
        };
        Pool {
            targets: settings
                .routes
                .iter()
                .map(|route| named(&route.target))
                .collect(),
            seeds: backends
                .iter()
                .map(|backend| hash(0, backend.address.as_bytes()))
                .collect(),
        }
    }

    /// The routes that name no backend of this pool, by index.
    pub fn dangling(&self) -> impl Iterator<Item = usize> {
        self.targets
            .iter()
            .enumerate()
            .filter(|(_, backends)| backends.is_empty())
            .map(|(at, _)| at)
    }

    /// The backend for a value of the field.
    pub fn route(&self, settings: &Settings, value: &[u8], facts: &mut impl Facts) -> Outcome {
        if let Ok(at) = settings
            .routes
            .binary_search_by(|route| route.value.as_bytes().cmp(value))
        {
            return self
                .targets
                .get(at)
                .and_then(|named| draw(named, facts))
                .map_or(Outcome::Unusable, Outcome::Routed);
        }
        match settings.fallback {
            Fallback::None => Outcome::Unmatched,
            Fallback::Hash => self
                .own(value, facts)
                .map_or(Outcome::Unusable, Outcome::Hashed),
        }
    }

    /// Rendezvous hashing: when a backend goes, only its own values move.
    fn own(&self, value: &[u8], facts: &impl Facts) -> Option<u32> {
        let mut best: Option<(u64, u32)> = None;
        for (backend, seed) in (0_u32..).zip(&self.seeds) {
            let score = hash(*seed, value);
            // The host is asked last, and only about those that would win.
            if best.is_none_or(|(highest, _)| score > highest) && facts.usable(backend) {
                best = Some((score, backend));
            }
        }
        best.map(|(_, backend)| backend)
    }
}

fn draw(named: &[u32], facts: &mut impl Facts) -> Option<u32> {
    let usable = || named.iter().copied();
    match usable().filter(|&backend| facts.usable(backend)).count() as u32 {
        0 => None,
        1 => usable().find(|&backend| facts.usable(backend)),
        count => {
            let at = facts.below(count) as usize;
            usable().filter(|&backend| facts.usable(backend)).nth(at)
        }
    }
}

/// FNV-1a, then mixed so that every bit counts in a comparison.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed;
    let mut hash = bytes.iter().fold(start, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fixed {
        draw: u32,
        unusable: Vec<u32>,
    }

    impl Facts for Fixed {
        fn below(&mut self, bound: u32) -> u32 {
            self.draw % bound
        }
        fn usable(&self, backend: u32) -> bool {
            !self.unusable.contains(&backend)
        }
    }

    fn settings(fallback: &str) -> Settings {
        let routes = r#"{"blue": "10.0.0.1:80", "green": "green", "lost": "10.9.9.9:80"}"#;
        Settings::parse(&format!(
            r#"{{"header": "x", "fallback": "{fallback}", "routes": {routes}}}"#
        ))
        .unwrap()
    }

    fn backends() -> Vec<Backend<'static>> {
        let name = |at: usize| if at % 2 == 1 { Some("green") } else { None };
        let addresses = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
        addresses
            .iter()
            .enumerate()
            .map(|(at, address)| Backend {
                address,
                name: name(at),
            })
            .collect()
    }

    fn route(fallback: &str, value: &str, mut facts: Fixed) -> Outcome {
        let settings = settings(fallback);
        Pool::new(&settings, &backends()).route(&settings, value.as_bytes(), &mut facts)
    }

    #[test]
    fn an_address_names_one_backend_and_a_label_several() {
        assert_eq!(route("none", "blue", Fixed::default()), Outcome::Routed(0));
        assert_eq!(
            route(
                "none",
                "green",
                Fixed {
                    draw: 0,
                    ..Fixed::default()
                }
            ),
            Outcome::Routed(1)
        );
        assert_eq!(
            route(
                "none",
                "green",
                Fixed {
                    draw: 1,
                    ..Fixed::default()
                }
            ),
            Outcome::Routed(3)
        );
    }

    #[test]
    fn unusable_backends_are_skipped() {
        assert_eq!(
            route(
                "none",
                "green",
                Fixed {
                    draw: 0,
                    unusable: vec![1]
                }
            ),
            Outcome::Routed(3)
        );
        assert_eq!(
            route(
                "none",
                "blue",
                Fixed {
                    draw: 0,
                    unusable: vec![0]
                }
            ),
            Outcome::Unusable
        );
        assert_eq!(
            route(
                "hash",
                "blue",
                Fixed {
                    draw: 0,
                    unusable: vec![0]
                }
            ),
            Outcome::Unusable
        );
        assert_eq!(route("none", "lost", Fixed::default()), Outcome::Unusable);
    }

    #[test]
    fn unknown_values_fall_back() {
        assert_eq!(route("none", "pink", Fixed::default()), Outcome::Unmatched);
        assert_eq!(route("none", "Blue", Fixed::default()), Outcome::Unmatched);
        assert!(matches!(
            route("hash", "pink", Fixed::default()),
            Outcome::Hashed(_)
        ));
        assert_eq!(
            route(
                "hash",
                "pink",
                Fixed {
                    draw: 0,
                    unusable: vec![0, 1, 2, 3]
                }
            ),
            Outcome::Unusable
        );
    }

    #[test]
    fn a_route_that_names_nobody_is_told() {
        let settings = settings("none");
        let pool = Pool::new(&settings, &backends());
        assert_eq!(
            pool.dangling()
                .map(|at| settings.routes[at].value.as_str())
                .collect::<Vec<_>>(),
            ["lost"]
        );
    }

    #[test]
    fn hashing_spreads_and_only_the_values_of_a_lost_backend_move() {
        let own = |value: u32, unusable: Vec<u32>| match route(
            "hash",
            &value.to_string(),
            Fixed { draw: 0, unusable },
        ) {
            Outcome::Hashed(backend) => backend,
            other => panic!("{other:?}"),
        };
        let mut shares = [0; 4];
        for value in 0..1000 {
            let home = own(value, vec![]);
            shares[home as usize] += 1;
            let away = own(value, vec![2]);
            assert!(if home == 2 { away != 2 } else { away == home });
        }
        assert!(
            shares.iter().all(|share| (200..300).contains(share)),
            "{shares:?}"
        );
    }
}
