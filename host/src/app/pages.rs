//! `waypost completions` and `waypost man`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::{self, Completions, Page, Pages};
use crate::ground;

/// Prints the script.
pub(super) fn write_completions(completions: Completions) -> Result<ExitCode> {
    print(&completions.script())
}

/// Prints one page, or writes all into a folder and prints their number. The exit code is 2 if
/// there is no such page, or the folder can't be written.
pub(super) fn write_pages(flags: &Pages) -> Result<ExitCode> {
    let pages = cli::pages().context("the manual pages can't be made")?;
    let written = match &flags.output {
        None => flags.page(&pages).map(|page| page.text.clone()),
        Some(folder) => write_all(folder, &pages)
            .map(|()| format!("{}: {} manual pages\n", folder.display(), pages.len())),
    };
    match written {
        Ok(text) => print(&text),
        Err(sentence) => {
            ground::complain(&sentence);
            Ok(ExitCode::from(2))
        }
    }
}

fn write_all(folder: &Path, pages: &[Page]) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|e| {
        let folder = folder.display();
        format!("{folder}: the folder can't be created: {e}; name another with --output")
    })?;
    for page in pages {
        let path = folder.join(&page.file);
        std::fs::write(&path, &page.text)
            .map_err(|e| format!("{} can't be written: {e}", path.display()))?;
    }
    Ok(())
}

fn print(text: &str) -> Result<ExitCode> {
    ground::print(text).context("standard output can't be written")?;
    Ok(ExitCode::SUCCESS)
}
