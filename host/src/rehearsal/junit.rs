//! Results as JUnit XML, which build servers read.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::report;
use super::run::Played;
use crate::text::is_unseen;

/// A suite for each file, a case for each scenario.
pub(super) fn xml(all: &[Played]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests: usize = all.iter().map(|file| file.scenarios.len()).sum();
    let failures: usize = all.iter().map(failed).sum();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "<testsuites tests=\"{tests}\" failures=\"{failures}\">"
    );
    for file in all {
        let time: f64 = file.scenarios.iter().map(|s| s.took.as_secs_f64()).sum();
        let (name, tests, failures) = (escaped(&file.name), file.scenarios.len(), failed(file));
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{time:.6}\">"
        );
        for scenario in &file.scenarios {
            let (case, line, took) = (
                escaped(&scenario.name),
                scenario.line,
                scenario.took.as_secs_f64(),
            );
            let _ = write!(
                text,
                "    <testcase classname=\"{name}\" name=\"{case}\" file=\"{name}\" line=\"{line}\" time=\"{took:.6}\""
            );
            let Some(first) = scenario
                .failures
                .first()
                .and_then(|f| f.differences.first())
            else {
                text.push_str("/>\n");
                continue;
            };
            let message = escaped(&format!(
                "{}: expected {}, actual {}",
                first.what, first.expected, first.actual
            ));
            let details: String = scenario
                .failures
                .iter()
                .map(|f| report::failure(f, ""))
                .collect();
            let _ = writeln!(
                text,
                ">\n      <failure message=\"{message}\">{}</failure>",
                escaped(&details)
            );
            text.push_str("    </testcase>\n");
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// A suite with one error for each file: why none of it was played.
pub(super) fn unplayed(files: &[PathBuf], why: &str) -> String {
    let (count, why) = (files.len(), escaped(why));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{count}\" failures=\"0\" errors=\"{count}\">\n"
    );
    for file in files {
        let name = escaped(&file.display().to_string());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0\">\n    \
             <testcase classname=\"{name}\" name=\"{name}\" file=\"{name}\" time=\"0\">\n      \
             <error message=\"{why}\"/>\n    </testcase>\n  </testsuite>"
        );
    }
    text.push_str("</testsuites>\n");
    text
}

fn failed(file: &Played) -> usize {
    file.scenarios
        .iter()
        .filter(|s| !s.failures.is_empty())
        .count()
}

/// As text or an attribute; what XML 1.0 can't hold at all is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            c if is_unseen(c) => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_not_there() {
        assert_eq!(
            escaped("a<b>&\"c\"\u{0}\n\u{1b}"),
            "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}\n\u{fffd}"
        );
    }
}
