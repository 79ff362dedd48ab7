//! The other process as this one sees it: started, waited for, ended, and what its end means.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::error::Refusal;
use super::super::inspect::Anatomy;
use super::super::lines::sentence;
use super::child::{ARGUMENT, END, Reply, THREADS, on_a_deep_stack};
use super::end::{meaning, no_memory, with_remedy};
use super::turns::SHORT;
use super::work::LARGE;
use super::{Answer, Artefact, Order, Task};
use crate::config::CompileLimits;

/// How much of the process's standard error is kept.
const WORDS: usize = 4096;
/// The longest answer without its bytes.
const LONGEST_REPLY: u64 = 8 << 20;
/// On a busy machine a process gets less than a second of CPU time in a second of the clock, above
/// all a nice one. The kernel limits the CPU time; by the clock the proxy waits this many times as
/// long.
const BUSY: u32 = 6;
/// How often a process that has nothing open any more is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(2);
/// How often one that has not ended soon is asked how long it has worked.
const ASK: Duration = Duration::from_millis(100);

/// Where components are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// In a separate process of this program, with limits.
    Apart,
    /// In this one. For programs that are not waypost and can't start themselves as it: benchmarks,
    /// fuzz targets, unit tests.
    Here,
}

impl Default for Compiler {
    /// A build for `bench/check` also needs the environment variable to compile here, in case such
    /// a build is mistaken for a proxy.
    fn default() -> Self {
        let told =
            cfg!(feature = "compile-here") && std::env::var_os("WAYPOST_COMPILE_HERE").is_some();
        if cfg!(test) || told {
            Self::Here
        } else {
            Self::Apart
        }
    }
}

impl Compiler {
    /// Has it done. `long` is called once if it takes long.
    pub(in super::super) fn ask(
        self,
        order: &Order,
        bytes: &[u8],
        long: &mut dyn FnMut(),
    ) -> Result<(Answer, Artefact), Refusal> {
        match self {
            Self::Here => {
                let done = on_a_deep_stack(order.task, bytes);
                let (answer, code) = done.map_err(|e| Refusal::CompilerFailed(e.to_string()))?;
                Ok((answer, Artefact::Bytes(code)))
            }
            Self::Apart => apart(order, bytes, long),
        }
    }

    /// Describes these bytes. A broken component is described as far as it can be read.
    pub fn anatomy(self, bytes: &[u8], limits: CompileLimits) -> Result<Anatomy, Refusal> {
        let order = Order::new(Task::Inspect, limits, bytes.len());
        match self.ask(&order, bytes, &mut || ())? {
            (Answer::Inspected(anatomy), _) => Ok(*anatomy),
            (answer, _) => Err(unexpected(answer)),
        }
    }

    /// The component that this core module becomes.
    #[cfg(feature = "authoring")]
    pub fn pack(self, module: &[u8], limits: CompileLimits) -> Result<Vec<u8>, Refusal> {
        let order = Order::new(Task::Pack, limits, module.len());
        match self.ask(&order, module, &mut || ())? {
            (Answer::Packed, Artefact::Bytes(component)) => Ok(component),
            (Answer::Packed, Artefact::File(mut file)) => {
                let mut component = Vec::new();
                let read = file
                    .seek(SeekFrom::Start(0))
                    .and_then(|_| file.read_to_end(&mut component));
                read.map_err(|e| Refusal::Host(e.to_string()))?;
                Ok(component)
            }
            (answer, _) => Err(unexpected(answer)),
        }
    }
}

/// An answer to another question can only be one that refuses.
pub(in super::super) fn unexpected(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        _ => Refusal::CompilerFailed("it answered another question".to_owned()),
    }
}

/// How a process ended.
enum End {
    By(ExitStatus),
    OutOfTime,
}

fn apart(
    order: &Order,
    bytes: &[u8],
    long: &mut dyn FnMut(),
) -> Result<(Answer, Artefact), Refusal> {
    let failed = |e: io::Error| {
        Refusal::Host(format!(
            "no memory can be shared with the process that compiles: {}",
            with_remedy(&e)
        ))
    };
    let mut input = memory("waypost-order").map_err(failed)?;
    let mut output = memory("waypost-artefact").map_err(failed)?;
    let line = serde_json::to_vec(order).map_err(|e| Refusal::Host(e.to_string()))?;
    let written = input
        .write_all(&line)
        .and_then(|()| input.write_all(b"\n"))
        .and_then(|()| input.write_all(bytes));
    written
        .and_then(|()| input.seek(SeekFrom::Start(0)))
        .map_err(failed)?;
    let stdout = output.try_clone().map_err(failed)?;
    let threads = if bytes.len() > LARGE { THREADS } else { 1 };
    let began = Instant::now();
    let mut child = start(order, threads, input, stdout)
        .map_err(|e| Refusal::CompilerMissing(with_remedy(&e)))?;
    let mut words = Vec::new();
    let ended = wait(
        &mut child,
        began,
        Duration::from_secs(order.seconds.saturating_mul(BUSY.into())),
        &mut words,
        long,
    );
    let words = sentence(String::from_utf8_lossy(&words).trim());
    match ended.map_err(|e| {
        Refusal::Host(format!(
            "the process that compiles can't be waited for: {e}"
        ))
    })? {
        End::OutOfTime => Err(Refusal::CompileTime {
            seconds: order.seconds,
        }),
        End::By(status) if status.success() => read(&mut output).map_or_else(
            |e| {
                Err(Refusal::CompilerFailed(format!(
                    "its answer can't be used: {e}"
                )))
            },
            |answer| within_memory(answer, order).map(|answer| (answer, Artefact::File(output))),
        ),
        End::By(status) => Err(meaning(status, &words, order)),
    }
}

/// A file that is nowhere but in memory, or at least has no name.
#[cfg(target_os = "linux")]
fn memory(name: &str) -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
}

#[cfg(not(target_os = "linux"))]
fn memory(name: &str) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = std::env::temp_dir().join(format!(
        "{name}-{}-{:016x}",
        std::process::id(),
        rand::random::<u64>()
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn start(order: &Order, threads: u64, input: File, output: File) -> io::Result<Child> {
    let program = match cfg!(target_os = "linux") {
        // Also if the file has been replaced meanwhile: both must be of one version.
        true => "/proc/self/exe".into(),
        false => std::env::current_exe()?,
    };
    Command::new(program)
        .arg0("waypost")
        .arg(ARGUMENT)
        .args([order.memory.to_string(), order.seconds.to_string()])
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        // The allocator reserves a gibibyte at its start, which counts as used by its default.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .env("MIMALLOC_ARENA_RESERVE", "64MiB")
        .current_dir("/")
        // A Ctrl-C is for the proxy, which finishes its work.
        .process_group(0)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .stderr(Stdio::piped())
        .spawn()
}

/// Waits until it has ended, and ends it when its time is over.
fn wait(
    child: &mut Child,
    began: Instant,
    limit: Duration,
    words: &mut Vec<u8>,
    long: &mut dyn FnMut(),
) -> io::Result<End> {
    let waited = listen(child, began, limit, words, long);
    if !matches!(waited, Ok(Some(_))) {
        // It may have ended by itself just now.
        let _ = child.kill();
        child.wait()?;
    }
    Ok(waited?.map_or(End::OutOfTime, End::By))
}

/// Reads its standard error until it has ended; `None` if its time is over.
fn listen(
    child: &mut Child,
    began: Instant,
    limit: Duration,
    words: &mut Vec<u8>,
    long: &mut dyn FnMut(),
) -> io::Result<Option<ExitStatus>> {
    let mut complaints = child.stderr.take();
    let mut short = true;
    loop {
        let passed = began.elapsed();
        let Some(left) = limit.checked_sub(passed) else {
            return Ok(None);
        };
        if short
            && passed >= SHORT
            && (passed >= SHORT * BUSY || work_of(child).is_none_or(|work| work >= SHORT))
        {
            short = false;
            long();
        }
        let pause = if short {
            SHORT.saturating_sub(passed).max(ASK).min(left)
        } else {
            left
        };
        match &mut complaints {
            Some(open) => {
                if !hear(open, pause, words)? {
                    complaints = None;
                }
            }
            None => match child.try_wait()? {
                Some(status) => return Ok(Some(status)),
                None => thread::sleep(LOOK.min(pause)),
            },
        }
    }
}

/// The CPU time that it has used, where the system reports it.
fn work_of(child: &Child) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        use nix::time::ClockId;
        use nix::unistd::Pid;
        let clock =
            ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(child.id()).ok()?)).ok()?;
        clock.now().ok().map(Duration::from)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = child;
        None
    }
}

/// Waits for a word for so long; false if there will be no more.
fn hear(complaints: &mut ChildStderr, pause: Duration, words: &mut Vec<u8>) -> io::Result<bool> {
    let pause =
        Timespec::try_from(pause.max(Duration::from_millis(1))).map_err(io::Error::other)?;
    let ready = poll(&mut [PollFd::new(complaints, PollFlags::IN)], Some(&pause));
    match ready {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(true),
        Ok(_) => {}
        Err(e) => return Err(e.into()),
    }
    let mut buffer = [0; 1024];
    let read = complaints.read(&mut buffer)?;
    let room = WORDS - words.len();
    words.extend_from_slice(&buffer[..read.min(room)]);
    Ok(read > 0)
}

/// The answer; the rest of the file holds its bytes, which no process can change from here on.
fn read(output: &mut File) -> io::Result<Answer> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is not whole");
    let size = output.seek(SeekFrom::End(0))?;
    let mut tail = [0; 16];
    output.seek(SeekFrom::Start(size.checked_sub(16).ok_or_else(broken)?))?;
    output.read_exact(&mut tail)?;
    let (length, end) = tail.split_at(8);
    let length = u64::from_le_bytes(length.try_into().map_err(|_| broken())?);
    let begin = size
        .checked_sub(16)
        .and_then(|s| s.checked_sub(length))
        .ok_or_else(broken)?;
    if end != END || length > LONGEST_REPLY {
        return Err(broken());
    }
    output.seek(SeekFrom::Start(begin))?;
    let mut text = Vec::new();
    Read::by_ref(output).take(length).read_to_end(&mut text)?;
    let Reply { answer, confined } = serde_json::from_slice(&text)?;
    if !confined {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            tracing::warn!(
                "this system has no seccomp: the process that compiles components has limits on \
                 memory, time and files, but could make any system call"
            );
        });
    }
    output.set_len(begin)?;
    output.seek(SeekFrom::Start(0))?;
    seal(output)?;
    Ok(answer)
}

#[cfg(target_os = "linux")]
fn seal(file: &File) -> io::Result<()> {
    use rustix::fs::{SealFlags, fcntl_add_seals};
    Ok(fcntl_add_seals(
        file,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?)
}

/// No other process has it open, and it has no name.
#[cfg(not(target_os = "linux"))]
fn seal(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Where the runtime was refused memory it says so as of any other error.
fn within_memory(answer: Answer, order: &Order) -> Result<Answer, Refusal> {
    match answer {
        Answer::Refused(
            Refusal::Corrupt(text) | Refusal::Unsupported(text) | Refusal::Host(text),
        ) if no_memory(&text) => Err(Refusal::CompileMemory {
            limit: order.memory,
        }),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_component_has_more_time_and_memory_and_the_configuration_has_the_last_word() {
        let limits = |size| {
            let order = Order::new(Task::Inspect, CompileLimits::default(), size);
            (order.seconds, order.memory >> 20)
        };
        assert_eq!(limits(0), (10, 1024));
        assert_eq!(limits(1 << 20), (10, 1024));
        assert_eq!(limits((1 << 20) + 1), (16, 1088));
        assert_eq!(limits(12 << 20), (76, 1728));
        let set = CompileLimits {
            time: Some(Duration::from_secs(3)),
            memory: Some(64 << 20),
        };
        let order = Order::new(Task::Inspect, set, 12 << 20);
        assert_eq!((order.seconds, order.memory), (3, 64 << 20));
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        let reply = serde_json::to_vec(&Reply {
            answer: Answer::Refused(Refusal::Unsupported("it".to_owned())),
            confined: true,
        })
        .unwrap();
        let mut whole = b"code".to_vec();
        whole.extend_from_slice(&reply);
        whole.extend_from_slice(&(reply.len() as u64).to_le_bytes());
        whole.extend_from_slice(&END);
        for cut in 0..whole.len() {
            let mut file = memory("waypost-test").unwrap();
            file.write_all(&whole[..cut]).unwrap();
            assert!(read(&mut file).is_err(), "{cut}");
        }
        let mut file = memory("waypost-test").unwrap();
        file.write_all(&whole).unwrap();
        assert!(matches!(read(&mut file), Ok(Answer::Refused(_))));
        let mut code = String::new();
        file.read_to_string(&mut code).unwrap();
        assert_eq!(code, "code");
        #[cfg(target_os = "linux")]
        assert!(file.write_all(b"x").is_err(), "sealed");
    }
}
