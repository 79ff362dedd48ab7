//! From a core module that carries its types to a component.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::BinaryReader;
use wit_component::ComponentEncoder;

use super::super::error::Refusal;
use super::super::inspect::{Anatomy, Form, inspected};
use super::super::lines::sentence;

/// The magic number and the version.
const MODULE_HEADER: usize = 8;

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
        encoder
            .validate(true)
            .module(&without_debug_info(module)?)?;
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

/// The module without what only a debugger reads, which is most of a build with `-g`. The names of
/// functions stay: a fault names them.
fn without_debug_info(module: &[u8]) -> wasmparser::Result<Vec<u8>> {
    const CUSTOM: u8 = 0;
    let mut reader = BinaryReader::new(module, 0);
    let mut kept = reader.read_bytes(MODULE_HEADER)?.to_vec();
    while !reader.eof() {
        let from = reader.original_position();
        let (id, size) = (reader.read_u8()?, reader.read_var_u32()?);
        let content = reader.read_bytes(size as usize)?;
        let debugs = id == CUSTOM
            && BinaryReader::new(content, 0)
                .read_string()?
                .starts_with(".debug");
        if !debugs {
            kept.extend_from_slice(&module[from..reader.original_position()]);
        }
    }
    Ok(kept)
}
