//! The policies that are part of the binary: ordinary components, built from `guest-policies/`.

/// The component of a built-in policy, or `None` if there is no such policy.
pub fn builtin(name: &str) -> Option<&'static [u8]> {
    BUILTINS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, component)| *component)
}

/// The names of all built-in policies.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    BUILTINS.iter().map(|(name, _)| *name)
}

const BUILTINS: &[(&str, &[u8])] = &[
    (
        "random",
        include_bytes!("../../embedded/components/random.wasm"),
    ),
    (
        "range",
        include_bytes!("../../embedded/components/range.wasm"),
    ),
    (
        "header-router",
        include_bytes!("../../embedded/components/header-router.wasm"),
    ),
    (
        "least-loaded",
        include_bytes!("../../embedded/components/least-loaded.wasm"),
    ),
    (
        "rate-limit",
        include_bytes!("../../embedded/components/rate-limit.wasm"),
    ),
    (
        "sticky",
        include_bytes!("../../embedded/components/sticky.wasm"),
    ),
];
