//! Hooks that nothing asks, and what no policy can be asked for want of a hook.

use std::collections::HashSet;

use crate::config::{Config, PolicySource, Pool, Route};
use crate::policy::{Hook, Hooks};

/// The built-in policies that leave the choice to no other.
const CHOOSE_ALWAYS: [&str; 2] = ["random", "least-loaded"];

/// A configuration, and what its policies export; `None` for one that could not be loaded, which
/// has an error of its own.
pub(super) struct Unasked<'c> {
    config: &'c Config,
    exported: &'c [Option<Hooks>],
}

impl<'c> Unasked<'c> {
    pub(super) fn new(config: &'c Config, exported: &'c [Option<Hooks>]) -> Self {
        Self { config, exported }
    }

    /// What makes the proxy refuse requests.
    pub(super) fn errors(&self) -> Vec<String> {
        let of_forward = self.of_forward();
        let lacking = of_forward.filter(|at| self.lacks(*at, Hook::Destination));
        let error = |at: usize| {
            format!(
                "policy {:?} is named in `[forward]` and does not export the hook `destination`, \
                 so that every request there would get 503; remove it from `forward.policies`, or \
                 take a component that has the hook",
                self.name(at)
            )
        };
        lacking.map(error).collect()
    }

    /// What has no effect.
    pub(super) fn warnings(&self) -> Vec<String> {
        let policies = 0..self.config.policies.len();
        let of_policies = policies.flat_map(|at| {
            let all = [
                self.only_selects(at),
                self.stands_behind(at),
                self.no_pools(at),
                self.no_right(at),
                self.no_destination(at),
            ];
            all.into_iter().flatten()
        });
        let routes = self.config.routes.iter();
        let rights = routes.filter_map(|route| self.right_without_hook(route));
        of_policies.chain(rights).chain(self.weights()).collect()
    }

    /// A route that passes connections on asks for a backend and nothing else.
    fn only_selects(&self, at: usize) -> Option<String> {
        let route = self.routes_of(at).find(|route| route.layer4.is_some())?;
        self.lacks(at, Hook::Selection).then(|| {
            format!(
                "policy {:?} is not asked about connections of the route \"{route}\": only the \
                 hook `select` is, and it has none",
                self.name(at)
            )
        })
    }

    /// What comes behind a policy that chooses for every request chooses for none.
    fn stands_behind(&self, at: usize) -> Option<String> {
        self.exported[at].filter(|hooks| hooks.has(Hook::Selection))?;
        let chooses = |other: &usize| {
            let source = &self.config.policies[*other].source;
            matches!(source, PolicySource::Builtin(name) if CHOOSE_ALWAYS.contains(&name.as_str()))
        };
        let (route, first) = self.routes_of(at).find_map(|route| {
            let first = route.policies.iter().position(chooses)?;
            let own = route.policies.iter().position(|policy| *policy == at)?;
            (first < own).then(|| (route, route.policies[first]))
        })?;
        Some(format!(
            "policy {:?} never selects a backend in the route \"{route}\": policy {:?} stands \
             before it and selects one for every request; write {:?} last",
            self.name(at),
            self.name(first),
            self.name(first)
        ))
    }

    /// Only where there are several pools is one chosen. A policy with other hooks may be in a
    /// route for those, but it has this one for some route.
    fn no_pools(&self, at: usize) -> Option<String> {
        self.exported[at].filter(|hooks| hooks.has(Hook::Routing))?;
        let has_one = |route: &Route| route.traffic.targets.len() < 2;
        let is_asked = self.requests_of(at).any(|route| !has_one(route));
        if is_asked && !self.has_only(at, Hook::Routing) {
            return None;
        }
        let route = self.requests_of(at).find(|route| has_one(route))?;
        Some(format!(
            "the hook `routing` of policy {:?} is not asked, because the route \"{route}\" has one \
             pool; write `pools` with all that it may choose from",
            self.name(at)
        ))
    }

    /// Only a route that says so lets its policies edit the target.
    fn no_right(&self, at: usize) -> Option<String> {
        let has_none = |route: &&Route| !route.rights.is_any();
        let route = self.requests_of(at).find(has_none)?;
        self.has_only(at, Hook::RequestTarget).then(|| {
            format!(
                "policy {:?} does nothing in the route \"{route}\": its only hook is \
                 `request-target`, and the route has no `policies-may-edit`; write for example \
                 policies-may-edit = [\"path\"]",
                self.name(at)
            )
        })
    }

    /// Only the forward proxy asks about destinations.
    fn no_destination(&self, at: usize) -> Option<String> {
        let route = self.requests_of(at).next()?;
        self.has_only(at, Hook::Destination).then(|| {
            format!(
                "policy {:?} does nothing in the route \"{route}\": its only hook is \
                 `destination`, which `[forward]` asks; name it in `forward.policies`",
                self.name(at)
            )
        })
    }

    /// `policies-may-edit` is for policies that edit the target.
    fn right_without_hook(&self, route: &Route) -> Option<String> {
        let has_none = route.rights.is_any() && self.all_lack(route, Hook::RequestTarget);
        has_none.then(|| {
            format!(
                "no policy of the route \"{route}\" exports `request-target`, so its \
                 `policies-may-edit` has no effect"
            )
        })
    }

    /// Weights are for policies that select. One sentence for each pool is enough.
    fn weights(&self) -> impl Iterator<Item = String> {
        let mut said = HashSet::new();
        let routes = self.config.routes.iter();
        let found = routes.filter(|route| self.all_lack(route, Hook::Selection));
        let found = found.flat_map(|route| route.traffic.pools().map(move |pool| (route, pool)));
        let found = found.filter(move |(_, pool)| said.insert(*pool));
        found.filter_map(|(route, pool)| {
            let Pool { name, backends, .. } = &self.config.pools[pool];
            let differ = backends
                .windows(2)
                .any(|two| two[0].weight != two[1].weight);
            differ.then(|| {
                format!(
                    "no policy of the route \"{route}\" selects a backend, so the weights in pool \
                     {name:?} don't count; write \"random\" at the end of its `policies`"
                )
            })
        })
    }

    /// Whether the policy has this hook and no other.
    fn has_only(&self, at: usize, hook: Hook) -> bool {
        let has = |hooks: Hooks| Hook::ALL.map(|each| hooks.has(each) == (each == hook));
        self.exported[at].is_some_and(|hooks| has(hooks).into_iter().all(|fits| fits))
    }

    fn routes_of(&self, at: usize) -> impl Iterator<Item = &'c Route> {
        let routes = self.config.routes.iter();
        routes.filter(move |route| route.policies.contains(&at))
    }

    /// Those that take requests: others have a sentence of their own.
    fn requests_of(&self, at: usize) -> impl Iterator<Item = &'c Route> {
        self.routes_of(at).filter(|route| route.layer4.is_none())
    }

    fn of_forward(&self) -> impl Iterator<Item = usize> {
        let forward = self.config.forward.iter();
        forward.flat_map(|forward| forward.policies.iter().copied())
    }

    fn lacks(&self, at: usize, hook: Hook) -> bool {
        self.exported[at].is_some_and(|hooks| !hooks.has(hook))
    }

    fn all_lack(&self, route: &Route, hook: Hook) -> bool {
        route.policies.iter().all(|at| self.lacks(*at, hook))
    }

    fn name(&self, at: usize) -> &'c str {
        &self.config.policies[at].name
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const POOLS: &str = "[pools.a]\nbackends = \"b:1\"\n[pools.b]\nbackends = [\"b:2\"]\n\
                         [pools.w]\nbackends = [{ address = \"b:3\", weight = 2 }, \"b:4\"]\n\
                         [policies.p]\ncomponent = \"p.wasm\"\n";
    const TO_ONE: &str = "[[routes]]\npath = \"/x\"\npool = \"a\"\npolicies = [\"p\"]\n";
    const TO_TWO: &str = "[[routes]]\npools = [\"a\", \"b\"]\npolicies = [\"p\"]\n";

    /// What is said of a policy `p` with these hooks.
    fn warnings(text: &str, hooks: Hooks) -> Vec<String> {
        let text = format!("{text}{POOLS}");
        let config = Config::from_toml(&text, Path::new("/")).unwrap_or_else(|e| panic!("{e}"));
        let exported = vec![Some(hooks); config.policies.len()];
        Unasked::new(&config, &exported).warnings()
    }

    #[track_caller]
    fn warns(text: &str, hooks: Hooks, words: &[&str]) {
        let warnings = warnings(text, hooks);
        let [warning] = warnings.as_slice() else {
            panic!("{text}: {warnings:#?}");
        };
        assert!(words.iter().all(|part| warning.contains(part)), "{warning}");
    }

    #[track_caller]
    fn is_well(text: &str, hooks: Hooks) {
        assert_eq!(warnings(text, hooks), [""; 0], "{text}");
    }

    #[test]
    fn a_policy_that_chooses_pools_needs_several() {
        let words = ["`routing`", "\"p\"", "\"*/x\"", "write `pools`"];
        let routing = Hooks {
            routing: true,
            ..Hooks::default()
        };
        let and_edits = Hooks {
            request_headers: true,
            ..routing
        };
        let both = format!("{TO_TWO}{TO_ONE}");
        for hooks in [routing, and_edits] {
            warns(TO_ONE, hooks, &words);
            is_well(TO_TWO, hooks);
        }
        // It may be in the second route for its other hook.
        warns(&both, routing, &words);
        is_well(&both, and_edits);
    }

    #[test]
    fn a_policy_that_edits_targets_needs_the_right_to() {
        let target = Hooks {
            request_target: true,
            ..Hooks::default()
        };
        warns(
            TO_ONE,
            target,
            &["`request-target`", "write for example policies-may-edit"],
        );
        is_well(&format!("{TO_ONE}policies-may-edit = \"path\"\n"), target);
        let and_edits = Hooks {
            request_headers: true,
            ..target
        };
        is_well(TO_ONE, and_edits);
    }

    #[test]
    fn a_policy_about_destinations_is_one_of_the_forward_proxy() {
        let destination = Hooks {
            destination: true,
            ..Hooks::default()
        };
        let forward = "[forward]\nlisten = \"127.0.0.1:0\"\npolicies = [\"p\"]\n";
        let words = ["`destination`", "\"*/x\"", "`forward.policies`"];
        warns(TO_ONE, destination, &words);
        warns(&format!("{forward}{TO_ONE}"), destination, &words);
        is_well(forward, destination);
        let and_edits = Hooks {
            request_headers: true,
            ..destination
        };
        is_well(TO_ONE, and_edits);
    }

    #[test]
    fn what_selects_stands_before_what_always_does() {
        let selects = Hooks {
            selection: true,
            ..Hooks::default()
        };
        let all = "[policies.all]\nbuiltin = \"random\"\n";
        let route =
            |policies: &str| format!("[[routes]]\npool = \"a\"\npolicies = {policies}\n{all}");
        let behind = route("[\"all\", \"p\"]");
        warns(
            &behind,
            selects,
            &["\"p\" never selects", "\"all\" stands before"],
        );
        is_well(&route("[\"p\", \"all\"]"), selects);
        // It may be there for its other hooks.
        let edits = Hooks {
            request_headers: true,
            ..Hooks::default()
        };
        is_well(&behind, edits);
    }

    #[test]
    fn weights_count_where_a_policy_selects() {
        let none = Hooks {
            range: true,
            ..Hooks::default()
        };
        let selects = Hooks {
            selection: true,
            ..none
        };
        let text = TO_ONE.replace("\"a\"", "\"w\"");
        let words = ["the weights in pool \"w\"", "\"*/x\"", "write \"random\""];
        warns(&text, none, &words);
        warns(&text.replace("\"p\"", ""), none, &words);
        is_well(&text, selects);
        is_well(TO_ONE, none);
        // A policy that could not be loaded may be one that selects.
        let config = Config::from_toml(&format!("{text}{POOLS}"), Path::new("/")).unwrap();
        let unknown = vec![None; config.policies.len()];
        assert_eq!(Unasked::new(&config, &unknown).warnings(), [""; 0]);
    }
}
