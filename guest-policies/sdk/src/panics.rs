//! What a policy writes when it panics.
//!
//! A panic ends in a trap, which carries no message, and a policy has no standard error that is
//! worth a library of its own. So the message goes to the log, and the host quotes it in the fault.

use std::panic::{self, PanicHookInfo};

use crate::log;

/// From now on the message and the place of a panic are logged.
#[cold]
pub fn report_panics() {
    panic::set_hook(Box::new(report));
}

// Without `format!`, whose machinery a component may have no other use for.
fn report(info: &PanicHookInfo<'_>) {
    let mut line = String::from("panicked");
    if let Some(place) = info.location() {
        line.push_str(" at ");
        line.push_str(place.file());
        line.push(':');
        line.push_str(&place.line().to_string());
    }
    if let Some(message) = info.payload_as_str() {
        line.push_str(": ");
        line.push_str(message);
    }
    log::error(line);
}
