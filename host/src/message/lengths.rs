//! The bounds of heads, and what they say of lengths.

use super::{Malformed, syntax};

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the first line, or of what stands in its place.
    pub first_line: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// Reads a `Content-Length` field of a request. `length` is what others before it have said.
///
/// # Errors
///
/// It is not one number, or there is more than one field.
pub fn read_length(length: &mut Option<u64>, value: &[u8]) -> Result<(), Malformed> {
    let n = syntax::length(value).ok_or(Malformed::ContentLength)?;
    match length.replace(n) {
        Some(_) => Err(Malformed::ContentLengthRepeated),
        None => Ok(()),
    }
}
