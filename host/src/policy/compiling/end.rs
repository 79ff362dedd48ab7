//! The reason why the compiling process ended, as a sentence with a remedy.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::super::error::Refusal;
use super::Order;
use super::child::STACK;

pub(super) fn no_memory(text: &str) -> bool {
    [
        "memory allocation of",
        "os error 12",
        "Cannot allocate memory",
        "out of memory",
    ]
    .iter()
    .any(|said| text.contains(said))
}

/// The reason for the end of a process that gave no answer.
pub(super) fn meaning(status: ExitStatus, words: &str, order: &Order) -> Refusal {
    const OUT_OF_CPU: i32 = 24;
    const FILE_TOO_LARGE: i32 = 25;
    const ABORTED: i32 = 6;
    const FAULTS: [i32; 2] = [7, 11];
    if no_memory(words) {
        return Refusal::CompileMemory {
            limit: order.memory,
        };
    }
    match status.signal() {
        Some(signal) if signal == OUT_OF_CPU && cfg!(target_os = "linux") => Refusal::CompileTime {
            seconds: order.seconds,
        },
        Some(signal) if signal == FILE_TOO_LARGE && cfg!(target_os = "linux") => {
            Refusal::CompileSize
        }
        Some(signal)
            if (signal == ABORTED && words.contains("overflowed its stack"))
                || FAULTS.contains(&signal) =>
        {
            Refusal::CompileStack {
                limit: STACK as u64,
            }
        }
        Some(signal) => {
            let what = format!(
                "it was killed by signal {signal}; if the machine ran out of memory, deploy the \
                     component again later"
            );
            Refusal::CompilerFailed(said(&what, words))
        }
        None => Refusal::CompilerFailed(said(
            &format!("it ended with code {}", status.code().unwrap_or(-1)),
            words,
        )),
    }
}

/// Adds what the operator can do where a limit of the system is reached.
pub(super) fn with_remedy(error: &io::Error) -> String {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => format!("{error}; raise `ulimit -n`"),
        Some(Errno::AGAIN) => {
            format!("{error}; raise `ulimit -u`, or the limit of tasks of the service")
        }
        _ => error.to_string(),
    }
}

pub(super) fn said(what: &str, words: &str) -> String {
    if words.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {words}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::*;
    use crate::config::CompileLimits;

    fn order() -> Order {
        Order::new(Task::Inspect, CompileLimits::default(), 100)
    }

    #[test]
    fn each_end_of_the_process_names_the_limit() {
        let by = |raw| ExitStatus::from_raw(raw);
        for (status, words, told) in [
            (by(24), "", "more than 10 s"),
            (
                by(6),
                "thread 'compiler' has overflowed its stack",
                "nested",
            ),
            (by(11), "", "nested"),
            (by(6), "memory allocation of 4096 bytes failed", "1024 MiB"),
            (
                by(101 << 8),
                "failed to mmap: Cannot allocate memory (os error 12)",
                "1024 MiB",
            ),
            (by(9), "", "signal 9"),
            (by(2 << 8), "its order was cut off", "cut off"),
        ] {
            let told_now = meaning(status, words, &order()).to_string();
            assert!(told_now.contains(told), "{told}: {told_now}");
        }
    }
}
