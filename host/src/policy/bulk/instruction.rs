//! The bulk instructions.

use wasmparser::Operator;

/// Bytes of memory in one piece: some 10 µs, also if each page is touched for the first time.
pub(super) const PIECE: u32 = 64 * 1024;
/// Elements of a table in one piece: some 10 µs, also if each is made at its first use.
pub(super) const TABLE_PIECE: u32 = 1024;

/// A bulk instruction that may be long, with the indices that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bulk {
    Fill { memory: u32 },
    Copy { to: u32, from: u32 },
    Init { memory: u32, data: u32 },
    TableFill { table: u32 },
    TableCopy { to: u32, from: u32 },
    TableInit { table: u32, elements: u32 },
}

impl Bulk {
    pub(in crate::policy) fn of(operator: &Operator<'_>) -> Option<Self> {
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

    pub(in crate::policy) fn piece(self) -> u32 {
        match self {
            Self::Fill { .. } | Self::Copy { .. } | Self::Init { .. } => PIECE,
            Self::TableFill { .. } | Self::TableCopy { .. } | Self::TableInit { .. } => TABLE_PIECE,
        }
    }
}
