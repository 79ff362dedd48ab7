//! Messages to a supervisor about the state of the process (`sd_notify(3)`).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};

use crate::app::control::ControlPlane;

/// A status is one line, and no supervisor shows more than this of it.
const LONGEST: usize = 300;
/// How long a supervisor may take to make room for a message.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the supervisor listens; nothing is sent without one.
#[derive(Debug, Clone, Default)]
pub(in crate::app) struct Notifier {
    to: Option<Arc<To>>,
    /// How often it wants to hear that the process is alive.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct To {
    address: SocketAddr,
    /// For what must not be lost because the supervisor is busy.
    patient: UnixDatagram,
    /// For what another message of its kind follows soon.
    hasty: UnixDatagram,
}

impl Notifier {
    /// As the environment says.
    pub(in crate::app) fn new(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let Some(path) = environment("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Self::default();
        };
        let to = match connected(&path) {
            Ok(to) => Some(Arc::new(to)),
            Err(e) => {
                tracing::warn!(
                    "the supervisor can't be notified: NOTIFY_SOCKET is {}: {e}",
                    path.display()
                );
                None
            }
        };
        let number = |name| environment(name)?.to_str()?.trim().parse::<u64>().ok();
        let is_meant = match environment("WATCHDOG_PID") {
            Some(_) => number("WATCHDOG_PID") == Some(std::process::id().into()),
            None => true,
        };
        let every = number("WATCHDOG_USEC").filter(|every| *every > 0 && is_meant);
        Self {
            watchdog: to.as_ref().and(every).map(Duration::from_micros),
            to,
        }
    }

    /// The process serves.
    pub(in crate::app) fn ready(&self, status: &str) {
        let pid = std::process::id();
        self.send(&format!("READY=1\nMAINPID={pid}\nSTATUS={}", line(status)));
    }

    /// A reload begins. [`Self::ready`] ends it, whatever came of it.
    pub(in crate::app) fn reloading(&self) {
        // systemd compares it with the time of its own signal.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let now = now.unwrap_or_default().as_micros();
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading the configuration"
        ));
    }

    /// The process ends.
    pub(in crate::app) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=finishing requests in flight");
    }

    /// Another process serves in place of this one.
    pub(in crate::app) fn replaced_by(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}\nREADY=1"));
    }

    fn alive(&self) {
        if let Some(to) = &self.to {
            let _ = to.hasty.send_to_addr(b"WATCHDOG=1", &to.address);
        }
    }

    fn send(&self, text: &str) {
        if let Some(to) = &self.to
            && let Err(e) = to.patient.send_to_addr(text.as_bytes(), &to.address)
        {
            tracing::warn!("the supervisor was not notified: {e}");
        }
    }
}

/// Reports that the process is alive, for as long as no worker hangs: twice in the time that the
/// supervisor waits.
pub(in crate::app) async fn keep_alive(notifier: Notifier, control: Arc<ControlPlane>) {
    let Some(every) = notifier.watchdog else {
        return;
    };
    let mut ticks = interval((every / 2).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let workers = control.stats().workers();
        if workers.iter().all(|w| w.hanging_seconds.value() == 0) {
            notifier.alive();
        }
    }
}

fn connected(path: &OsStr) -> io::Result<To> {
    let address = match path.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(path)?,
        [b'@', name @ ..] => of_abstract(name)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only a path and an abstract name (@NAME) are supported",
            ));
        }
    };
    let (patient, hasty) = (UnixDatagram::unbound()?, UnixDatagram::unbound()?);
    // A supervisor that does not read must not hold the process.
    patient.set_write_timeout(Some(PATIENCE))?;
    hasty.set_nonblocking(true)?;
    Ok(To {
        address,
        patient,
        hasty,
    })
}

#[cfg(target_os = "linux")]
fn of_abstract(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn of_abstract(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no abstract names",
    ))
}

/// One line of a text: an assignment ends with it.
fn line(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ");
    text.chars().take(LONGEST).collect()
}
