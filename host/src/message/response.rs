//! The head of a response.

use super::{Fields, Upgrade, Version};

/// A response head, reused for each response of a connection.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The status code, 100 to 999. RFC 9110 defines none from 600 on; those count as 5xx.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Vec<u8>,
    /// The backend's version.
    pub version: Version,
    /// The header fields that may cross.
    pub fields: Fields,
    /// What a 101 changes to; of any other response nothing is noted.
    pub upgrade: Upgrade,
}

impl ResponseHead {
    /// Clears the previous response and keeps the buffers.
    pub fn clear(&mut self) {
        self.reason.clear();
        self.fields.clear();
        self.upgrade.clear();
    }
}
