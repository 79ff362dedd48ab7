//! The `waypost` command. Everything it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use waypost::cli::Cli;
use waypost::{app, policy};

fn main() -> ExitCode {
    // Before anything else: this process was started to give up what it could do.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|argument| argument == policy::COMPILER) {
        return policy::serve_compiler(&arguments.map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>());
    }
    match app::execute(Cli::parse()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
