//! The `waypost` command. Everything it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use waypost::app;
use waypost::cli::Cli;

fn main() -> ExitCode {
    match app::execute(Cli::parse()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
