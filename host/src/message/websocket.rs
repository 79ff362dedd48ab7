//! The handshake of WebSocket by HTTP/1.1 (RFC 6455 section 4), which HTTP/2 does without (RFC 8441
//! section 5): where the two meet, one side of it is the proxy's.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

/// The protocol's name, in `upgrade` and in `:protocol`.
pub const WEBSOCKET: &str = "websocket";
/// The field with a client's key.
pub const KEY: &str = "sec-websocket-key";
/// The field with the answer to it.
pub const ACCEPT: &str = "sec-websocket-accept";

/// What the answer adds to the key, so that only a server that knows the protocol can give it.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key of these random bytes.
pub fn key(random: u128) -> String {
    BASE64_STANDARD.encode(random.to_ne_bytes())
}

/// The answer to a key.
pub fn accept(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    BASE64_STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn a_key_has_the_answer_of_the_standard() {
        let answer = accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        assert_eq!(key(0), "AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(key(u128::MAX), "/////////////////////w==");
    }
}
