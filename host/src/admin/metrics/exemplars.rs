//! Traced requests that stand for those of a bucket (OpenMetrics 1.0, section 4.6.1).

use std::fmt::Write as _;

use super::families::{LATENCY_BOUNDS, MICROSECONDS};
use crate::stats::{Exemplar, Stats};

/// The buckets of requests' durations.
const BUCKETS: &str = "\nwaypost_request_duration_seconds_bucket{";
const NANOSECONDS: f64 = 1e9;

/// The last traced request of each bucket, in the order of the buckets.
pub(super) fn of_requests(stats: &Stats) -> Vec<Option<Exemplar>> {
    let below = *LATENCY_BOUNDS.start() as usize;
    let mut buckets = vec![None; LATENCY_BOUNDS.count() + 1];
    for worker in stats.workers() {
        for (bits, found) in worker.exemplars.by_bits().enumerate() {
            let at = bits.saturating_sub(below).min(buckets.len() - 1);
            // `None` is less than any.
            buckets[at] = buckets[at].max(found);
        }
    }
    buckets
}

/// The text with these behind the buckets. The encoder takes exemplars only from histograms of its
/// own, which count by themselves.
pub(super) fn added(text: String, exemplars: &[Option<Exemplar>]) -> String {
    let begin = text.find(BUCKETS).map(|at| at + 1);
    let (Some(begin), true) = (begin, exemplars.iter().any(Option::is_some)) else {
        return text;
    };
    let (before, mut rest) = text.split_at(begin);
    let mut out = String::with_capacity(text.len() + exemplars.len() * 100);
    out.push_str(before);
    for exemplar in exemplars {
        let Some((line, after)) = rest.split_once('\n') else {
            break;
        };
        out.push_str(line);
        rest = after;
        if let Some(exemplar) = exemplar {
            // Writing to a string can't fail.
            let _ = write!(
                out,
                " # {{trace_id=\"{:032x}\"}} {:?} {:.3}",
                exemplar.trace,
                exemplar.microseconds as f64 / MICROSECONDS,
                exemplar.ended_unix as f64 / NANOSECONDS,
            );
        }
        out.push('\n');
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_the_last_request_of_all_workers() {
        let stats = Stats::new(2);
        let note = |worker: usize, trace, microseconds, ended_unix| {
            stats.workers()[worker].exemplars.note(Exemplar {
                trace,
                microseconds,
                ended_unix,
            });
        };
        note(0, 1, 3, 1_700_000_000_000_000_000);
        note(1, 2, 60, 1_700_000_001_500_000_000);
        note(0, 3, 64, 1_700_000_002_000_000_000);
        note(0, 4, 1 << 40, 1_700_000_003_000_000_000);
        let found = of_requests(&stats);
        let traces: Vec<_> = found.iter().map(|e| e.map(|e| e.trace)).collect();
        assert_eq!(traces.len(), 22);
        assert_eq!((traces[0], traces[1], traces[2]), (Some(2), Some(3), None));
        assert_eq!(traces[21], Some(4));

        let lines: String = (0..22)
            .map(|n| format!("waypost_request_duration_seconds_bucket{{le=\"{n}\"}} {n}\n"))
            .collect();
        let text = added(format!("# TYPE x histogram\n{lines}# EOF\n"), &found);
        let line = "bucket{le=\"0\"} 0 # {trace_id=\"00000000000000000000000000000002\"} 6e-5 \
                    1700000001.500\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("{le=\"2\"} 2\nwaypost"), "{text}");
        assert!(text.contains("{le=\"21\"} 21 # {"), "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        assert_eq!(added(lines.clone(), &[None]), lines);
    }
}
