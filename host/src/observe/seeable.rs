//! JSON for people who read it in a terminal.

use std::io;

use crate::text::is_unseen;

/// JSON in which no character of a client steers a terminal or ends a line for those that know more
/// line ends than one: such characters are escaped, which says the same.
pub(super) struct Seeable;

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
