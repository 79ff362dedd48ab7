//! Socket activation (`sd_listen_fds(3)`): sockets that are open already when the process starts.

use std::ffi::OsString;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Result, anyhow, bail};

use crate::app::passed::{Giver, PassedSocket, PassedSockets};

/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// More than any unit has.
const MOST: RawFd = 4_096;
/// What systemd writes for a descriptor without a name.
const NAMELESS: &str = "unknown";

/// The descriptors that a supervisor has passed.
#[derive(Debug, Default)]
pub struct Activation {
    passed: Vec<(RawFd, OwnedFd, String)>,
    /// Why what the environment says can't be right.
    problem: Option<String>,
}

impl Activation {
    /// Takes the descriptors that the environment announces for this process.
    ///
    /// To be called once, before the process opens anything itself: what is open then above
    /// standard error was passed by the parent.
    pub fn take(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| environment(name).map(|value| value.to_string_lossy().into_owned());
        let is_meant = text("LISTEN_PID").and_then(|pid| pid.trim().parse().ok());
        let (Some(number), true) = (text("LISTEN_FDS"), is_meant == Some(std::process::id()))
        else {
            // Left over from a parent that was meant.
            return Self::default();
        };
        let count = match number.trim().parse::<RawFd>() {
            Ok(count) if (0..=MOST).contains(&count) => count,
            _ => {
                let problem = format!("LISTEN_FDS is {number:?}, and not a number up to {MOST}");
                return Self {
                    problem: Some(problem),
                    ..Self::default()
                };
            }
        };
        let names = text("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut all = Self::default();
        for at in FIRST..FIRST + count {
            let name = names.next().filter(|name| !name.is_empty());
            match open(at) {
                Some(open) => all.passed.push((
                    at,
                    open,
                    name.unwrap_or(NAMELESS).escape_debug().to_string(),
                )),
                None => {
                    let last = FIRST + count - 1;
                    let problem = format!(
                        "LISTEN_FDS is {count}, so descriptors {FIRST} to {last} are sockets, and \
                         {at} is not open; LISTEN_FDS has to be the number of sockets passed"
                    );
                    all.problem.get_or_insert(problem);
                }
            }
        }
        all
    }

    /// The sockets, as listeners may use them.
    ///
    /// # Errors
    ///
    /// A sentence if one is no socket that listens for streams.
    pub(in crate::app) fn sockets(self) -> Result<PassedSockets> {
        if let Some(problem) = self.problem {
            bail!("the sockets that a supervisor passes can't be used: {problem}");
        }
        let socket = |(at, socket, name): (RawFd, OwnedFd, String)| {
            PassedSocket::new(socket, Giver::Supervisor(name.clone())).map_err(|e| {
                anyhow!(
                    "descriptor {at} (FileDescriptorName={name}) of LISTEN_FDS {e:#}; the .socket \
                     unit may have `ListenStream=` with `Accept=no` only"
                )
            })
        };
        let all: Result<Vec<PassedSocket>> = self.passed.into_iter().map(socket).collect();
        all.map(PassedSockets::new)
    }
}

/// The descriptor with this number, if it is open.
#[allow(
    unsafe_code,
    reason = "a number becomes a descriptor only here; invariant: the caller comes before \
        anything that opens files, so that no other owner of the number exists in this process"
)]
fn open(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the borrow is for one system call, which fails with EBADF for a number that is not
    // open. `number` is never -1.
    rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).ok()?;
    // SAFETY: it is open, and by the invariant nothing else in this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pid: u32, number: &str) -> Activation {
        Activation::take(|name| match name {
            "LISTEN_PID" => Some(pid.to_string().into()),
            "LISTEN_FDS" => Some(number.into()),
            _ => None,
        })
    }

    #[test]
    fn an_environment_that_is_for_another_process_means_nothing() {
        let activation = taken(std::process::id() + 1, "nonsense");
        assert!(activation.sockets().unwrap().places().is_empty());
    }

    #[test]
    fn an_environment_that_can_not_be_right_is_a_sentence() {
        for number in ["", "-1", "three", "4097", "99999999999999999999"] {
            let refused = taken(std::process::id(), number).sockets();
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("LISTEN_FDS is"), "{refused}");
        }
    }
}
