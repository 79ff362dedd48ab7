//! `waypost policy new` and `waypost policy bindings`.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::{Begin, Bindings, Lang, New};
use crate::ground;
use crate::scaffold::{self, Language};

/// Prints what was written, and the next step. Nothing was written if the exit code is 2.
pub(super) fn begin_policy(begin: &Begin) -> Result<ExitCode> {
    let done = match begin {
        Begin::New(New { name, lang, dir }) => {
            scaffold::create(name, language(*lang), dir.as_deref()).map(|made| {
                let folder = made.folder.display();
                format!(
                    "Created policy {} ({}) in {folder}. Next:\n  cd {folder} && ./test\n",
                    made.name, made.language
                )
            })
        }
        Begin::Bindings(Bindings { wit, output }) => scaffold::write_bindings(wit, output)
            .map(|files| format!("{}: {}\n", output.display(), files.join(", "))),
    };
    match done {
        Ok(said) => {
            ground::print(&said).context("standard output can't be written")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => {
            ground::complain(&e.to_string());
            Ok(ExitCode::from(2))
        }
    }
}

fn language(lang: Lang) -> Language {
    match lang {
        Lang::Rust => Language::Rust,
        Lang::Js => Language::JavaScript,
        Lang::Python => Language::Python,
        Lang::C => Language::C,
        Lang::Zig => Language::Zig,
    }
}
