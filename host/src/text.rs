//! Text: how are words of clients, backends and guests shown in a log, at a terminal or on a page?
//!
//! All such text passes through here. Control sequences, characters that change the direction of
//! writing and invisible characters are replaced, in JSON escaped. This room uses no other.

use std::io;

use serde::Serialize;

/// The text on one line, with each invisible or steering character replaced by U+FFFD.
pub fn plain(text: &str) -> String {
    text.chars().map(seen).collect()
}

/// The same, but line ends stay.
pub fn plain_lines(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { c } else { seen(c) })
        .collect()
}

/// What a request asks for, by its host and its path; that of a `CONNECT` is both.
pub fn place(host: &str, path: &str) -> String {
    match path {
        "*" => format!("{host} *"),
        path if path.starts_with('/') => format!("{host}{path}"),
        both => both.to_owned(),
    }
}

/// An error with its causes, of which hyper and others say only the first.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut all = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !all.contains(&text) {
            all = format!("{all}: {text}");
        }
        cause = error.source();
    }
    all
}

/// The beginning and the end of a text that is longer than `longest` bytes. The end is kept because
/// it contains the advice.
pub fn brief(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return plain_lines(text);
    }
    let (head, tail) = (
        text.floor_char_boundary(longest / 2),
        text.ceil_char_boundary(text.len() - longest / 2),
    );
    format!(
        "{} [...] {}",
        plain_lines(&text[..head]),
        plain_lines(&text[tail..])
    )
}

/// JSON in which no character of a client steers a terminal or ends a line for those that know more
/// line ends than one: such characters are escaped, which says the same.
struct Seeable;

impl serde_json::ser::Formatter for Seeable {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if fragment.is_ascii() {
            return writer.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if is_unseen(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Appends a value as JSON, on one line. Values of plain strings and numbers always can be.
pub fn write_json(value: &impl Serialize, to: &mut Vec<u8>) {
    let mut json = serde_json::Serializer::with_formatter(to, Seeable);
    // Memory takes all.
    drop(value.serialize(&mut json));
}

/// Whether a character is a control character, has no width, or turns the direction of others
/// (Unicode's Cc and Cf, its line and paragraph separators, variation selectors, tags, fillers and
/// noncharacters).
pub fn is_unseen(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
        || (c as u32) & 0xfffe == 0xfffe
        || matches!(c, '\u{fdd0}'..='\u{fdef}')
}

fn seen(c: char) -> char {
    if is_unseen(c) {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_or_hides_is_left() {
        let text =
            "a\r\n\t\x1b[0m\u{9b}\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}\u{61c}\u{ad}b";
        let shown = plain(text);
        assert!(shown.starts_with('a') && shown.ends_with('b'), "{shown:?}");
        assert_eq!(
            shown
                .chars()
                .filter(|c| *c == char::REPLACEMENT_CHARACTER)
                .count(),
            13,
            "{shown:?}"
        );
        assert_eq!(plain_lines("a\nb\r"), "a\nb\u{fffd}");
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "Grüße, 世界!",
            "שלום",
            "مرحبا",
            "🎉 e\u{301}",
            "100 % ~ `x`",
        ] {
            assert_eq!(plain(text), text);
        }
    }

    #[test]
    fn json_says_the_same_without_what_steers() {
        let text = "a\n\u{1b}\u{202e}\u{9b}\u{e0041}\u{e9}";
        let mut written = Vec::new();
        write_json(&text, &mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(!written.chars().any(is_unseen), "{written:?}");
        assert!(written.contains('\u{e9}'), "{written:?}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn it_is_cut_between_characters() {
        assert_eq!(brief("abcdefgh", 8), "abcdefgh");
        assert_eq!(brief("abcdefghi", 4), "ab [...] hi");
    }
}
