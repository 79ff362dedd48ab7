//! From a core module that carries its types to a component.

use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::RehearsalError;
use crate::config::brief;
use crate::policy::{Form, anatomy};

/// The component that this module becomes. `path` is for the message.
pub(super) fn pack(path: &Path, module: &[u8]) -> Result<Vec<u8>, RehearsalError> {
    let found = anatomy(module);
    let reason = match found.form {
        Form::CoreModule if found.carries_types => match encode(module, imports_preview1(&found)) {
            Ok(component) => return Ok(component),
            Err(reason) => reason,
        },
        Form::CoreModule => {
            "this core module does not carry the types of its policy (a custom section `component-type`); \
             make its bindings with wit-bindgen, and don't strip custom sections"
                .to_owned()
        }
        Form::Component => "this is a component already; there is nothing to pack".to_owned(),
        Form::Text => "this is WebAssembly text; make a binary module of it first, with `wat2wasm`".to_owned(),
        Form::Unknown => "this is not a WebAssembly module".to_owned(),
    };
    Err(RehearsalError::Unpackable { path: path.to_owned(), reason })
}

fn imports_preview1(found: &crate::policy::Anatomy) -> bool {
    found.wasi.iter().any(|import| import.name == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME)
}

fn encode(module: &[u8], adapt: bool) -> Result<Vec<u8>, String> {
    let encoded = || {
        let mut encoder = ComponentEncoder::default();
        encoder.validate(true).module(module)?;
        if adapt {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
        }
        encoder.encode()
    };
    encoded().map_err(|e: anyhow::Error| {
        format!("it can't become a component: {}", brief(&format!("{e:#}").replace('\n', " ")))
    })
}
