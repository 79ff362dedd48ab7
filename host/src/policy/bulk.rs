//! Bulk instructions in pieces, so that a deadline can end them.
//!
//! The engine looks at the epoch before `memory.fill`, `memory.copy`, `memory.init`, `table.fill`,
//! `table.copy` and `table.init`, and not while one of them runs: filling 1 GiB takes seconds. So a
//! component is rewritten before it is compiled. Where one of these instructions has a length that
//! is not known to be small, a call takes its place. The function that is called does a small
//! length at once and a larger one in pieces, in a loop, at whose start the engine looks at the
//! epoch again.
//!
//! Such a function does what the instruction does, also where regions overlap, and traps before it
//! has written anything. It comes after all other functions of its module, and its type after all
//! other types, so that no index changes.
//!
//! Code without a loop gets places where the engine looks, too, see [`straight`]. Everything else
//! is copied as it was.

mod pieces;
mod straight;

use std::borrow::Cow;

use wasm_encoder::{Encode, Function, InstructionSink, ValType};
use wasmparser::{
    BinaryReader, BinaryReaderError, CodeSectionReader, DataSectionReader, ElementItems,
    ElementSectionReader, FunctionBody, FunctionSectionReader, ImportSectionReader,
    MemorySectionReader, Operator, RefType, TableSectionReader, TableType, TypeRef,
    TypeSectionReader,
};

use self::pieces::{fill, transfer};
use self::straight::{LOOK, Straight};

/// Bytes of memory in one piece: some 10 µs, also if each page is touched for the first time.
const PIECE: u32 = 64 * 1024;
/// Elements of a table in one piece: some 10 µs, also if each is made at its first use.
const TABLE_PIECE: u32 = 1024;
/// Components within components.
const MAX_DEPTH: u32 = 100;
/// Grows when the same bytes are rewritten in another way: what was compiled before is of no use
/// then.
pub(super) const EDITION: u32 = 3;

/// Sections of a core module.
mod section {
    pub const TYPE: u8 = 1;
    pub const IMPORT: u8 = 2;
    pub const FUNCTION: u8 = 3;
    pub const TABLE: u8 = 4;
    pub const MEMORY: u8 = 5;
    pub const ELEMENT: u8 = 9;
    pub const CODE: u8 = 10;
    pub const DATA: u8 = 11;
    /// Of a component.
    pub const MODULE: u8 = 1;
    /// Of a component.
    pub const COMPONENT: u8 = 4;
}

/// What is wrong with bytes that can't be rewritten.
#[derive(Debug)]
pub struct Unreadable(pub String);

type Result<T> = std::result::Result<T, Unreadable>;

impl From<BinaryReaderError> for Unreadable {
    fn from(error: BinaryReaderError) -> Self {
        Self(error.to_string())
    }
}

/// The component with its bulk instructions in pieces; the same bytes if it has none.
pub fn in_pieces(component: &[u8]) -> Result<Cow<'_, [u8]>> {
    rewrite_component(component, 0)
}

fn rewrite_component(bytes: &[u8], depth: u32) -> Result<Cow<'_, [u8]>> {
    if depth > MAX_DEPTH {
        return Err(Unreadable(format!(
            "components are nested more than {MAX_DEPTH} deep"
        )));
    }
    let mut sections = sections(bytes)?;
    let mut changed = false;
    for (id, content) in &mut sections {
        let Cow::Borrowed(inner) = *content else {
            continue;
        };
        let rewritten = match *id {
            section::MODULE => rewrite_module(inner)?,
            section::COMPONENT => rewrite_component(inner, depth + 1)?,
            _ => continue,
        };
        changed |= matches!(rewritten, Cow::Owned(_));
        *content = rewritten;
    }
    Ok(if changed {
        Cow::Owned(join(bytes, &sections))
    } else {
        Cow::Borrowed(bytes)
    })
}

type Section<'a> = (u8, Cow<'a, [u8]>);

fn sections(bytes: &[u8]) -> Result<Vec<Section<'_>>> {
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

fn join(bytes: &[u8], sections: &[Section<'_>]) -> Vec<u8> {
    let mut joined = bytes[..8].to_vec();
    for (id, content) in sections {
        joined.push(*id);
        content.encode(&mut joined);
    }
    joined
}

/// A bulk instruction that may be long, with the indices that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bulk {
    Fill { memory: u32 },
    Copy { to: u32, from: u32 },
    Init { memory: u32, data: u32 },
    TableFill { table: u32 },
    TableCopy { to: u32, from: u32 },
    TableInit { table: u32, elements: u32 },
}

/// What the instructions of a module can name.
#[derive(Debug, Default)]
struct Spaces {
    types: u32,
    functions: u32,
    /// Of these the first, which are not its own.
    imported: u32,
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

fn rewrite_module(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    let mut sections = sections(bytes)?;
    let spaces = Spaces::of(&sections)?;
    let mut helpers = Vec::new();
    let mut changed = false;
    for (id, content) in &mut sections {
        if *id == section::CODE
            && let Some(rewritten) = rewrite_code(content, &spaces, &mut helpers)?
        {
            *content = rewritten.into();
            changed = true;
        }
    }
    if !changed {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut types = Vec::new();
    let mut functions = Vec::new();
    let mut bodies = Vec::new();
    for (helper, number) in helpers.iter().zip(0..) {
        let (parameters, body) = spaces.helper(*helper);
        types.push(0x60);
        parameters.encode(&mut types);
        0u32.encode(&mut types);
        (spaces.types + number).encode(&mut functions);
        body.encode(&mut bodies);
    }
    for (id, content) in &mut sections {
        let more = match *id {
            section::TYPE => &types,
            section::FUNCTION => &functions,
            section::CODE => &bodies,
            _ => continue,
        };
        *content = append(content, helpers.len(), more)?.into();
    }
    Ok(Cow::Owned(join(bytes, &sections)))
}

/// A section that is a vector, with so many more items in these bytes.
fn append(content: &[u8], items: usize, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut reader = BinaryReader::new(content, 0);
    let count = reader.read_var_u32()? as usize;
    let mut longer = Vec::with_capacity(content.len() + bytes.len() + 5);
    (count + items).encode(&mut longer);
    longer.extend_from_slice(&content[reader.current_position()..]);
    longer.extend_from_slice(bytes);
    Ok(longer)
}

/// `None` if it stays as it is.
fn rewrite_code(code: &[u8], spaces: &Spaces, helpers: &mut Vec<Bulk>) -> Result<Option<Vec<u8>>> {
    let bodies = CodeSectionReader::new(BinaryReader::new(code, 0))?;
    let mut rewritten = Vec::with_capacity(code.len());
    let mut changed = false;
    bodies.count().encode(&mut rewritten);
    for body in bodies {
        let body = body?;
        match rewrite_body(code, &body, spaces, helpers)? {
            None => code[body.range()].encode(&mut rewritten),
            Some(body) => {
                body.encode(&mut rewritten);
                changed = true;
            }
        }
    }
    Ok(changed.then_some(rewritten))
}

/// `None` if it stays as it is.
fn rewrite_body(
    code: &[u8],
    body: &FunctionBody<'_>,
    spaces: &Spaces,
    helpers: &mut Vec<Bulk>,
) -> Result<Option<Vec<u8>>> {
    let range = body.range();
    let mut rewritten = Vec::new();
    let mut copied = range.start;
    // The length of the next instruction, if it is a constant.
    let mut constant = None;
    let mut straight = Straight::new(spaces.imported);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let (operator, at) = operators.read_with_offset()?;
        let end = operators.original_position();
        let bulk = Bulk::of(&operator);
        if let Some(bulk) = bulk.filter(|bulk| spaces.may_be_long(*bulk, constant)) {
            let known = helpers.iter().position(|known| *known == bulk);
            let helper = known.unwrap_or_else(|| {
                helpers.push(bulk);
                helpers.len() - 1
            });
            rewritten.extend_from_slice(&code[copied..at]);
            let function = spaces.functions as usize + helper;
            InstructionSink::new(&mut rewritten).call(u32::try_from(function).unwrap_or(u32::MAX));
            copied = end;
        }
        if straight.needs_a_look_after(&operator) {
            rewritten.extend_from_slice(&code[copied..end]);
            rewritten.extend_from_slice(&LOOK);
            copied = end;
        }
        constant = match operator {
            Operator::I32Const { value } => Some(u64::from(value.cast_unsigned())),
            Operator::I64Const { value } => Some(value.cast_unsigned()),
            _ => None,
        };
    }
    if copied == range.start {
        return Ok(None);
    }
    rewritten.extend_from_slice(&code[copied..range.end]);
    Ok(Some(rewritten))
}

impl Bulk {
    fn of(operator: &Operator<'_>) -> Option<Self> {
        Some(match *operator {
            Operator::MemoryFill { mem } => Self::Fill { memory: mem },
            Operator::MemoryCopy { dst_mem, src_mem } => Self::Copy {
                to: dst_mem,
                from: src_mem,
            },
            Operator::MemoryInit { data_index, mem } => Self::Init {
                memory: mem,
                data: data_index,
            },
            Operator::TableFill { table } => Self::TableFill { table },
            Operator::TableCopy {
                dst_table,
                src_table,
            } => Self::TableCopy {
                to: dst_table,
                from: src_table,
            },
            Operator::TableInit { elem_index, table } => Self::TableInit {
                table,
                elements: elem_index,
            },
            _ => return None,
        })
    }

    fn piece(self) -> u32 {
        match self {
            Self::Fill { .. } | Self::Copy { .. } | Self::Init { .. } => PIECE,
            Self::TableFill { .. } | Self::TableCopy { .. } | Self::TableInit { .. } => TABLE_PIECE,
        }
    }
}

impl Spaces {
    fn of(sections: &[Section<'_>]) -> Result<Self> {
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
    fn may_be_long(&self, bulk: Bulk, constant: Option<u64>) -> bool {
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

    fn helper(&self, bulk: Bulk) -> (Vec<ValType>, Function) {
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

#[cfg(test)]
mod tests;
