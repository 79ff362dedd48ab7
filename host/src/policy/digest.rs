//! The digest that identifies a component by its bytes.

use sha2::{Digest, Sha256};

use crate::units::hex;

/// `sha256:` and the digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}
