//! Browsers that are logged in, and wrong tokens in the form.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::COOKIE;
use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};

/// How long a login is valid.
const VALID: Duration = Duration::from_secs(12 * 60 * 60);
/// Logins at a time; one more ends the oldest.
const MOST: usize = 64;
/// Wrong tokens of one client within [`WHILE`]; after that none is looked at.
const WRONG: u32 = 10;
const WHILE: Duration = Duration::from_secs(60);
/// Clients whose wrong tokens are counted.
const CLIENTS: usize = 1_024;
/// Characters of what may not be guessed: 190 bits.
const LENGTH: usize = 32;

/// All logins.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Cookies are shared by all ports of a host.
    cookie: String,
    /// What a form must bring where there is no session.
    csrf: String,
    all: Mutex<Vec<Session>>,
    wrong: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

#[derive(Debug)]
struct Session {
    /// Of its identifier, so that a comparison takes the same time for every input.
    digest: [u8; 32],
    csrf: String,
    expires: Instant,
}

impl Sessions {
    /// Those of the listener on this port.
    pub(super) fn new(port: u16) -> Self {
        Self {
            cookie: format!("waypost-admin-{port}"),
            csrf: secret(),
            all: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Begins a session: the value of `Set-Cookie`. `secure` if the browser came by TLS.
    pub(super) fn begin(&self, secure: bool) -> String {
        let (id, now) = (secret(), Instant::now());
        let mut all = locked(&self.all);
        all.retain(|session| session.expires > now);
        if all.len() == MOST {
            all.remove(0);
        }
        all.push(Session {
            digest: digest(&id),
            csrf: secret(),
            expires: now + VALID,
        });
        self.set(&id, VALID, secure)
    }

    /// Ends the session of these cookies: the value of `Set-Cookie`.
    pub(super) fn end(&self, headers: &HeaderMap) -> String {
        let ids = self.ids(headers);
        locked(&self.all).retain(|session| !ids.contains(&session.digest));
        self.set("", Duration::ZERO, false)
    }

    /// What the forms of the session of these cookies must bring; `None` if there is none.
    pub(super) fn csrf_of(&self, headers: &HeaderMap) -> Option<String> {
        let (ids, now) = (self.ids(headers), Instant::now());
        let all = locked(&self.all);
        let found = all.iter().find(|s| ids.contains(&s.digest))?;
        (found.expires > now).then(|| found.csrf.clone())
    }

    /// What forms must bring where there is no session.
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a session with these forms goes on.
    pub(super) fn goes_on(&self, csrf: &str) -> bool {
        let now = Instant::now();
        let all = locked(&self.all);
        all.iter().any(|s| s.csrf == csrf && s.expires > now)
    }

    fn set(&self, id: &str, valid: Duration, secure: bool) -> String {
        let (name, seconds) = (&self.cookie, valid.as_secs());
        let secure = if secure { "; Secure" } else { "" };
        format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    fn ids(&self, headers: &HeaderMap) -> Vec<[u8; 32]> {
        let fields = headers.get_all(COOKIE).iter();
        let cookies = fields.filter_map(|field| field.to_str().ok());
        let pairs = cookies.flat_map(|cookies| cookies.split(';'));
        let values = pairs.filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then(|| digest(value))
        });
        values.collect()
    }

    /// Whether a token of this client is looked at.
    pub(super) fn may_try(&self, client: IpAddr) -> bool {
        let wrong = locked(&self.wrong);
        wrong
            .get(&client)
            .is_none_or(|(since, times)| since.elapsed() >= WHILE || *times < WRONG)
    }

    /// Counts a wrong token.
    pub(super) fn was_wrong(&self, client: IpAddr) {
        let (mut wrong, now) = (locked(&self.wrong), Instant::now());
        wrong.retain(|_, (since, _)| now.duration_since(*since) < WHILE);
        if wrong.len() >= CLIENTS
            && !wrong.contains_key(&client)
            && let Some(oldest) = wrong.iter().min_by_key(|(_, (since, _))| *since)
        {
            let oldest = *oldest.0;
            wrong.remove(&oldest);
        }
        wrong.entry(client).or_insert((now, 0)).1 += 1;
    }
}

/// A text that can't be guessed.
pub(super) fn secret() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), LENGTH)
}

/// Whether two secrets are the same; takes the same time for every input.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    digest(a) == digest(b)
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(set: &str) -> HeaderMap {
        let pair = set.split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("a=b; {pair}").parse().unwrap());
        headers
    }

    #[test]
    fn a_session_begins_and_ends_and_the_oldest_of_too_many_goes() {
        let sessions = Sessions::new(9_090);
        let set = sessions.begin(true);
        assert!(set.starts_with("waypost-admin-9090="), "{set}");
        assert!(
            set.ends_with("; HttpOnly; SameSite=Strict; Secure"),
            "{set}"
        );
        let first = cookies(&set);
        let csrf = sessions.csrf_of(&first).unwrap();
        assert!(sessions.goes_on(&csrf) && !sessions.goes_on(sessions.csrf()));
        let second = cookies(&sessions.begin(false));
        assert_ne!(sessions.csrf_of(&second).unwrap(), csrf);
        assert!(sessions.end(&second).contains("Max-Age=0"));
        assert_eq!(sessions.csrf_of(&second), None);
        (0..MOST).for_each(|_| drop(sessions.begin(false)));
        assert_eq!(sessions.csrf_of(&first), None);
        assert_eq!(Sessions::new(1).csrf_of(&first), None);
    }

    #[test]
    fn a_client_with_many_wrong_tokens_is_not_looked_at_and_others_are() {
        let sessions = Sessions::new(1);
        let client = |n: u32| IpAddr::from(n.to_be_bytes());
        for _ in 0..WRONG {
            assert!(sessions.may_try(client(1)));
            sessions.was_wrong(client(1));
        }
        assert!(!sessions.may_try(client(1)) && sessions.may_try(client(2)));
        (2..5_000).for_each(|n| sessions.was_wrong(client(n)));
        assert_eq!(locked(&sessions.wrong).len(), CLIENTS);
    }
}
