//! `pack INPUT COMPONENT.wasm`: makes a component of a core module that `wit-bindgen` put its types
//! into, and a binary of WebAssembly text (`.wat`).

#[path = "../../../host/src/policy/glue.rs"]
mod glue;
#[path = "../../../host/src/policy/compiling/sections.rs"]
mod sections;

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        bail!(
            "usage: pack INPUT COMPONENT.wasm, where INPUT is a core module (.wasm) or WebAssembly text (.wat)"
        );
    };
    let bytes = fs::read(input).with_context(|| format!("can't read {input}"))?;
    let packed = if Path::new(input)
        .extension()
        .is_some_and(|extension| extension == "wat")
    {
        wat::parse_bytes(&bytes)
            .map(|binary| binary.into_owned())
            .with_context(|| format!("{input} is no valid text"))?
    } else {
        // As `waypost policy pack` does it.
        let shown = |name: &str| !glue::is_glue(&format!("{:#}", rustc_demangle::demangle(name)));
        let slim = sections::slimmed(&bytes, shown);
        ComponentEncoder::default()
            .module(slim.as_deref().unwrap_or(&bytes))
            .and_then(|encoder| encoder.validate(true).encode())
            .with_context(|| format!("{input} is not a policy's core module"))?
    };
    fs::write(output, packed).with_context(|| format!("can't write {output}"))
}
