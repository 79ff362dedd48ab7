//! From a core module that carries its types to a component.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::super::error::Refusal;
use super::super::inspect::{Anatomy, Form, inspected};
use super::super::lines::sentence;
use super::super::names::is_shown;
use super::sections::slimmed;

/// The component that this module becomes.
pub(super) fn pack(module: &[u8]) -> Result<Vec<u8>, Refusal> {
    let found = inspected(module);
    let reason = match found.form {
        Form::CoreModule if found.carries_types => return encode(module, imports_preview1(&found)),
        Form::CoreModule => {
            "this core module does not carry the types of its policy (a custom section \
             `component-type`); generate its bindings with wit-bindgen, and don't strip custom \
             sections"
        }
        Form::Component => "this is a component already; there is nothing to pack",
        Form::Text => {
            "this is WebAssembly text; convert it to a binary module first, with \
            `wat2wasm`"
        }
        Form::Unknown => "this is not a WebAssembly module",
    };
    Err(Refusal::Unpackable(reason.to_owned()))
}

fn imports_preview1(found: &Anatomy) -> bool {
    found
        .wasi
        .iter()
        .any(|import| import.name == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME)
}

fn encode(module: &[u8], adapt: bool) -> Result<Vec<u8>, Refusal> {
    let encoded = || {
        let mut encoder = ComponentEncoder::default();
        let slim = slimmed(module, is_shown);
        encoder
            .validate(true)
            .module(slim.as_deref().unwrap_or(module))?;
        if adapt {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )?;
        }
        encoder.encode()
    };
    encoded().map_err(|e: anyhow::Error| {
        Refusal::Unpackable(format!(
            "it can't become a component: {}",
            sentence(format_args!("{e:#}"))
        ))
    })
}
