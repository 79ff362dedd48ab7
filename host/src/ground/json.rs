//! Lines of the log as JSON: one object a line.

use std::fmt::{self, Debug, Display, Write as _};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::moment::stamp;
use crate::text::is_unseen;

/// Bytes of the message as it is written. All of a line has to fit into one of the log, because an
/// object that was cut is none.
const MESSAGE: usize = 4 * 1024;
/// Bytes of another value ...
const VALUE: usize = 512;
/// ... and how many there may be.
const VALUES: usize = 6;

/// Writes events so.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = about.level().as_str().to_ascii_lowercase();
        let Fields { message, rest, .. } = fields;
        to.write_str(&object((&level, about.target()), &message, &rest))
    }
}

/// A line. `rest` is written behind the message as it is: fields of JSON, each with a comma before
/// it.
pub(super) fn object((level, target): (&str, &str), message: &str, rest: &str) -> String {
    let time = stamp(Duration::ZERO);
    let (target, message) = (quoted(target, VALUE), quoted(message, MESSAGE));
    format!(
        "{{\"time\":\"{time}\",\"level\":\"{level}\",\"target\":{target},\
         \"message\":{message}{rest}}}\n"
    )
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
    values: usize,
}

impl Fields {
    fn text(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.add(name, &quoted(value, VALUE)),
        }
    }

    fn number(&mut self, field: &Field, value: impl Display) {
        self.add(field.name(), &value.to_string());
    }

    fn add(&mut self, name: &str, value: &str) {
        if self.values < VALUES {
            self.values += 1;
            // Writing to a string can't fail.
            let _ = write!(self.rest, ",{}:{value}", quoted(name, VALUE));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, &format!("{value:?}"));
    }
}

/// A string of JSON in which no character steers a terminal, of about this many bytes at most.
fn quoted(text: &str, most: usize) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if out.len() >= most {
            out.push_str("...");
            break;
        }
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if is_unseen(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string can't fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use serde_json::Value;

    use super::*;

    /// A field behind the message.
    fn field(name: &str, value: &str) -> String {
        format!(",{}:{}", quoted(name, VALUE), quoted(value, VALUE))
    }

    #[test]
    fn any_text_is_a_string_of_bounded_length() {
        for text in [
            "",
            "a \"b\" \\",
            "\u{1b}[31m\n\t\u{202e}\u{85}\u{7f}",
            "\u{e9}\u{1f600}",
        ] {
            let written = quoted(text, 100);
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
            assert!(!written.chars().any(is_unseen), "{written}");
        }
        let long = quoted(&"\u{1}".repeat(1_000), 100);
        assert!(long.len() < 120, "{long}");
        assert!(
            serde_json::from_str::<String>(&long)
                .unwrap()
                .ends_with("...")
        );
    }

    #[test]
    fn a_line_is_one_object() {
        let line = object(("warn", "a"), "b\nc", &field("policy", "\"p\""));
        let object: Value = serde_json::from_str(line.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(object["message"], "b\nc");
        assert_eq!(
            (&object["level"], &object["policy"]),
            (&"warn".into(), &"\"p\"".into())
        );
        assert!(line.starts_with("{\"time\":\"20"), "{line}");
        let longest = object_of(&"\u{1}".repeat(10_000));
        assert!(longest.len() < 8 * 1024, "{}", longest.len());
    }

    fn object_of(text: &str) -> String {
        let rest: String = (0..VALUES).map(|_| field("name", text)).collect();
        object(("error", "target"), text, &rest)
    }
}
