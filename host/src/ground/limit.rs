//! A time limit for unit tests that wait for a socket or another task: a test that hangs ends the
//! run and is named.

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// Far more than any of these tests takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    static LIMIT: Option<Sender<()>> = begin();
}

/// Starts the limit of the test on this thread. The test ends with its thread.
pub fn limit_this_test() {
    LIMIT.with(|_| ());
}

fn begin() -> Option<Sender<()>> {
    // With one test at a time, all run on the main thread, which outlives each.
    let name = thread::current()
        .name()
        .filter(|name| *name != "main")?
        .to_owned();
    let (ended, waits) = mpsc::channel();
    thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Without a macro, whose output the harness would capture.
            let _ = writeln!(std::io::stderr(), "\n{name} still runs after {PATIENCE:?}");
            std::process::exit(101);
        }
    });
    Some(ended)
}
