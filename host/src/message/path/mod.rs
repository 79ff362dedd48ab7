//! Paths as the servers behind the proxy read them: one normal form, and the other ways in which
//! servers read the same bytes.
//!
//! The normal form has unreserved characters decoded, hexadecimal digits in upper case, slashes
//! merged and dot segments resolved (RFC 3986 section 6.2.2; merging is what nginx, Envoy and most
//! file systems do). The result means the same to every server, except for a few constructs: `%2F`,
//! backslashes, `;`, NUL, overlong UTF-8 and characters that are encoded twice.

mod normal;
mod notes;
mod octets;
mod readings;

pub use normal::{literal, normal, normalise};
pub use notes::PathNotes;
pub use octets::is_encoded;
pub use readings::{Reading, readings};

#[cfg(test)]
mod tests;
