//! A limit for unit tests that wait for a socket or another task: one that hangs ends the run and
//! is named, where the run would otherwise never end.

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// Far beyond what any of these tests takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    static LIMIT: Option<Sender<()>> = begin();
}

/// From now on the test that this thread runs has a limit. The test ends with its thread.
pub fn limit_this_test() {
    LIMIT.with(|_| ());
}

fn begin() -> Option<Sender<()>> {
    // With one test at a time all of them run on the main thread, which outlives each.
    let name = thread::current()
        .name()
        .filter(|name| *name != "main")?
        .to_owned();
    let (ended, waits) = mpsc::channel();
    thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Not by a macro: the harness would keep what it prints.
            let _ = writeln!(std::io::stderr(), "\n{name} still runs after {PATIENCE:?}");
            std::process::exit(101);
        }
    });
    Some(ended)
}
