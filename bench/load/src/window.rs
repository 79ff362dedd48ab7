//! Latencies of what was answered, and the time in which they count.

use std::time::{Duration, Instant};

use crate::options::Options;

/// Latencies in microseconds, and what went wrong.
#[derive(Default)]
pub struct Tally {
    latencies: Vec<u32>,
    pub errors: u64,
    first_error: String,
}

impl Tally {
    pub fn record(&mut self, latency: Duration) {
        let latency = u32::try_from(latency.as_micros());
        self.latencies.push(latency.unwrap_or(u32::MAX));
    }

    pub fn fail(&mut self, why: &str) {
        self.errors += 1;
        self.explain(why);
    }

    /// Keeps the reason if it is the first.
    pub fn explain(&mut self, why: &str) {
        if self.first_error.is_empty() {
            self.first_error = why.to_owned();
        }
    }

    /// Why to go on makes no sense any more.
    pub fn hopeless(&self) -> Option<String> {
        (self.errors > 10_000).then(|| {
            let first = &self.first_error;
            format!("gave up after 10,000 errors; the first: {first}")
        })
    }

    /// A line of JSON; `more` are further members of the object, each with a comma behind it.
    pub fn print(&mut self, more: &str) {
        self.latencies.sort_unstable();
        let count = self.latencies.len();
        let at = |part: f64| {
            let place = ((count as f64 * part) as usize).min(count.saturating_sub(1));
            self.latencies.get(place).copied().unwrap_or(0)
        };
        println!(
            "{{\"requests\": {count}, \"errors\": {}, {more}\"p50\": {}, \"p90\": {}, \"p99\": {}, \
             \"p999\": {}, \"max\": {}, \"first_error\": {:?}}}",
            self.errors,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
            self.first_error,
        );
    }
}

/// A warm-up, and then the time in which everything counts. Its beginning is announced by a line
/// of its own, so that the proxy's CPU time is read at that moment.
pub struct Window {
    from: Instant,
    pub until: Instant,
    seconds: f64,
    opened: bool,
    pub tally: Tally,
}

impl Window {
    pub fn new(options: &Options) -> Self {
        let from = Instant::now() + Duration::from_secs_f64(options.warm_up);
        Window {
            from,
            until: from + Duration::from_secs_f64(options.seconds),
            seconds: options.seconds,
            opened: false,
            tally: Tally::default(),
        }
    }

    /// What this asks for took from `began` until `now`. Whether there is still time.
    pub fn answered(&mut self, began: Instant, now: Instant) -> bool {
        let open = self.look(now);
        if open && self.opened {
            self.tally.record(now.saturating_duration_since(began));
        }
        open
    }

    /// Opens the window when it is time. Whether there is still time.
    pub fn look(&mut self, now: Instant) -> bool {
        if !self.opened && now >= self.from {
            self.opened = true;
            println!("started");
        }
        now < self.until
    }

    /// The next moment at which something changes by itself.
    pub fn next(&self) -> Instant {
        if self.opened { self.until } else { self.from }
    }

    pub fn print(&mut self) {
        let seconds = format!("\"seconds\": {:.3}, ", self.seconds);
        self.tally.print(&seconds);
    }
}
