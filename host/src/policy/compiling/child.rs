//! The process that compiles: one order, one answer, and it ends.

use std::any::Any;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::error::Refusal;
use super::super::lines::sentence;
use super::work::work;
use super::{Answer, Order, Task, sandbox};

/// The argument that makes the program that process; two numbers follow: bytes of memory and
/// seconds of CPU time.
pub const ARGUMENT: &str = "compile-component";
/// The stack that reads, validates and compiles; more is nesting that no tool writes.
pub(super) const STACK: usize = 16 << 20;
/// The end of an answer that is whole.
pub(super) const END: [u8; 8] = *b"waypost\n";
/// Threads of the compiler, for what brings a language runtime.
pub(super) const THREADS: u64 = 4;

/// An answer and how it came about.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Reply {
    pub answer: Answer,
    /// Whether the kernel held system calls back.
    pub confined: bool,
}

/// Serves the order on standard input, with these two numbers as limits.
pub fn serve(numbers: &[String]) -> ExitCode {
    match numbers
        .iter()
        .map(|n| n.parse())
        .collect::<Result<Vec<u64>, _>>()
        .as_deref()
    {
        Ok(&[memory, seconds]) => match obey(memory, seconds) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                let _ = writeln!(io::stderr(), "{e}");
                ExitCode::from(2)
            }
        },
        _ => {
            let _ = writeln!(
                io::stderr(),
                "{ARGUMENT} is what waypost calls itself with, to compile a component"
            );
            ExitCode::from(2)
        }
    }
}

fn obey(memory: u64, seconds: u64) -> io::Result<()> {
    sandbox::limit(memory, seconds)?;
    if is_abandoned()? {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let confined = sandbox::enter();
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let line = input
        .iter()
        .position(|b| *b == b'\n')
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let order: Order = serde_json::from_slice(&input[..line])?;
    let bytes = &input[line + 1..];
    let (answer, code) = on_a_deep_stack(order.task, bytes)?;
    let reply = serde_json::to_vec(&Reply { answer, confined })?;
    let mut output = io::stdout().lock();
    output.write_all(&code)?;
    output.write_all(&reply)?;
    output.write_all(&(reply.len() as u64).to_le_bytes())?;
    output.write_all(&END)?;
    output.flush()
}

/// Whether the proxy ended before this process had asked for a signal when it does: then nothing
/// reads standard error any more.
fn is_abandoned() -> io::Result<bool> {
    let complaints = io::stderr();
    let mut looked = [PollFd::new(&complaints, PollFlags::empty())];
    poll(&mut looked, Some(&Timespec::default()))?;
    Ok(looked[0].revents().contains(PollFlags::ERR))
}

/// Runs the task on a thread with a large enough stack. A panic of the compiler becomes a refusal.
pub(super) fn on_a_deep_stack(task: Task, bytes: &[u8]) -> io::Result<(Answer, Vec<u8>)> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("compiler".to_owned())
            .stack_size(STACK);
        let done = thread.spawn_scoped(scope, || work(task, bytes))?.join();
        Ok(done.unwrap_or_else(|panic| (Answer::Refused(given_up(panic.as_ref())), Vec::new())))
    })
}

/// The refusal for a panic of the compiler.
fn given_up(panic: &(dyn Any + Send)) -> Refusal {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no reason is given");
    // The runtime writes a module with two memories for that, and does not ask whether it may.
    if text.contains("adapter module") {
        return Refusal::Unsupported(
            "components within it pass strings, lists or large records to each other, which needs \
             the feature multi-memory; policies may not use it; link the parts into one core \
             module before you build the component"
                .to_owned(),
        );
    }
    Refusal::Unsupported(format!(
        "the compiler failed on it ({}); if a supported tool wrote the component, report this",
        sentence(text)
    ))
}
