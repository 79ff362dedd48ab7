//! `bind CONTRACT.wit WORLD.wit FOLDER`: what a C or Zig policy is compiled with. Writes the
//! bindings (`NAME.h`, `NAME.c`) of the world in `WORLD.wit`, and `NAME_component_type.o`, which
//! carries the world's types into the core module.

use std::{env, fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use wit_bindgen_c::{Enabled, Opts};
use wit_bindgen_core::{Files, wit_parser::Resolve};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bind: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [contract, world, folder] = arguments.as_slice() else {
        bail!("usage: bind CONTRACT.wit WORLD.wit FOLDER");
    };
    let mut resolve = Resolve::default();
    resolve
        .push_file(contract)
        .with_context(|| format!("can't read {contract}"))?;
    let package = resolve
        .push_file(world)
        .with_context(|| format!("can't read {world}"))?;
    let chosen = resolve
        .select_world(&[package], None)
        .with_context(|| format!("{world} has no single world"))?;
    let mut files = Files::default();
    // What a hook was lent is given back by the bindings; a policy can't forget it.
    let options = Opts {
        autodrop_borrows: Enabled::Yes,
        ..Opts::default()
    };
    options.build().generate(&mut resolve, chosen, &mut files)?;
    fs::create_dir_all(folder).with_context(|| format!("can't make {folder}"))?;
    for (name, content) in files.iter() {
        let path = Path::new(folder).join(name);
        fs::write(&path, content).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}
