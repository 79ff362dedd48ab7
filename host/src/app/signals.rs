//! Signals of the operating system.
//!
//! | signal | what it does |
//! |---|---|
//! | TERM, INT, QUIT | during the start: end the process; later: drain, then end |
//! | TERM, INT again | end the process immediately |
//! | USR1 | reopen the access log and the recording |
//! | HUP | reload the configuration |
//! | USR2 | start the program again, to take over from this process |
//! | XCPU | as QUIT: the kernel's limit of CPU time is reached |
//! | others that would end the process | ignored |
//!
//! A separate thread handles them. It depends on no runtime, so that a part that hangs can't keep
//! the process alive.

#[cfg(not(unix))]
pub use elsewhere::Held;
#[cfg(not(unix))]
pub(super) use elsewhere::{Signals, interrupted};
#[cfg(unix)]
pub use on_unix::Held;
#[cfg(unix)]
pub(super) use on_unix::{Signals, interrupted};

/// A request to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Drain, then end.
    Stop,
    /// Reopen the logs.
    Reopen,
    /// Reload the configuration.
    Reload,
    /// Let another process of the program take over.
    Upgrade,
}

#[cfg(unix)]
mod on_unix {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
    use std::thread;
    use std::time::Duration;

    use anyhow::{Context, Result};
    use nix::sys::signal::SigSet;
    use signal_hook::consts::signal::{
        SIGALRM, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
        SIGXFSZ,
    };
    use signal_hook::iterator::Signals as Arriving;
    use signal_hook::low_level::{exit, signal_name};
    use tokio::sync::{Notify, watch};

    use super::Event;
    use crate::ground;

    /// Signals with a meaning. The process must not start without their handlers.
    const MEANT: [i32; 7] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU];
    /// Signals that would end the process for no reason. They get a handler instead of `SIG_IGN`,
    /// which child processes inherit. SIGXFSZ comes when a log grows too large; the write then
    /// fails, and that is reported.
    const IGNORED: [i32; 4] = [SIGALRM, SIGVTALRM, SIGPROF, SIGXFSZ];
    /// On Linux also SIGSTKFLT, SIGIO, SIGPWR, and the real-time signals that the C library leaves
    /// to programs.
    #[cfg(target_os = "linux")]
    const IGNORED_ON_LINUX: [std::ops::RangeInclusive<i32>; 3] = [16..=16, 29..=30, 34..=64];
    /// How long the end of the process waits for the last lines of the log.
    const LAST_LINES: Duration = Duration::from_millis(500);
    /// How much longer than planned a stop may take.
    const MARGIN: Duration = Duration::from_secs(15);

    /// Blocks all signals until it is dropped, so that none ends a process that is about to install
    /// its handlers.
    #[derive(Debug)]
    pub struct Held(Option<SigSet>);

    impl Held {
        /// Blocks signals on this thread and those that it starts.
        pub fn now() -> Self {
            let before = SigSet::thread_get_mask().ok();
            // Can't fail for a valid set.
            let _ = SigSet::all().thread_block();
            Self(before)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                let _ = before.thread_set_mask();
            }
        }
    }

    /// The requests that arrive as signals.
    #[derive(Debug)]
    pub(in crate::app) struct Signals {
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
    }

    #[derive(Debug)]
    struct Shared {
        /// How long a stop may take, in milliseconds; 0 during the start, when there is nothing to
        /// drain.
        stop_within: AtomicU64,
        /// A signal has begun the stop.
        asked: AtomicBool,
        /// The time limit of the stop runs.
        limited: AtomicBool,
        stop: watch::Sender<bool>,
        reopen: Notify,
        reload: Notify,
        upgrade: Notify,
    }

    impl Signals {
        /// Installs the handlers.
        pub(in crate::app) fn listen() -> Result<Self> {
            let (stop, stopped) = watch::channel(false);
            let shared = Arc::new(Shared {
                stop_within: AtomicU64::new(0),
                asked: AtomicBool::new(false),
                limited: AtomicBool::new(false),
                stop,
                reopen: Notify::new(),
                reload: Notify::new(),
                upgrade: Notify::new(),
            });
            let mut arriving =
                Arriving::new(MEANT).context("the signal handlers can't be installed")?;
            let handle = arriving.handle();
            IGNORED
                .iter()
                .for_each(|signal| _ = handle.add_signal(*signal));
            #[cfg(target_os = "linux")]
            IGNORED_ON_LINUX
                .iter()
                .cloned()
                .flatten()
                .for_each(|signal| _ = handle.add_signal(signal));
            let told = Arc::clone(&shared);
            thread::Builder::new()
                .name("signals".to_owned())
                .spawn(move || {
                    ground::keeps_running("the signal thread", || {
                        for signal in arriving.forever() {
                            ground::fault_point("signals");
                            told.arrived(signal);
                        }
                    });
                })
                .context("the signal thread can't be started")?;
            Ok(Self {
                shared,
                stop: stopped,
            })
        }

        /// Notes that the process serves, and how long its drain takes at most.
        pub(in crate::app) fn serving(&self, stop_within: Duration) {
            let within =
                u64::try_from(stop_within.saturating_add(MARGIN).as_millis()).unwrap_or(u64::MAX);
            self.shared.stop_within.store(within, SeqCst);
        }

        /// Waits for the next event. Once a stop has come, every call returns it.
        pub(in crate::app) async fn next(&mut self) -> Event {
            tokio::select! {
                // The sender is in `shared`.
                _ = self.stop.wait_for(|stop| *stop) => Event::Stop,
                () = self.shared.reopen.notified() => Event::Reopen,
                () = self.shared.reload.notified() => Event::Reload,
                () = self.shared.upgrade.notified() => Event::Upgrade,
            }
        }

        /// Waits for the next request to reopen the logs.
        pub(in crate::app) async fn reopen(&self) {
            self.shared.reopen.notified().await;
        }

        /// Starts the time limit of a stop that no signal began.
        pub(in crate::app) fn stop_begins(&self) {
            self.shared.limit();
        }
    }

    impl Shared {
        fn arrived(&self, signal: i32) {
            let name = signal_name(signal).unwrap_or("a real-time signal");
            let starting = self.stop_within.load(SeqCst) == 0;
            match signal {
                SIGTERM | SIGINT | SIGQUIT if starting => {
                    tracing::info!("{name} during the start: stopped before serving");
                    end(0);
                }
                SIGTERM | SIGINT if self.asked.load(SeqCst) => {
                    tracing::warn!("{name} again: stopping immediately");
                    end(128 + signal);
                }
                SIGXCPU if starting => {
                    tracing::warn!(
                        "{name}: the start has used all CPU time that this process may have"
                    )
                }
                SIGTERM | SIGINT | SIGQUIT | SIGXCPU => {
                    if self.asked.swap(true, SeqCst) {
                        return tracing::debug!("{name}: the drain is under way");
                    }
                    tracing::info!(
                        "{name}: finishing requests in flight; a second signal stops immediately"
                    );
                    self.limit();
                    self.stop.send_replace(true);
                }
                SIGHUP if starting => {
                    tracing::info!("SIGHUP: the configuration is being read already")
                }
                SIGHUP => {
                    tracing::info!("SIGHUP: reloading the configuration");
                    self.reload.notify_one();
                }
                SIGUSR2 if starting => {
                    tracing::info!("SIGUSR2: this process does not serve yet")
                }
                SIGUSR2 => {
                    tracing::info!("SIGUSR2: starting the program again, to take over");
                    self.upgrade.notify_one();
                }
                SIGUSR1 if starting => {
                    tracing::info!("SIGUSR1: no log is open yet")
                }
                SIGUSR1 => self.reopen.notify_one(),
                _ => tracing::debug!("{name} means nothing to this process"),
            }
        }

        /// Starts a thread that ends the process if the stop hangs.
        fn limit(&self) {
            if self.limited.swap(true, SeqCst) {
                return;
            }
            let within = Duration::from_millis(self.stop_within.load(SeqCst));
            let watchdog = move || {
                thread::sleep(within);
                tracing::error!("the stop has not finished within {within:?}; ending the process");
                end(1);
            };
            if let Err(e) = thread::Builder::new()
                .name("stop-limit".to_owned())
                .spawn(watchdog)
            {
                tracing::warn!("the stop has no time limit: {e}");
            }
        }
    }

    /// Ends the process without destructors and exit handlers, which may wait.
    fn end(code: i32) -> ! {
        ground::finish(LAST_LINES);
        exit(code);
    }

    /// Waits for SIGINT or SIGTERM. Until this is polled, they end the process.
    pub(in crate::app) async fn interrupted() {
        use tokio::signal::unix::{SignalKind, signal};
        match (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            _ => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::time::Duration;

    use anyhow::Result;

    use super::Event;

    /// There are no signals to block.
    #[derive(Debug)]
    pub struct Held;

    impl Held {
        /// Does nothing.
        pub fn now() -> Self {
            Self
        }
    }

    /// Ctrl-C.
    #[derive(Debug)]
    pub(in crate::app) struct Signals;

    impl Signals {
        /// Until `next` is polled, Ctrl-C ends the process.
        pub(in crate::app) fn listen() -> Result<Self> {
            Ok(Self)
        }

        /// Changes nothing.
        pub(in crate::app) fn serving(&self, _stop_within: Duration) {}

        /// Waits for Ctrl-C.
        pub(in crate::app) async fn next(&mut self) -> Event {
            interrupted().await;
            Event::Stop
        }

        /// Waits for ever.
        pub(in crate::app) async fn reopen(&self) {
            std::future::pending().await
        }

        /// Changes nothing.
        pub(in crate::app) fn stop_begins(&self) {}
    }

    /// Waits for Ctrl-C.
    pub(in crate::app) async fn interrupted() {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
