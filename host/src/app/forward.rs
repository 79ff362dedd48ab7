//! What the control side does for the forward proxy: it looks names up, and reads the file of its
//! users.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use super::control::ControlPlane;
use super::looks::{Fingerprint, Looks, fingerprint, ticks};
use super::names::{Names, Once};
use crate::config::Config;
use crate::files;
use crate::ground;
use crate::proxy::{Found, LookUp, NotFound};
use crate::users::Users;

/// Names that are looked up at the same time for clients.
const AT_ONCE: usize = 128;
/// How many more may wait for that.
const WAITING: usize = 1_024;
/// Names whose addresses are remembered.
const MOST_REMEMBERED: usize = 4_096;
/// For how long, whatever the name server says.
const REMEMBERED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A larger file is none of users.
const MOST_BYTES: u64 = 4 << 20;

/// The users of a file, and the file.
pub(super) type OfFile = Option<(PathBuf, Users)>;

/// Reads the file of the users, if there is one.
///
/// # Errors
///
/// A sentence about a file that can't be used.
pub(super) fn read_users(config: &Config) -> Result<OfFile, String> {
    let forward = config.forward.as_ref();
    let Some(authentication) = forward.and_then(|forward| forward.authentication.as_ref()) else {
        return Ok(None);
    };
    let file = &authentication.file;
    match read(file) {
        Ok(users) => Ok(Some((file.clone(), users))),
        Err(reason) => {
            let at = config.named_at(file);
            Err(format!("{at}{reason}"))
        }
    }
}

fn read(file: &Path) -> Result<Users, String> {
    let shown = file.display();
    let text = files::read_regular(file, MOST_BYTES).map_err(|e| format!("{shown}: {e}"))?;
    let text = String::from_utf8(text).map_err(|_| format!("{shown} is not UTF-8"))?;
    let users = Users::parse(&text).map_err(|bad| format!("{shown}, {bad}"))?;
    match users.is_empty() {
        true => Err(format!(
            "{shown} has no user, so that every request would be refused; add one with \
             `htpasswd -B`"
        )),
        false => Ok(users),
    }
}

impl ControlPlane {
    /// These are the users from now on.
    pub(super) fn follow_users(&self, users: OfFile) {
        if let Some((file, users)) = users {
            self.door.follow(&file, users);
        }
    }
}

/// Watches the file of the users of now for as long as it is polled.
pub(super) async fn watch_users(control: Arc<ControlPlane>) {
    let config = control.current();
    let forward = config.forward.as_ref();
    let authentication = forward.and_then(|forward| forward.authentication.clone());
    let file = authentication.map(|authentication| authentication.file);
    control.door.keep(file.as_deref());
    let Some(file) = file else { return };
    ground::stays("the watcher of the users' file", || {
        watch_file(Arc::clone(&control), file.clone())
    })
    .await;
}

async fn watch_file(control: Arc<ControlPlane>, file: PathBuf) {
    let mut ticks = ticks();
    // Nothing counts as read yet, so that a change since the start is not missed.
    let mut looks: Looks<Option<Fingerprint>> = Looks::default();
    let mut is_first = true;
    loop {
        ticks.tick().await;
        let now = fingerprint(&file).await;
        // A file that is gone is about to be replaced.
        if now.is_none() || !looks.is_new(&now) {
            continue;
        }
        looks.read(now);
        let reading = file.clone();
        let read = spawn_blocking(move || read(&reading)).await;
        match read.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(users) => {
                let count = users.len();
                control.door.follow(&file, users);
                if !std::mem::take(&mut is_first) {
                    tracing::info!(users = count, "{} was read again", file.display());
                }
            }
            Err(reason) => {
                is_first = false;
                tracing::warn!("the users of the forward proxy stay as they were: {reason}")
            }
        }
    }
}

/// Addresses of names, asked for by workers.
struct Addresses {
    names: Arc<Names>,
    at_once: Semaphore,
    waiting: Semaphore,
    remembered: Mutex<HashMap<String, (Found, Instant)>>,
}

/// How workers have names looked up by the runtime of the caller.
pub(super) fn look_up(names: &Arc<Names>) -> LookUp {
    let addresses = Arc::new(Addresses {
        names: Arc::clone(names),
        at_once: Semaphore::new(AT_ONCE),
        waiting: Semaphore::new(AT_ONCE + WAITING),
        remembered: Mutex::default(),
    });
    let runtime = Handle::current();
    LookUp::new(move |host| {
        let (answer, answered) = oneshot::channel();
        if let Some(found) = addresses.remembered(&host) {
            // The other end is in the caller's hand.
            let _ = answer.send(found);
            return answered;
        }
        let addresses = Arc::clone(&addresses);
        runtime.spawn(async move {
            let mut answer = answer;
            tokio::select! {
                found = addresses.find(&host) => drop(answer.send(found)),
                () = answer.closed() => {}
            }
        });
        answered
    })
}

impl Addresses {
    fn remembered(&self, host: &str) -> Option<Found> {
        let known = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (found, until) = known.get(host)?;
        (Instant::now() < *until).then(|| found.clone())
    }

    async fn find(&self, host: &str) -> Found {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Err(NotFound::Busy);
        };
        let Ok(_permit) = self.at_once.acquire().await else {
            return Err(NotFound::Failed);
        };
        // Another may have asked meanwhile.
        if let Some(found) = self.remembered(host) {
            return found;
        }
        let (least, most) = REMEMBERED;
        match self.names.look_up_once(host).await {
            Once::Found(found, ttl) => {
                let found: Arc<[IpAddr]> = found.into();
                self.remember(host, Ok(Arc::clone(&found)), ttl.clamp(least, most));
                Ok(found)
            }
            Once::Absent => {
                self.remember(host, Err(NotFound::Absent), least);
                Err(NotFound::Absent)
            }
            Once::Failed => Err(NotFound::Failed),
            Once::TimedOut => Err(NotFound::TimedOut),
        }
    }

    fn remember(&self, host: &str, found: Found, time: Duration) {
        let now = Instant::now();
        let mut known = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() < MOST_REMEMBERED {
            known.insert(host.to_owned(), (found, now + time));
        }
    }
}
