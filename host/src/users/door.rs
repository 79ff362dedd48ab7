//! The door at which workers ask whether a client has given a user's password.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use super::Users;
use super::lately::Lately;

/// Passwords that are checked at the same time: each keeps a core busy.
const AT_ONCE: usize = 2;
/// How many more may wait for that.
const WAITING: usize = 128;
/// How many of them may be one client's, so that none takes the places of all others.
const WAITING_OF_CLIENT: usize = 32;
/// For how long a password that was right is not checked again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How many are remembered.
const MOST_REMEMBERED: usize = 8_192;
/// Wrong passwords of one client within [`PENALTY`], after which none of it is checked.
const MOST_WRONG: u32 = 20;
const PENALTY: Duration = Duration::from_secs(60);
/// Clients with wrong passwords that are known.
const MOST_CLIENTS: usize = 8_192;

/// A user's name and password.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What is known of a user's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Right,
    /// It is wrong, or there is no such user.
    Wrong,
    /// It was not looked at: the client has given too many wrong ones.
    TooMany,
    /// It was not looked at: too many are being checked.
    Busy,
}

/// The users of all files, and what was checked lately. One for all workers.
pub struct Door {
    by_file: RwLock<HashMap<PathBuf, Arc<Users>>>,
    /// Hashes with a key of this process, so that no password is kept.
    right: Lately<[u8; 32], ()>,
    wrong: Lately<IpAddr, u32>,
    key: [u8; 32],
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
    waiting_by_client: Mutex<HashMap<IpAddr, usize>>,
    /// By what is checked: a browser opens its tunnels at once, and all of them say the same.
    under_way: Mutex<HashMap<[u8; 32], Weak<Turn>>>,
}

/// Held by the one request that has it checked, of those with the same password; the others wait
/// for it, and find here whether it was right.
type Turn = tokio::sync::Mutex<Option<bool>>;

/// A place of a client among those that wait.
struct Waiting<'d> {
    of: &'d Door,
    client: IpAddr,
    _place: SemaphorePermit<'d>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut all = self.of.counts();
        if let Some(count) = all.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.client);
            }
        }
    }
}

impl Door {
    /// From now on, these are the users of the file.
    pub fn follow(&self, file: &Path, users: Users) {
        let mut all = self.by_file.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(file.to_owned(), Arc::new(users));
    }

    /// Forgets the users of all files but this one.
    pub fn keep(&self, file: Option<&Path>) {
        let mut all = self.by_file.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known, _| Some(known.as_path()) == file);
    }

    /// Whether the password is that of a user of the file. `client` is an address, or the network
    /// of one, that is known by its mistakes.
    pub async fn ask(&self, file: &Path, given: Credentials, client: IpAddr) -> Verdict {
        let users = {
            let all = self.by_file.read().unwrap_or_else(PoisonError::into_inner);
            all.get(file).cloned()
        };
        let Some(users) = users else {
            return Verdict::Wrong;
        };
        let key = self.key_of(&users, &given);
        if self.right.find(&key).is_some() {
            return Verdict::Right;
        }
        if self.is_guessing(client) {
            return Verdict::TooMany;
        }
        let turn = self.turn(key);
        let mut known = turn.lock().await;
        if *known == Some(true) || self.right.find(&key).is_some() {
            return Verdict::Right;
        }
        if *known == Some(false) {
            return self.is_wrong(client);
        }
        let Some(_waiting) = self.wait(client) else {
            return Verdict::Busy;
        };
        let Ok(permit) = Arc::clone(&self.at_once).acquire_owned().await else {
            return Verdict::Busy;
        };
        // While it waited, others of this client were wrong.
        if self.is_guessing(client) {
            return Verdict::TooMany;
        }
        // The permit goes with the work, which goes on if the client leaves, and is given back once
        // the mistake is known.
        let checked = spawn_blocking(move || (users.verify(&given.user, &given.password), permit));
        let (is_right, _permit) = checked.await.map_or((None, None), |(is_right, permit)| {
            (Some(is_right), Some(permit))
        });
        *known = is_right;
        match is_right {
            Some(true) => {
                self.right.note(key, (), |()| ());
                Verdict::Right
            }
            Some(false) => self.is_wrong(client),
            None => Verdict::Busy,
        }
    }

    /// The verdict about a password that another request has had checked, or this one.
    fn is_wrong(&self, client: IpAddr) -> Verdict {
        if self.is_guessing(client) {
            return Verdict::TooMany;
        }
        self.wrong.note(client, 1, |n| n.saturating_add(1));
        Verdict::Wrong
    }

    /// What those wait for that say the same. It is forgotten with the last of them.
    fn turn(&self, key: [u8; 32]) -> Arc<Turn> {
        let under_way = self.under_way.lock();
        let mut all = under_way.unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, turn| turn.strong_count() > 0);
        let known = all.get(&key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::default();
            all.insert(key, Arc::downgrade(&turn));
            turn
        })
    }

    /// A place for a client that waits, if there is one.
    fn wait(&self, client: IpAddr) -> Option<Waiting<'_>> {
        let place = self.waiting.try_acquire().ok()?;
        let mut all = self.counts();
        let count = all.entry(client).or_default();
        // Else it has others, which count it out.
        if *count >= WAITING_OF_CLIENT {
            return None;
        }
        *count += 1;
        Some(Waiting {
            of: self,
            client,
            _place: place,
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let counts = self.waiting_by_client.lock();
        counts.unwrap_or_else(PoisonError::into_inner)
    }

    fn is_guessing(&self, client: IpAddr) -> bool {
        self.wrong.find(&client).is_some_and(|n| n >= MOST_WRONG)
    }

    fn key_of(&self, users: &Users, given: &Credentials) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        let hash_of_user = users.text(&given.user).unwrap_or_default();
        for part in [hash_of_user, &given.user, &given.password] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl Default for Door {
    fn default() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self {
            by_file: RwLock::default(),
            right: Lately::new(REMEMBERED, MOST_REMEMBERED),
            wrong: Lately::new(PENALTY, MOST_CLIENTS),
            key,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING),
            waiting_by_client: Mutex::default(),
            under_way: Mutex::default(),
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = &self.user;
        f.debug_struct("Credentials")
            .field("user", user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn who_guesses_in_parallel_has_no_more_guesses() {
        let hash = "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2";
        let (door, file) = (Arc::new(Door::default()), Path::new("users"));
        door.follow(file, Users::parse(&format!("ann:{hash}\n")).unwrap());
        let mut asked = JoinSet::new();
        for n in 0..WAITING_OF_CLIENT {
            let given = Credentials {
                user: "ann".to_owned(),
                password: n.to_string(),
            };
            let door = Arc::clone(&door);
            asked.spawn(async move { door.ask(file, given, Ipv4Addr::LOCALHOST.into()).await });
        }
        let verdicts = asked.join_all().await;
        let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count();
        let wrong = count(Verdict::Wrong);
        let most = MOST_WRONG as usize;
        assert!((most..most + AT_ONCE).contains(&wrong), "{wrong}");
        assert_eq!(count(Verdict::TooMany), WAITING_OF_CLIENT - wrong);
    }

    #[tokio::test]
    async fn the_same_password_is_checked_once_however_many_say_it() {
        let hash = "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2";
        let (door, file) = (Arc::new(Door::default()), Path::new("users"));
        door.follow(file, Users::parse(&format!("ann:{hash}\n")).unwrap());
        for (password, verdict) in [("secret", Verdict::Right), ("wrong", Verdict::TooMany)] {
            let mut asked = JoinSet::new();
            for _ in 0..2 * WAITING {
                let given = Credentials {
                    user: "ann".to_owned(),
                    password: password.to_owned(),
                };
                let door = Arc::clone(&door);
                asked.spawn(async move { door.ask(file, given, Ipv4Addr::LOCALHOST.into()).await });
            }
            let verdicts = asked.join_all().await;
            let others: Vec<_> = verdicts.iter().filter(|v| **v != verdict).collect();
            let wrong = MOST_WRONG as usize * usize::from(verdict == Verdict::TooMany);
            assert_eq!(others, vec![&Verdict::Wrong; wrong], "{password}");
        }
        let key = [0; 32];
        assert_eq!(Arc::strong_count(&door.turn(key)), 1);
        assert_eq!(
            door.under_way.lock().unwrap().len(),
            1,
            "the others are forgotten"
        );
    }

    #[tokio::test]
    async fn those_that_wait_for_a_check_have_no_check_of_their_own() {
        let hash = "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2";
        let (door, file) = (Arc::new(Door::default()), Path::new("users"));
        door.follow(file, Users::parse(&format!("ann:{hash}\n")).unwrap());
        for (n, password, verdict) in [(1, "wrong", Verdict::Wrong), (2, "secret", Verdict::Right)]
        {
            let client = IpAddr::from(Ipv4Addr::new(192, 0, 2, n));
            let all = Arc::clone(&door.at_once);
            let held = all.acquire_many(AT_ONCE as u32).await.unwrap();
            let mut asked = JoinSet::new();
            for _ in 0..MOST_WRONG {
                let given = Credentials {
                    user: "ann".to_owned(),
                    password: password.to_owned(),
                };
                let door = Arc::clone(&door);
                asked.spawn(async move { door.ask(file, given, client).await });
            }
            // All of them run until they wait, the first for a place to check.
            while door.waiting.available_permits() == WAITING {
                tokio::task::yield_now().await;
            }
            // Behind the first check there is never a place again.
            let again = all.acquire_many(AT_ONCE as u32);
            tokio::pin!(again);
            tokio::select! {
                biased;
                _ = &mut again => panic!("there was a place"),
                () = std::future::ready(()) => {}
            }
            drop(held);
            let verdicts = async {
                let verdicts = asked.join_all().await;
                (verdicts, again.await.is_ok())
            };
            let verdicts = tokio::time::timeout(Duration::from_secs(60), verdicts).await;
            let (verdicts, _) = verdicts.expect("a second check was waited for");
            assert_eq!(verdicts, vec![verdict; MOST_WRONG as usize], "{password}");
        }
    }

    #[tokio::test]
    async fn one_client_can_not_take_all_places() {
        let door = Door::default();
        let client = |n| IpAddr::from(Ipv4Addr::new(192, 0, 2, n));
        let mut places: Vec<_> = (0..WAITING).map_while(|_| door.wait(client(1))).collect();
        assert_eq!(places.len(), WAITING_OF_CLIENT);
        assert!(door.wait(client(2)).is_some());
        places.pop();
        assert!(door.wait(client(1)).is_some());
        drop(places);
        assert!(door.counts().is_empty());
        let all: Vec<_> = (0..=u8::MAX).map_while(|n| door.wait(client(n))).collect();
        assert_eq!(all.len(), WAITING);
    }
}
