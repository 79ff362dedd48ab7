//! The index spaces that a module's instructions refer to, read from its sections.

use wasm_encoder::{Function, ValType};
use wasmparser::{
    BinaryReader, DataSectionReader, ElementItems, ElementSectionReader, FunctionSectionReader,
    ImportSectionReader, MemorySectionReader, RefType, TableSectionReader, TableType, TypeRef,
    TypeSectionReader,
};

use super::instruction::Bulk;
use super::pieces::{fill, transfer};
use super::sections::{Result, Section, section};

/// The index spaces that a module's instructions refer to.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    pub types: u32,
    pub functions: u32,
    /// Of these the first, which are not its own.
    pub imported: u32,
    /// Whether it is indexed by 64 bits.
    memories: Vec<bool>,
    tables: Vec<Table>,
    /// Bytes of each data segment.
    data: Vec<usize>,
    /// Elements of each segment.
    elements: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Table {
    /// Whether it is indexed by 64 bits.
    is_64: bool,
    /// `None` if it is of a type that no policy may use: its instructions are left, and refused
    /// later.
    element: Option<ValType>,
}

impl Table {
    fn of(table: TableType) -> Self {
        let element = match table.element_type {
            RefType::FUNCREF => Some(ValType::FUNCREF),
            RefType::EXTERNREF => Some(ValType::EXTERNREF),
            _ => None,
        };
        Self {
            is_64: table.table64,
            element,
        }
    }
}

impl Spaces {
    pub(in crate::policy) fn of(sections: &[Section<'_>]) -> Result<Self> {
        let mut spaces = Self::default();
        for (id, content) in sections {
            let reader = BinaryReader::new(content, 0);
            match *id {
                section::TYPE => {
                    for group in TypeSectionReader::new(reader)? {
                        spaces.types += group?.types().len() as u32;
                    }
                }
                section::IMPORT => {
                    for import in ImportSectionReader::new(reader)?.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => spaces.imported += 1,
                            TypeRef::Memory(memory) => spaces.memories.push(memory.memory64),
                            TypeRef::Table(table) => spaces.tables.push(Table::of(table)),
                            TypeRef::Global(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                section::FUNCTION => {
                    // Not what it claims to have, which may be more than there can be.
                    for function in FunctionSectionReader::new(reader)? {
                        function?;
                        spaces.functions += 1;
                    }
                }
                section::TABLE => {
                    for table in TableSectionReader::new(reader)? {
                        spaces.tables.push(Table::of(table?.ty));
                    }
                }
                section::MEMORY => {
                    for memory in MemorySectionReader::new(reader)? {
                        spaces.memories.push(memory?.memory64);
                    }
                }
                section::ELEMENT => {
                    for segment in ElementSectionReader::new(reader)? {
                        spaces.elements.push(match segment?.items {
                            ElementItems::Functions(items) => items.count(),
                            ElementItems::Expressions(_, items) => items.count(),
                        });
                    }
                }
                section::DATA => {
                    for segment in DataSectionReader::new(reader)? {
                        spaces.data.push(segment?.data.len());
                    }
                }
                _ => {}
            }
        }
        spaces.functions += spaces.imported;
        Ok(spaces)
    }

    /// A length beyond a segment's end is a trap, so that a small segment needs no more.
    pub(in crate::policy) fn may_be_long(&self, bulk: Bulk, constant: Option<u64>) -> bool {
        let piece = bulk.piece();
        let in_segment = match bulk {
            Bulk::Init { data, .. } => self.data.get(data as usize).map(|bytes| *bytes as u64),
            Bulk::TableInit { elements, .. } => self
                .elements
                .get(elements as usize)
                .map(|count| u64::from(*count)),
            Bulk::TableFill { table }
                if self
                    .tables
                    .get(table as usize)
                    .is_none_or(|table| table.element.is_none()) =>
            {
                return false;
            }
            Bulk::Fill { .. }
            | Bulk::Copy { .. }
            | Bulk::TableFill { .. }
            | Bulk::TableCopy { .. } => None,
        };
        let longest = constant
            .unwrap_or(u64::MAX)
            .min(in_segment.unwrap_or(u64::MAX));
        longest > u64::from(piece)
    }

    pub(in crate::policy) fn helper(&self, bulk: Bulk) -> (Vec<ValType>, Function) {
        let memory = |memory: u32| word(self.memories.get(memory as usize));
        let table = |table: u32| word(self.tables.get(table as usize).map(|table| &table.is_64));
        match bulk {
            Bulk::Fill { memory: filled } => {
                let w = memory(filled);
                (vec![w, ValType::I32, w], fill(bulk, w))
            }
            Bulk::TableFill { table: filled } => {
                let w = table(filled);
                let element = self
                    .tables
                    .get(filled as usize)
                    .and_then(|table| table.element);
                (
                    vec![w, element.unwrap_or(ValType::FUNCREF), w],
                    fill(bulk, w),
                )
            }
            Bulk::Copy { to, from } => transfer(bulk, memory(to), memory(from)),
            Bulk::TableCopy { to, from } => transfer(bulk, table(to), table(from)),
            Bulk::Init { memory: to, .. } => transfer(bulk, memory(to), ValType::I32),
            Bulk::TableInit { table: to, .. } => transfer(bulk, table(to), ValType::I32),
        }
    }
}

fn word(is_64: Option<&bool>) -> ValType {
    if is_64 == Some(&true) {
        ValType::I64
    } else {
        ValType::I32
    }
}
