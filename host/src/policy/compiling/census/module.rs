//! The memory that a core module takes, for each instance and in the proxy.

use wasmparser::{ElementItems, ExternalKind, KnownCustom, Name, Payload, TypeRef};

use super::super::super::error::Refusal;
use super::super::super::lines::sentence;
use super::cost::{Cost, IMPORT, Totals, at_most};

/// Functions of all core modules; Python has 40,000.
pub(super) const MAX_FUNCTIONS: u64 = 200_000;
/// The longest name of a function, in bytes: a trap copies those of the frames that it found.
pub(super) const MAX_NAME: usize = 16 * 1024;
/// Bytes that the runtime keeps for any core instance.
pub(super) const CORE_INSTANCE: u64 = 1024;
/// For each global.
pub(super) const GLOBAL: u64 = 16;
/// For each function that something can point at.
pub(super) const FUNCTION: u64 = 32;
/// For each table and each memory, without what they hold.
pub(super) const TABLE: u64 = 256;
/// For each element of a segment.
pub(super) const ELEMENT: u64 = 8;
/// For each segment of data or elements, which can be dropped one by one.
pub(super) const SEGMENT: u64 = 16;

/// Bytes that the runtime keeps of each of these beside the code, as measured.
pub(super) mod kept {
    pub(in crate::policy) const MODULE: u64 = 2048;
    pub(in crate::policy) const TYPE: u64 = 1100;
    /// Beside its two names.
    pub(in crate::policy) const IMPORT: u64 = 200;
    /// Beside its name.
    pub(in crate::policy) const EXPORT: u64 = 200;
    pub(in crate::policy) const FUNCTION: u64 = 64;
    pub(in crate::policy) const GLOBAL: u64 = 80;
    pub(in crate::policy) const TABLE: u64 = 256;
    pub(in crate::policy) const SEGMENT: u64 = 64;
    pub(in crate::policy) const ELEMENT: u64 = 8;
    /// Anything that a component declares: a type, an instance, an alias, a function that it lifts
    /// or lowers.
    pub(in crate::policy) const ITEM: u64 = 256;
}

/// A core module that is being read.
#[derive(Default)]
pub(super) struct Module {
    pub cost: Cost,
    functions: u64,
    /// How many of them something may point at.
    pointed_at: u64,
}

impl Module {
    /// What an instance of it takes.
    pub(in crate::policy) fn whole(&self) -> Cost {
        let mut cost = self.cost;
        cost.core_instances = 1;
        cost.take(1, CORE_INSTANCE);
        cost.take(self.functions.min(self.pointed_at), FUNCTION);
        cost
    }

    pub(in crate::policy) fn read(
        &mut self,
        payload: Payload<'_>,
        totals: &mut Totals,
    ) -> Result<(), Refusal> {
        let corrupt = |e: wasmparser::BinaryReaderError| Refusal::of_parser(sentence(e));
        match payload {
            Payload::TypeSection(section) => totals.keep(section.count().into(), kept::TYPE)?,
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(corrupt)?;
                    self.functions += u64::from(matches!(import.ty, TypeRef::Func(_)));
                    self.cost.take(1, IMPORT);
                    let names = import.module.len() + import.name.len();
                    totals.keep(1, kept::IMPORT + names as u64)?;
                }
            }
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                totals.functions += u64::from(section.count());
                at_most("functions", MAX_FUNCTIONS, totals.functions)?;
                totals.keep(section.count().into(), kept::FUNCTION)?;
            }
            Payload::GlobalSection(section) => {
                self.pointed_at += u64::from(section.count());
                self.cost.take(u64::from(section.count()), GLOBAL);
                totals.keep(section.count().into(), kept::GLOBAL)?;
            }
            Payload::TableSection(section) => self.tables(section.count(), totals)?,
            Payload::MemorySection(section) => self.tables(section.count(), totals)?,
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(corrupt)?;
                    self.pointed_at += u64::from(export.kind == ExternalKind::Func);
                    named(export.name.len())?;
                    totals.keep(1, kept::EXPORT + export.name.len() as u64)?;
                }
            }
            Payload::ElementSection(section) => {
                for segment in section {
                    self.elements(&segment.map_err(corrupt)?.items, totals)?;
                }
            }
            Payload::DataSection(section) => {
                self.cost.take(u64::from(section.count()), SEGMENT);
                totals.keep(section.count().into(), kept::SEGMENT)?;
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    functions_named(names)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Tables or memories, without what they hold.
    fn tables(&mut self, count: u32, totals: &mut Totals) -> Result<(), Refusal> {
        self.cost.take(u64::from(count), TABLE);
        totals.keep(count.into(), kept::TABLE)
    }

    fn elements(&mut self, items: &ElementItems<'_>, totals: &mut Totals) -> Result<(), Refusal> {
        let items = match items {
            ElementItems::Functions(items) => items.count(),
            ElementItems::Expressions(_, items) => items.count(),
        };
        self.pointed_at += u64::from(items);
        self.cost.take(1, SEGMENT);
        // The content of a segment is built once for an instance that uses it later.
        self.cost.take(u64::from(items), ELEMENT);
        totals.keep(1, kept::SEGMENT)?;
        totals.keep(items.into(), kept::ELEMENT)
    }
}

/// A name section that can't be read is of no use to the runtime either.
fn functions_named(names: wasmparser::NameSectionReader<'_>) -> Result<(), Refusal> {
    for part in names {
        let Ok(Name::Function(names)) = part else {
            continue;
        };
        for naming in names {
            let Ok(naming) = naming else { break };
            named(naming.name.len())?;
        }
    }
    Ok(())
}

fn named(length: usize) -> Result<(), Refusal> {
    at_most("bytes in a function's name", MAX_NAME as u64, length as u64)
}
