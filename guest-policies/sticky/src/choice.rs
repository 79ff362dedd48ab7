//! Which backend a client belongs to. Pure, so that it is tested without a host.

/// What the host tells about the backends of the current request.
pub trait Facts {
    /// False while the backend is set aside for failing.
    fn healthy(&self, backend: u32) -> bool;
    /// Whether an earlier attempt at this request went to this backend.
    fn failed(&self, backend: u32) -> bool;
}

/// What all workers remember of a client for a while.
pub trait Memory {
    /// The token that was put for it.
    fn recall(&self) -> Option<Token>;
    /// Puts one in place of `expected`. Tells whether it was put: not if another worker was faster.
    fn remember(&mut self, expected: Option<Token>, token: Token) -> bool;
}

/// Stands for a backend in a cookie: 16 hexadecimal digits made of its address, so that it holds
/// when the list changes.
pub type Token = [u8; 16];

/// The backends of one pool.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Pool {
    /// From the name, to tell the clients of two pools apart.
    pub id: Token,
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq)]
struct Member {
    token: Token,
    /// From the address alone.
    seed: u64,
    weight: f64,
}

/// How a backend was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The workers remember it.
    Remembered(u32),
    /// The client's address hashes to it.
    Hashed(u32),
    /// There is none that did not fail this request.
    Nobody,
}

impl Pool {
    /// A pool of backends by address and weight, in the order of their indices.
    pub fn new<'a>(name: &str, backends: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let member = |(address, weight): (&str, u32)| {
            let hash = hash(address.as_bytes());
            Member {
                token: token(hash),
                seed: mix(!hash),
                weight: f64::from(weight.max(1)),
            }
        };
        Pool {
            id: token(hash(name.as_bytes())),
            members: backends.map(member).collect(),
        }
    }

    /// The token of a backend.
    pub fn token(&self, backend: u32) -> Option<&Token> {
        self.members
            .get(backend as usize)
            .map(|member| &member.token)
    }

    /// The backend that this value of the cookie names, if it can be used: nearly every request
    /// ends here.
    pub fn keep(&self, cookie: &[u8], facts: &impl Facts) -> Option<u32> {
        self.named(cookie).filter(|backend| usable(facts, *backend))
    }

    /// The backend for a client with this address that has no cookie, or one that was not kept.
    pub fn choose(&self, client: &str, facts: &impl Facts, memory: &mut impl Memory) -> Choice {
        let known = |token: Option<Token>| token.and_then(|token| self.keep(&token, facts));
        let past = memory.recall();
        if let Some(backend) = known(past) {
            return Choice::Remembered(backend);
        }
        let client = hash(client.as_bytes());
        let found = self.own(client, |backend| usable(facts, backend));
        let Some(backend) = found.or_else(|| self.own(client, |backend| !facts.failed(backend)))
        else {
            return Choice::Nobody;
        };
        let told = self
            .token(backend)
            .is_some_and(|token| memory.remember(past, *token));
        match known(if told { None } else { memory.recall() }) {
            Some(backend) => Choice::Remembered(backend),
            None => Choice::Hashed(backend),
        }
    }

    fn named(&self, token: &[u8]) -> Option<u32> {
        self.members
            .iter()
            .position(|member| member.token == token)
            .map(|at| at as u32)
    }

    /// Rendezvous hashing by weight: each backend draws a number for this client from its address
    /// and the client's, and the highest wins. What the others draw does not depend on who else is
    /// there, so only what must move moves.
    fn own(&self, client: u64, usable: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best: Option<(f64, u32)> = None;
        for (backend, member) in (0_u32..).zip(&self.members) {
            let score = member.score(client);
            // The host is asked last, and only about those that would win.
            if best.is_none_or(|(highest, _)| score > highest) && usable(backend) {
                best = Some((score, backend));
            }
        }
        best.map(|(_, backend)| backend)
    }
}

impl Member {
    /// The smallest of `weight` exponential draws wins as often as the weight says; this is its
    /// inverse.
    fn score(&self, client: u64) -> f64 {
        let bits = mix(client ^ self.seed) >> 11;
        let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
        self.weight / -uniform.ln()
    }
}

fn usable(facts: &impl Facts, backend: u32) -> bool {
    !facts.failed(backend) && facts.healthy(backend)
}

fn token(hash: u64) -> Token {
    std::array::from_fn(|at| b"0123456789abcdef"[(hash >> (60 - 4 * at)) as usize & 15])
}

fn hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// Every bit of the input changes about half of the bits of the result.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default, Clone)]
    struct Fixed {
        sick: Vec<u32>,
        failed: Vec<u32>,
    }

    impl Facts for Fixed {
        fn healthy(&self, backend: u32) -> bool {
            !self.sick.contains(&backend)
        }
        fn failed(&self, backend: u32) -> bool {
            self.failed.contains(&backend)
        }
    }

    #[derive(Default)]
    struct Remembers {
        token: Option<Token>,
        /// What another worker puts just before.
        rival: Option<Token>,
    }

    impl Memory for Remembers {
        fn recall(&self) -> Option<Token> {
            self.token
        }
        fn remember(&mut self, expected: Option<Token>, token: Token) -> bool {
            if let Some(rival) = self.rival.take() {
                self.token = Some(rival);
            }
            let agreed = self.token == expected;
            if agreed {
                self.token = Some(token);
            }
            agreed
        }
    }

    fn pool(weights: &[(u32, u32)]) -> Pool {
        let addresses: Vec<_> = weights
            .iter()
            .map(|(n, weight)| (format!("10.0.0.{n}:80"), *weight))
            .collect();
        Pool::new(
            "web",
            addresses
                .iter()
                .map(|(address, weight)| (address.as_str(), *weight)),
        )
    }

    fn equal(backends: impl Iterator<Item = u32>) -> Pool {
        pool(&backends.map(|n| (n, 1)).collect::<Vec<_>>())
    }

    const CLIENTS: u32 = 20_000;

    /// The token of each client's backend.
    fn homes(pool: &Pool, facts: &Fixed) -> Vec<Token> {
        let home = |n: u32| {
            let client = format!("192.168.{}.{}", n / 256, n % 256);
            match pool.choose(&client, facts, &mut Remembers::default()) {
                Choice::Hashed(backend) => *pool.token(backend).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        (0..CLIENTS).map(home).collect()
    }

    fn share(homes: &[Token], token: &Token) -> f64 {
        homes.iter().filter(|home| *home == token).count() as f64 / homes.len() as f64
    }

    #[test]
    fn clients_spread_as_the_weights_say() {
        let pool = pool(&[(1, 1), (2, 2), (3, 5), (4, 0)]);
        let homes = homes(&pool, &Fixed::default());
        for (backend, expected) in [
            (0, 1.0 / 9.0),
            (1, 2.0 / 9.0),
            (2, 5.0 / 9.0),
            (3, 1.0 / 9.0),
        ] {
            let share = share(&homes, pool.token(backend).unwrap());
            assert!((share - expected).abs() < 0.015, "{backend}: {share}");
        }
    }

    #[test]
    fn removing_a_backend_moves_only_its_clients() {
        let before = equal(1..11);
        let gone = *before.token(4).unwrap();
        let after = equal((1..11).filter(|n| *n != 5));
        let (old, new) = (
            homes(&before, &Fixed::default()),
            homes(&after, &Fixed::default()),
        );
        assert!(old.iter().zip(&new).all(|(old, new)| if *old == gone {
            *new != gone
        } else {
            old == new
        }));
        let others: Vec<Token> = old
            .iter()
            .zip(&new)
            .filter(|(old, _)| **old == gone)
            .map(|(_, new)| *new)
            .collect();
        for backend in 0..9 {
            let share = share(&others, after.token(backend).unwrap());
            assert!(
                (share - 1.0 / 9.0).abs() < 0.04,
                "they spread over those that are left: {share}"
            );
        }
    }

    #[test]
    fn adding_a_backend_moves_its_share_and_only_to_it() {
        let (old, after) = (homes(&equal(1..11), &Fixed::default()), equal(1..12));
        let new = homes(&after, &Fixed::default());
        let added = *after.token(10).unwrap();
        assert!(
            old.iter()
                .zip(&new)
                .all(|(old, new)| old == new || *new == added)
        );
        let moved = share(&new, &added);
        assert!((moved - 1.0 / 11.0).abs() < 0.01, "{moved}");
    }

    #[test]
    fn more_weight_only_draws_clients_in() {
        let (before, after) = (
            pool(&[(1, 1), (2, 1), (3, 1)]),
            pool(&[(1, 1), (2, 2), (3, 1)]),
        );
        let grown = *after.token(1).unwrap();
        let (old, new) = (
            homes(&before, &Fixed::default()),
            homes(&after, &Fixed::default()),
        );
        assert!(
            old.iter()
                .zip(&new)
                .all(|(old, new)| old == new || *new == grown)
        );
        assert!((share(&new, &grown) - 0.5).abs() < 0.015);
    }

    #[test]
    fn a_backend_set_aside_is_as_one_removed() {
        let pool = equal(1..6);
        let sick = homes(
            &pool,
            &Fixed {
                sick: vec![2],
                ..Fixed::default()
            },
        );
        let removed = homes(&equal([1, 2, 4, 5].into_iter()), &Fixed::default());
        assert_eq!(sick, removed);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        assert_eq!(
            homes(&equal(1..8), &Fixed::default()),
            homes(&equal((1..8).rev()), &Fixed::default())
        );
    }

    #[test]
    fn a_cookie_keeps_its_backend_while_that_can_be_used() {
        let pool = equal(1..6);
        for backend in 0..5 {
            let token = *pool.token(backend).unwrap();
            assert_eq!(pool.keep(&token, &Fixed::default()), Some(backend));
            assert_eq!(
                pool.keep(
                    &token,
                    &Fixed {
                        sick: vec![backend],
                        ..Fixed::default()
                    }
                ),
                None
            );
            assert_eq!(
                pool.keep(
                    &token,
                    &Fixed {
                        failed: vec![backend],
                        ..Fixed::default()
                    }
                ),
                None
            );
        }
        for nonsense in [
            &b""[..],
            b"0123456789abcdef",
            b"0123456789abcde",
            &[0xff; 400],
        ] {
            assert_eq!(pool.keep(nonsense, &Fixed::default()), None);
        }
    }

    #[test]
    fn workers_that_see_different_things_agree_on_a_client() {
        let pool = equal(1..6);
        let mut memory = Remembers::default();
        let Choice::Hashed(first) = pool.choose("192.0.2.1", &Fixed::default(), &mut memory) else {
            panic!()
        };
        assert_eq!(memory.token.as_ref(), pool.token(first));
        // A list that grew meanwhile, on a worker that does not see the backend as sick: what is
        // remembered holds.
        for n in 6..40 {
            let grown = equal(1..n);
            assert_eq!(
                grown.choose("192.0.2.1", &Fixed::default(), &mut memory),
                Choice::Remembered(first),
                "{n}"
            );
        }
        let sick = Fixed {
            sick: vec![first],
            ..Fixed::default()
        };
        let Choice::Hashed(second) = pool.choose("192.0.2.1", &sick, &mut memory) else {
            panic!()
        };
        assert_eq!(
            pool.choose("192.0.2.1", &Fixed::default(), &mut memory),
            Choice::Remembered(second)
        );
    }

    #[test]
    fn the_faster_worker_is_followed() {
        let pool = equal(1..6);
        let rival = |n: u32| Remembers {
            token: None,
            rival: pool.token(n).copied(),
        };
        for n in 0..5 {
            assert_eq!(
                pool.choose("192.0.2.1", &Fixed::default(), &mut rival(n)),
                Choice::Remembered(n)
            );
        }
        let facts = Fixed {
            failed: vec![2],
            ..Fixed::default()
        };
        assert!(
            matches!(pool.choose("192.0.2.1", &facts, &mut rival(2)), Choice::Hashed(n) if n != 2)
        );
    }

    #[test]
    fn without_anybody_well_one_that_did_not_fail_is_tried() {
        let pool = equal(1..4);
        let facts = Fixed {
            sick: vec![0, 1, 2],
            failed: vec![0, 1],
        };
        assert_eq!(
            pool.choose("a", &facts, &mut Remembers::default()),
            Choice::Hashed(2)
        );
        let facts = Fixed {
            failed: vec![0, 1, 2],
            ..Fixed::default()
        };
        assert_eq!(
            pool.choose("a", &facts, &mut Remembers::default()),
            Choice::Nobody
        );
        assert_eq!(
            equal(1..1).choose("a", &Fixed::default(), &mut Remembers::default()),
            Choice::Nobody
        );
    }

    proptest! {
        #[test]
        fn what_is_chosen_can_be_used(
            weights in prop::collection::vec(0_u32.., 1..12),
            sick in prop::collection::vec(0_u32..12, 0..12),
            failed in prop::collection::vec(0_u32..12, 0..12),
            remembered in prop::option::of(0_u32..12),
            client in "\\PC{0,20}",
        ) {
            let weighted: Vec<_> = (1_u32..).zip(weights).collect();
            let pool = pool(&weighted);
            let facts = Fixed { sick, failed };
            let token = |n: Option<u32>| n.and_then(|n| pool.token(n)).copied();
            let mut memory = Remembers { token: token(remembered), rival: None };
            let choice = pool.choose(&client, &facts, &mut memory);
            let count = weighted.len() as u32;
            let best = (0..count).filter(|n| !facts.failed(*n)).map(|n| u32::from(!facts.healthy(n))).min();
            match choice {
                Choice::Nobody => prop_assert_eq!(best, None),
                Choice::Remembered(n) | Choice::Hashed(n) => {
                    prop_assert!(n < count && !facts.failed(n));
                    prop_assert_eq!(Some(u32::from(!facts.healthy(n))), best);
                }
            }
        }
    }
}
