//! What wasmtime generates from `wit/`: the traits that the host implements for the imports of a
//! policy.
//!
//! The exports are in [`super::contract`], because a policy exports only some of them.

#![allow(
    missing_docs,
    clippy::all,
    reason = "generated; the documentation is in wit/policy.wit"
)]

wasmtime::component::bindgen!({
    path: "embedded/wit",
    world: "imports",
    with: {
        "waypost:policy/types.request": super::resources::Request,
        "waypost:policy/types.headers": super::resources::Headers,
        "waypost:policy/types.target": super::resources::Target,
    },
});
