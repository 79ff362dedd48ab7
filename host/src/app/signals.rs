//! What the operating system asks of the process.
//!
//! | signal | what it does |
//! |---|---|
//! | TERM, INT, QUIT | ends a start at once; else finishes what is in flight, and then ends the process |
//! | TERM, INT again | ends the process at once |
//! | USR1 | opens the access log and the recording again |
//! | HUP | nothing yet: the configuration can't be read again |
//! | XCPU | as QUIT: the kernel says that the time is over |
//! | all others that would end the process and mean nothing to it | nothing |
//!
//! They arrive on a thread of their own, which depends on no runtime: what hangs elsewhere can't
//! keep the process alive.

#[cfg(not(unix))]
pub use elsewhere::{Held, Signals, interrupted};
#[cfg(unix)]
pub use on_unix::{Held, Signals, interrupted};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Finish what is in flight, and end.
    Stop,
    /// Open the logs again.
    Reopen,
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

    /// Signals with a meaning. Without their handlers the process must not start.
    const MEANT: [i32; 6] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGXCPU];
    /// Signals that would end the process, and mean nothing to it. A handler and no `SIG_IGN`,
    /// which child processes inherit. SIGXFSZ is a log that has become too large: the write fails,
    /// and that is told.
    const IGNORED: [i32; 5] = [SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXFSZ];
    /// Of Linux: SIGSTKFLT, SIGIO, SIGPWR, and the real-time signals that the C library leaves to
    /// programs.
    #[cfg(target_os = "linux")]
    const IGNORED_ON_LINUX: [std::ops::RangeInclusive<i32>; 3] = [16..=16, 29..=30, 34..=64];
    /// How long the end of the process waits for its last lines of the log.
    const LAST_LINES: Duration = Duration::from_millis(500);
    /// What a stop may take beyond what it is known to.
    const MARGIN: Duration = Duration::from_secs(15);

    /// All signals are held back until this is dropped: none may end a process that is about to
    /// listen.
    #[derive(Debug)]
    pub struct Held(Option<SigSet>);

    impl Held {
        /// Holds signals back, on this thread and those that it starts.
        pub fn now() -> Self {
            let before = SigSet::thread_get_mask().ok();
            // Fails for no valid set.
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

    /// What the process is asked for.
    #[derive(Debug)]
    pub struct Signals {
        shared: Arc<Shared>,
        stop: watch::Receiver<bool>,
    }

    #[derive(Debug)]
    struct Shared {
        /// What a stop may take, in milliseconds; 0 during the start, when there is nothing to
        /// finish.
        stop_within: AtomicU64,
        /// A signal has asked for the stop.
        asked: AtomicBool,
        /// The time that the stop may take has begun.
        limited: AtomicBool,
        stop: watch::Sender<bool>,
        reopen: Notify,
    }

    impl Signals {
        /// From here on signals no longer end the process by themselves.
        pub fn listen() -> Result<Self> {
            let (stop, stopped) = watch::channel(false);
            let shared = Arc::new(Shared {
                stop_within: AtomicU64::new(0),
                asked: AtomicBool::new(false),
                limited: AtomicBool::new(false),
                stop,
                reopen: Notify::new(),
            });
            let mut arriving = Arriving::new(MEANT).context("signals can't be listened for")?;
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
                    ground::keeps_running("the thread of the signals", || {
                        for signal in arriving.forever() {
                            ground::fault_point("signals");
                            told.arrived(signal);
                        }
                    });
                })
                .context("a thread for signals can't be started")?;
            Ok(Self {
                shared,
                stop: stopped,
            })
        }

        /// From here on there is something to finish, which takes no longer than this.
        pub fn serving(&self, stop_within: Duration) {
            let within =
                u64::try_from(stop_within.saturating_add(MARGIN).as_millis()).unwrap_or(u64::MAX);
            self.shared.stop_within.store(within, SeqCst);
        }

        /// Waits for what is to be done next. A stop is told once, and again at each call after it.
        pub async fn next(&mut self) -> Event {
            tokio::select! {
                // The sender is in `shared`.
                _ = self.stop.wait_for(|stop| *stop) => Event::Stop,
                () = self.shared.reopen.notified() => Event::Reopen,
            }
        }

        /// Waits until the logs are to be opened again.
        pub async fn reopen(&self) {
            self.shared.reopen.notified().await;
        }

        /// Begins the time that a stop may take, for one that no signal began.
        pub fn stop_begins(&self) {
            self.shared.limit();
        }
    }

    impl Shared {
        fn arrived(&self, signal: i32) {
            let name = signal_name(signal).unwrap_or("a real-time signal");
            let starting = self.stop_within.load(SeqCst) == 0;
            match signal {
                SIGTERM | SIGINT | SIGQUIT if starting => {
                    tracing::info!("{name} during the start: stopped, nothing was served yet");
                    end(0);
                }
                SIGTERM | SIGINT if self.asked.load(SeqCst) => {
                    tracing::warn!("{name} again: stopping at once");
                    end(128 + signal);
                }
                SIGXCPU if starting => {
                    tracing::warn!(
                        "{name}: the start takes more CPU time than this process may have"
                    )
                }
                SIGTERM | SIGINT | SIGQUIT | SIGXCPU => {
                    if self.asked.swap(true, SeqCst) {
                        return tracing::debug!(
                            "{name}: what is in flight is being finished already"
                        );
                    }
                    tracing::info!(
                        "{name}: finishing what is in flight; a second signal stops at once"
                    );
                    self.limit();
                    self.stop.send_replace(true);
                }
                SIGHUP => tracing::warn!(
                    "SIGHUP: the configuration can't be read again while the proxy runs, and nothing has changed; restart it to apply a change"
                ),
                SIGUSR1 if starting => {
                    tracing::info!("SIGUSR1: no log is open yet that could be opened again")
                }
                SIGUSR1 => self.reopen.notify_one(),
                _ => tracing::debug!("{name} means nothing to this process"),
            }
        }

        /// A stop that hangs is ended by a thread that waits for nothing else.
        fn limit(&self) {
            if self.limited.swap(true, SeqCst) {
                return;
            }
            let within = Duration::from_millis(self.stop_within.load(SeqCst));
            let watchdog = move || {
                thread::sleep(within);
                tracing::error!(
                    "the stop has not ended after {within:?}; ending the process without it"
                );
                end(1);
            };
            if let Err(e) = thread::Builder::new()
                .name("stop-limit".to_owned())
                .spawn(watchdog)
            {
                tracing::warn!("the stop has no limit: {e}");
            }
        }
    }

    /// Ends the process without the ceremonies of an ordinary end, each of which may wait for
    /// something.
    fn end(code: i32) -> ! {
        ground::finish(LAST_LINES);
        exit(code);
    }

    /// Waits for SIGINT or SIGTERM, which until this is polled end the process by themselves.
    pub async fn interrupted() {
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

    /// There is nothing to hold back.
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
    pub struct Signals;

    impl Signals {
        /// Until `next` is polled, Ctrl-C ends the process by itself.
        pub fn listen() -> Result<Self> {
            Ok(Self)
        }

        /// Changes nothing.
        pub fn serving(&self, _stop_within: Duration) {}

        /// Waits for Ctrl-C.
        pub async fn next(&mut self) -> Event {
            interrupted().await;
            Event::Stop
        }

        /// Waits for ever.
        pub async fn reopen(&self) {
            std::future::pending().await
        }

        /// Changes nothing.
        pub fn stop_begins(&self) {}
    }

    /// Waits for Ctrl-C.
    pub async fn interrupted() {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
