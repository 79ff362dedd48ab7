//! What probes say of themselves, and what they look for in answers.

/// How probes call themselves.
pub(super) const NAME: &str = concat!("waypost/", env!("CARGO_PKG_VERSION"), " (probe)");
/// How much of an answer is read.
pub(super) const MOST: usize = 64 << 10;

/// A text that is looked for in the beginning of a body.
pub(super) struct Searched<'t> {
    text: &'t str,
    read: Vec<u8>,
}

impl<'t> Searched<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let read = Vec::new();
        Self { text, read }
    }

    /// Whether the text is there, once that is known.
    pub(super) fn take(&mut self, piece: &[u8]) -> Option<bool> {
        let room = MOST.saturating_sub(self.read.len());
        let piece = &piece[..piece.len().min(room)];
        // It may have begun in what came before.
        let from = self.read.len().saturating_sub(self.text.len());
        self.read.extend_from_slice(piece);
        let found = memchr::memmem::find(&self.read[from..], self.text.as_bytes()).is_some();
        (found || self.read.len() >= MOST).then_some(found)
    }
}
