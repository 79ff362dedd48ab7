//! Is the file whole? One that is cut short is TOML all the same: what it has lost would silently
//! be gone from the proxy.

use crate::app::control::Purpose;

/// Why a file is not taken, after the one that runs; `None` if it is.
pub(super) fn doubt(name: &str, runs: &str, next: &str, purpose: Purpose) -> Option<String> {
    if says_nothing(next) && !says_nothing(runs) {
        return Some(format!(
            "{name} is empty, which would remove everything; write the configuration to it, or \
             restart the proxy without a file"
        ));
    }
    let rest = runs.strip_prefix(next)?;
    if purpose != Purpose::Follow || says_nothing(rest) {
        return None;
    }
    Some(format!(
        "{name} looks cut short: it is the beginning of the file that runs, without its last {} \
         bytes; if that is meant, `waypost reload` or SIGHUP takes it as it is",
        rest.len()
    ))
}

/// Whether a text has nothing but white space and comments.
fn says_nothing(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(runs: &str, next: &str, purpose: Purpose) -> bool {
        doubt("a.toml", runs, next, purpose).is_none()
    }

    #[test]
    fn an_empty_file_is_taken_only_after_an_empty_one() {
        for purpose in [Purpose::Follow, Purpose::Publish, Purpose::Check] {
            for empty in ["", "\n \t\n", "# a\n  # b"] {
                assert!(!is_taken("a = 1\n", empty, purpose), "{empty:?}");
                assert!(is_taken("# c\n", empty, purpose), "{empty:?}");
            }
        }
    }

    #[test]
    fn the_beginning_of_the_file_that_runs_is_taken_only_if_that_is_asked() {
        let runs = "a = 10\n[b]\nc = 2\n# d\n";
        for cut in [3, 5, 7, 8, 11, 15] {
            assert!(!is_taken(runs, &runs[..cut], Purpose::Follow), "{cut}");
            assert!(is_taken(runs, &runs[..cut], Purpose::Publish), "{cut}");
            assert!(is_taken(runs, &runs[..cut], Purpose::Check), "{cut}");
        }
        // The same without its comment, the same, more, and another.
        for next in [
            "a = 10\n[b]\nc = 2",
            runs,
            "a = 10\n[b]\nc = 2\n# d\ne = 1",
            "a = 2",
        ] {
            assert!(is_taken(runs, next, Purpose::Follow), "{next:?}");
        }
    }
}
