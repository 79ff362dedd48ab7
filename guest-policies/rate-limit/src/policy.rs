//! The component: the contract on one side, `bucket` on the other.

use std::time::Duration;

use waypost_policy::{clock, prelude::*, store};

use crate::{
    bucket::{Outcome, Shelf},
    key,
    settings::{self, Key},
};

/// Takes a token for each request.
#[derive(Debug)]
pub struct RateLimit {
    settings: settings::Settings,
    allowed: Counter,
    limited: Counter,
    unsure: Counter,
}

impl Configure for RateLimit {
    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(RateLimit {
            settings: settings::Settings::parse(settings.json())?,
            allowed: Counter::define("allowed")?,
            limited: Counter::define("limited")?,
            unsure: Counter::define("unsure")?,
        })
    }
}

impl EditRequest for RateLimit {
    fn edit_request(&mut self, request: &Request, _headers: &mut Headers) -> Result<(), Response> {
        let (counter, answer) = match self.settings.limit.take(&self.key_of(request), &mut Store) {
            Outcome::Allowed => (self.allowed, Ok(())),
            Outcome::Unsure => (self.unsure, Ok(())),
            Outcome::Limited(seconds) => (self.limited, Err(too_many(seconds))),
        };
        counter.count();
        answer
    }
}

impl RateLimit {
    fn key_of(&self, request: &Request) -> String {
        let value = match &self.settings.key {
            Key::Client => None,
            Key::Header(name) => request.header(name),
        };
        match value {
            Some(value) => key::of_value(&value),
            None => key::of_client(&request.client_address(), self.settings.prefix_v6),
        }
    }
}

fn too_many(seconds: u64) -> Response {
    Response::new(429)
        .field("retry-after", seconds.to_string())
        .text(format!("Too many requests; try again in {seconds} s.\n"))
}

struct Store;

impl Shelf for Store {
    fn now(&self) -> u64 {
        clock::monotonic_nanoseconds()
    }
    fn bucket(&self, key: &str) -> Option<Vec<u8>> {
        store::value(key)
    }
    fn replace(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        bucket: &[u8],
        ttl_milliseconds: u64,
    ) -> Option<bool> {
        store::compare_and_set(
            key,
            expected,
            bucket,
            Some(Duration::from_millis(ttl_milliseconds)),
        )
        .ok()
    }
}

waypost_policy::export!(RateLimit: Configure, EditRequest);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn workers_count_together_and_time_fills_the_bucket() {
        let host = Host::new();
        let settings = r#"{"rate": 0.5, "burst": 2, "key": "header:x-key"}"#;
        let mut workers = [
            host.load::<RateLimit>(settings).unwrap(),
            host.load::<RateLimit>(settings).unwrap(),
        ];
        let mut ask = |worker: usize, mut request| workers[worker].edit_request(&mut request);
        let keyed = || testing::get("/").field("x-key", "a");
        assert_eq!([ask(0, keyed()), ask(1, keyed())], [Ok(()), Ok(())]);
        let refusal = ask(0, keyed()).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.value("retry-after")),
            (429, Some(&b"2"[..]))
        );
        assert_eq!(
            ask(0, testing::get("/")),
            Ok(()),
            "without the field the client has a bucket"
        );
        host.advance(Duration::from_secs(2));
        assert_eq!(ask(1, keyed()), Ok(()));
        host.set_store_bytes(0);
        assert_eq!(
            ask(1, keyed().field("x-key", "b")).unwrap_err().status,
            429,
            "the first value counts"
        );
        assert_eq!(ask(1, testing::get("/").client("192.0.2.2")), Ok(()));
        assert_eq!(
            ["allowed", "limited", "unsure"].map(|name| host.counted(name)),
            [4, 2, 1]
        );
    }
}
