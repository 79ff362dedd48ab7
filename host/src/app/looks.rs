//! Looks at files: what has changed, and is not being written still.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often files are checked. Polling beats notifications: it works with network file systems,
/// mounted volumes and switched links, which is how files change in clusters.
const LOOK: Duration = Duration::from_millis(500);

/// Distinguishes versions of a file without reading it. Links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

/// The version of a file; `None` if it is not there.
pub(super) async fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some(Fingerprint {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        #[cfg(unix)]
        inode: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}

/// When to look.
pub(super) fn ticks() -> Interval {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What looks at something have seen: a file, or several.
#[derive(Debug, Default)]
pub(super) struct Looks<T> {
    /// The version that was read last.
    current: T,
    /// The version at the last look.
    seen: T,
}

impl<T: PartialEq + Clone> Looks<T> {
    /// After this version was read.
    pub(super) fn after(version: T) -> Self {
        Self {
            current: version.clone(),
            seen: version,
        }
    }

    /// Whether this version was there at the last look too, and was not read. What is still being
    /// written differs from look to look.
    pub(super) fn is_new(&mut self, now: &T) -> bool {
        let seen = std::mem::replace(&mut self.seen, now.clone());
        seen == *now && self.current != *now
    }

    /// This version was read.
    pub(super) fn read(&mut self, version: T) {
        self.current = version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_new_when_it_has_stayed_and_until_it_was_read() {
        let mut looks = Looks::after(1);
        assert!(!looks.is_new(&1));
        assert!(!looks.is_new(&2));
        assert!(!looks.is_new(&3), "it is being written");
        assert!(looks.is_new(&3) && looks.is_new(&3));
        looks.read(3);
        assert!(!looks.is_new(&3));
        assert!(!looks.is_new(&1));
        assert!(looks.is_new(&1), "back to what was before");
    }
}
