//! The digest that identifies a component by its bytes.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// `sha256:` and the digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
