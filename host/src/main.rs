//! The `waypost` command. Everything it does is in the library.

use std::process::ExitCode;
use std::time::Duration;

use waypost::cli::Cli;
use waypost::{app, ground, policy};

/// Of all threads: a request by HTTP/2 makes some sixty allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the last lines of the log may take.
const LAST_LINES: Duration = Duration::from_secs(2);
/// The exit code of a program that ends by a panic.
const PANICKED: u8 = 101;

fn main() -> ExitCode {
    // Before anything else: a process that was started to compile gives up its rights.
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_some_and(|argument| argument == policy::COMPILER)
    {
        return policy::serve_compiler(
            &arguments
                .map(|a| a.to_string_lossy().into_owned())
                .collect::<Vec<_>>(),
        );
    }
    // Before anything opens a file.
    let activation = app::Activation::take(|name| std::env::var_os(name));
    // A signal that arrives during the start waits until its handler is known.
    let held = app::HeldSignals::now();
    let cli = Cli::from_arguments();
    let code = match ground::goes_on(|| app::execute(cli, held, activation)) {
        Some(Ok(code)) => code,
        Some(Err(e)) => {
            ground::complain(&format!("{e:#}"));
            app::code_of(&e)
        }
        None => ExitCode::from(PANICKED),
    };
    ground::finish(LAST_LINES);
    code
}
