//! Moves clients from one group of backends to another at a moment, all at once or slowly.
//!
//! Use it for a release that is planned for a time when nobody wants to sit at a keyboard. Both
//! groups are in one pool and carry a label, such as `color`. With `over` the share of clients that
//! have moved grows from the moment on; it goes by a hash of the client's address, so a client
//! moves once. A group without a usable backend is replaced by the other.
//!
//! ```toml
//! [policies.release.settings]
//! from = "blue"
//! to = "green"
//! at = "2026-12-01T06:00:00Z"    # required, in UTC
//! over = 1800                    # seconds until all have moved; 0, all at once, if left out
//! label = "color"                # the label that says which group a backend is in
//! ```

use serde::Deserialize;
use waypost_policy::{clock, hash, prelude::*};

struct BlueGreen {
    options: Options,
    /// Milliseconds since 1970.
    at: u64,
    groups: Pools<Groups>,
    from: Counter,
    to: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    from: String,
    to: String,
    at: String,
    #[serde(default)]
    over: u32,
    #[serde(default = "label")]
    label: String,
}

fn label() -> String {
    "color".to_owned()
}

impl Configure for BlueGreen {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if options.from == options.to {
            return Err("to: has to be another group than from".to_owned());
        }
        let at = unix_seconds(&options.at).ok_or_else(|| {
            format!(
                "at: \"{}\" is no time such as 2026-12-01T06:00:00Z",
                options.at
            )
        })?;
        let (from, to) = (Counter::define("from")?, Counter::define("to")?);
        Ok(BlueGreen {
            options,
            at: at * 1000,
            groups: Pools::default(),
            from,
            to,
        })
    }
}

impl Topology for BlueGreen {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        let groups = Groups::by_label(backends, &self.options.label);
        for group in [&self.options.from, &self.options.to] {
            if groups.named(group).is_empty() {
                log::warn(format!(
                    "pool {} has no backend whose {} is {group}",
                    pool.name, self.options.label
                ));
            }
        }
        self.groups.keep(pool.id, groups);
    }
}

impl Select for BlueGreen {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let Some(groups) = self.groups.at(attempt.pool) else {
            return Decision::Pass;
        };
        let (from, to) = (
            groups.named(&self.options.from),
            groups.named(&self.options.to),
        );
        let (own, other) = if self.has_moved(request) {
            (to, from)
        } else {
            (from, to)
        };
        let choice = attempt
            .least_busy(own)
            .or_else(|| attempt.least_busy(other));
        if let Some(backend) = choice {
            if to.contains(&backend) {
                self.to
            } else {
                self.from
            }
            .count();
        }
        choice.into()
    }
}

impl BlueGreen {
    fn has_moved(&self, request: &Request) -> bool {
        let Some(since) = clock::unix_milliseconds().checked_sub(self.at) else {
            return false;
        };
        let over = self.options.over;
        // The client's own second of the move.
        since / 1000 >= over.into()
            || since
                >= u64::from(hash::part(
                    self.at,
                    request.client_address().as_bytes(),
                    over,
                )) * 1000
    }
}

/// `YYYY-MM-DDThh:mm:ssZ` as seconds since 1970, in which every year that 4 divides is a leap year:
/// true until 2100.
fn unix_seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number =
        |part: Option<&str>, most: u64| part?.parse().ok().filter(|number: &u64| *number <= most);
    let (mut date, mut time) = (date.split('-'), time.split(':'));
    let (year, month, day) = (
        number(date.next(), 2099)?,
        number(date.next(), 12)?,
        number(date.next(), 31)?,
    );
    let (hour, minute, second) = (
        number(time.next(), 23)?,
        number(time.next(), 59)?,
        number(time.next(), 59)?,
    );
    if year < 1970 || month == 0 || day == 0 || date.next().is_some() || time.next().is_some() {
        return None;
    }
    let leap = u64::from(year % 4 == 0);
    let months = [31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (before, own) = (
        months.iter().take(month as usize - 1).sum::<u64>(),
        months[month as usize - 1],
    );
    let days = (year - 1970) * 365 + (year - 1969) / 4 + before + day - 1;
    (day <= own).then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

waypost_policy::export!(BlueGreen: Configure, Topology, Select);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn clients_move_one_by_one_and_only_once() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            ["blue", "green"].map(|color| Backend::new("10.0.0.1:80").with_label("color", color)),
        );
        let settings =
            r#"{"from": "blue", "to": "green", "at": "2026-01-01T00:10:00Z", "over": 100}"#;
        let mut policy = host.load::<BlueGreen>(settings).unwrap();
        let mut moved = || -> Vec<u32> {
            let client = |n: u32| testing::get("/").client(&format!("192.0.2.{n}"));
            (0..200)
                .filter(|n| policy.select(&client(*n)) == Decision::Backend(1))
                .collect()
        };
        host.advance(Duration::from_millis(599_999));
        assert_eq!(moved(), [0; 0]);
        host.advance(Duration::from_millis(25_001));
        let quarter = moved();
        assert!((30..70).contains(&quarter.len()), "{}", quarter.len());
        host.advance(Duration::from_secs(50));
        let most = moved();
        assert!(
            (130..170).contains(&most.len()) && quarter.iter().all(|n| most.contains(n)),
            "{}",
            most.len()
        );
        host.advance(Duration::from_secs(25));
        assert_eq!(moved().len(), 200);
        pool.set_healthy(1, false);
        assert_eq!(moved(), [0; 0]);
    }

    #[test]
    fn times_are_read_and_mistakes_told() {
        assert_eq!(unix_seconds("2026-01-01T00:00:00Z"), Some(1_767_225_600));
        assert_eq!(unix_seconds("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        for wrong in [
            "2026-02-29T00:00:00Z",
            "2026-01-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00+01:00",
            "1969-01-01T00:00:00Z",
        ] {
            let settings = format!(r#"{{"from": "a", "to": "b", "at": "{wrong}"}}"#);
            let error = Host::new().load::<BlueGreen>(settings).unwrap_err();
            assert_eq!(
                error,
                format!("at: \"{wrong}\" is no time such as 2026-12-01T06:00:00Z")
            );
        }
    }
}
