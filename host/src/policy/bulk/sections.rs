//! A module or a component as its sections.

use std::borrow::Cow;

use wasm_encoder::Encode;
use wasmparser::{BinaryReader, BinaryReaderError};

/// Sections of a core module.
pub(super) mod section {
    pub(in crate::policy) const TYPE: u8 = 1;
    pub(in crate::policy) const IMPORT: u8 = 2;
    pub(in crate::policy) const FUNCTION: u8 = 3;
    pub(in crate::policy) const TABLE: u8 = 4;
    pub(in crate::policy) const MEMORY: u8 = 5;
    pub(in crate::policy) const ELEMENT: u8 = 9;
    pub(in crate::policy) const CODE: u8 = 10;
    pub(in crate::policy) const DATA: u8 = 11;
    /// Of a component.
    pub(in crate::policy) const MODULE: u8 = 1;
    /// Of a component.
    pub(in crate::policy) const COMPONENT: u8 = 4;
}

/// Why bytes can't be rewritten.
#[derive(Debug)]
pub struct Unreadable(pub String);

pub(super) type Result<T> = std::result::Result<T, Unreadable>;

impl From<BinaryReaderError> for Unreadable {
    fn from(error: BinaryReaderError) -> Self {
        Self(error.to_string())
    }
}

/// Its number and what is in it.
pub(super) type Section<'a> = (u8, Cow<'a, [u8]>);

pub(super) fn sections(bytes: &[u8]) -> Result<Vec<Section<'_>>> {
    let mut reader = BinaryReader::new(bytes, 0);
    reader.read_bytes(8)?;
    let mut sections = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()?;
        sections.push((id, Cow::Borrowed(reader.read_bytes(size as usize)?)));
    }
    Ok(sections)
}

/// The same kind of file as `bytes`, with these sections.
pub(super) fn join(bytes: &[u8], sections: &[Section<'_>]) -> Vec<u8> {
    let mut joined = bytes[..8].to_vec();
    for (id, content) in sections {
        joined.push(*id);
        content.encode(&mut joined);
    }
    joined
}
