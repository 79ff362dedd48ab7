//! Gives each backend its share of the requests, in turn: of weights 5, 1 and 1, the first gets
//! five of seven requests, and never five in a row.
//!
//! Use it where shares have to be exact over few requests, or to drain backends: those whose label
//! weighs 0 get nothing new. (The built-in `random` draws by weight, so shares are right only over
//! many requests.) Each worker takes turns of its own. If nobody that weighs something is usable,
//! the next policy or the proxy chooses; but in a pool with drained backends, which it might
//! choose, the client gets 503 instead.
//!
//! ```toml
//! [policies.shares.settings]
//! label = "size"                        # optional: weights by this label of a backend, in place of its own weight
//! weights = { large = 5, small = 1, old = 0 }    # 0 drains; a backend whose label is not here keeps its own weight
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use waypost_policy::prelude::*;

struct Weighted {
    options: Options,
    pools: Pools<Vec<Turn>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Options {
    label: Option<String>,
    weights: BTreeMap<String, u32>,
}

/// How a backend stands in the turns: every turn it earns its weight, and who has most pays for
/// all.
#[derive(Clone, Default)]
struct Turn {
    weight: i64,
    credit: i64,
}

impl Configure for Weighted {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        match (&options.label, options.weights.is_empty()) {
            (Some(_), true) => {
                Err("weights: missing; say what the values of the label weigh".to_owned())
            }
            (None, false) => {
                Err("label: missing; say which label of a backend has these weights".to_owned())
            }
            _ => Ok(Weighted {
                options,
                pools: Pools::default(),
            }),
        }
    }
}

impl Topology for Weighted {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let labelled = |backend: &Backend| {
            let value = self
                .options
                .label
                .as_deref()
                .and_then(|label| backend.label(label))?;
            self.options.weights.get(value).copied()
        };
        let turn = |backend| Turn {
            weight: labelled(backend).unwrap_or(backend.weight).into(),
            credit: 0,
        };
        self.pools
            .keep(pool.id, backends.iter().map(turn).collect());
    }
}

impl Select for Weighted {
    fn select(&mut self, _request: &Request, attempt: &Attempt) -> Decision {
        let Some(turns) = self.pools.at_mut(attempt.pool) else {
            return Decision::Pass;
        };
        let mut all = 0;
        let mut best: Option<(i64, usize)> = None;
        for (backend, turn) in turns.iter_mut().enumerate() {
            if turn.weight == 0 || !attempt.is_usable(backend as u32) {
                continue;
            }
            all += turn.weight;
            turn.credit += turn.weight;
            if best.is_none_or(|(most, _)| turn.credit > most) {
                best = Some((turn.credit, backend));
            }
        }
        let Some((_, backend)) = best else {
            let drains = turns.iter().any(|turn| turn.weight == 0);
            let nobody = Response::new(503).text("No backend can take this request now.\n");
            return if drains {
                nobody.into()
            } else {
                Decision::Pass
            };
        };
        turns[backend].credit -= all;
        Decision::Backend(backend as u32)
    }
}

waypost_policy::export!(Weighted: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host, TestPolicy};

    use super::*;

    fn turns(policy: &mut TestPolicy<Weighted>, count: usize) -> Vec<Decision> {
        (0..count)
            .map(|_| policy.select(&testing::get("/")))
            .collect()
    }

    fn backends(weights: [u32; 3]) -> [Backend; 3] {
        let sized = |weight: u32| if weight > 1 { "large" } else { "small" };
        weights.map(|weight| {
            Backend::new("10.0.0.1:80")
                .with_weight(weight)
                .with_label("size", sized(weight))
        })
    }

    #[test]
    fn shares_are_exact_and_spread() {
        let host = Host::new();
        let pool = host.pool("web", backends([5, 1, 1]));
        let mut policy = host.load::<Weighted>("{}").unwrap();
        let expected = [0, 0, 1, 0, 2, 0, 0].map(Decision::Backend);
        assert_eq!(turns(&mut policy, 7), expected);
        assert_eq!(turns(&mut policy, 7), expected);
        pool.set_healthy(0, false);
        assert_eq!(turns(&mut policy, 4), [1, 2, 1, 2].map(Decision::Backend));
        assert_eq!(policy.retry(&testing::get("/"), [1, 2]), Decision::Pass);
    }

    #[test]
    fn labels_weigh_and_zero_drains() {
        let host = Host::new();
        let pool = host.pool("web", backends([5, 1, 1]));
        let settings = r#"{"label": "size", "weights": {"large": 0, "small": 3}}"#;
        let mut policy = host.load::<Weighted>(settings).unwrap();
        assert_eq!(turns(&mut policy, 4), [1, 2, 1, 2].map(Decision::Backend));
        pool.set_healthy(1, false);
        let Decision::Answer(refusal) = policy.retry(&testing::get("/"), [2]) else {
            panic!("left to who may take 0")
        };
        assert_eq!(refusal.status, 503);
    }

    #[test]
    fn mistakes_are_told() {
        for (settings, expected) in [
            (r#"{"label": "size"}"#, "weights: missing"),
            (r#"{"weights": {"a": 1}}"#, "label: missing"),
            (
                r#"{"label": "size", "weights": {"a": -1}}"#,
                "weights.a: invalid value",
            ),
            (r#"{"wieghts": {}}"#, "wieghts: unknown field"),
        ] {
            let error = Host::new().load::<Weighted>(settings).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
