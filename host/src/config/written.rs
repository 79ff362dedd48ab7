//! Where the file says what, for what turns out to be wrong when files are read and names are
//! looked up.

use std::path::{Path, PathBuf};

use crate::document::Place;

/// Where the file says what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenAt {
    /// Where files are named that are read later.
    files: Vec<(PathBuf, Place)>,
    /// Keys with their sections; of a list of tables with its position, as `listeners[0].tls`.
    keys: Vec<(String, Place)>,
}

impl WrittenAt {
    pub(super) fn new(files: Vec<(PathBuf, Place)>, keys: Vec<(String, Place)>) -> Self {
        Self { files, keys }
    }

    /// That of a key.
    pub fn key(&self, key: &str) -> Option<&Place> {
        let found = self.keys.iter().find(|(written, _)| written == key);
        found.map(|(_, place)| place)
    }

    /// Where a file is named first.
    pub fn file(&self, file: &Path) -> Option<&Place> {
        let found = self.files.iter().find(|(named, _)| named == file);
        found.map(|(_, place)| place)
    }

    /// Where a listener, by its position, names a file: two may name the same one.
    pub fn file_of_listener(&self, listener: usize, file: &Path) -> Option<&Place> {
        let begins = |number: usize| line(self.key(&format!("listeners[{number}]"))?);
        let (begin, end) = (begins(listener)?, begins(listener + 1));
        let all = self.files.iter().filter(|(named, _)| named == file);
        let mut places = all.map(|(_, place)| place);
        let is_inside = |at: usize| at >= begin && end.is_none_or(|end| at < end);
        places
            .find(|place| line(place).is_some_and(is_inside))
            .or_else(|| self.file(file))
    }

    /// The place with which a sentence begins.
    pub fn named_in(&self, sentence: &str) -> Option<&Place> {
        let files = self.files.iter().map(|(_, place)| place);
        let mut all = files.chain(self.keys.iter().map(|(_, place)| place));
        all.find(|place| {
            let rest = sentence.strip_prefix(&place.to_string());
            rest.is_some_and(|rest| rest.starts_with(": "))
        })
    }
}

fn line(place: &Place) -> Option<usize> {
    match place {
        Place::File { line, .. } => Some(*line),
        _ => None,
    }
}
