//! The memory that a component takes beside its linear memory, counted before anything is compiled.
//!
//! Instantiation is counted by arithmetic: a component that instantiates another twice, which
//! instantiates a third twice, and so on, doubles with each level, and would be expanded by the
//! runtime before anyone could look at the result.

mod cost;
mod module;

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, Instance, Parser, Payload,
};

use self::cost::{Cost, IMPORT, Totals, at_most};
use self::module::{Module, kept};
use super::super::error::Refusal;
use super::super::lines::sentence;

/// Components and modules within each other.
const MAX_DEPTH: usize = 32;
/// Nested components in all; a tool writes a dozen.
const MAX_COMPONENTS: u64 = 1_000;
/// Core modules in all; Python's components have some sixty.
const MAX_MODULES: u64 = 500;
/// Core instances, as many as an instance of a policy may have.
pub(in super::super) const MAX_CORE_INSTANCES: u64 = 256;
/// Instances of components within an instance of a policy.
const MAX_COMPONENT_INSTANCES: u64 = 1_000;

/// Bytes that the runtime keeps for any instance of a component.
const COMPONENT_INSTANCE: u64 = 1024;
/// A component that is being read.
#[derive(Default)]
struct Scope {
    cost: Cost,
    /// By index; those that are written out and those of an enclosing component.
    modules: Vec<Cost>,
    components: Vec<Cost>,
}

enum Part {
    Component(Scope),
    Module(Module),
}

/// Counts what an instance of this component takes.
///
/// # Errors
///
/// Unreadable bytes are refused as corrupt; a component beyond what tools write is refused with the
/// limit that it exceeds.
pub(in super::super) fn count(bytes: &[u8]) -> Result<Cost, Refusal> {
    let corrupt = |e: wasmparser::BinaryReaderError| Refusal::of_parser(sentence(e));
    let mut open: Vec<Part> = Vec::new();
    let mut totals = Totals::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(corrupt)? {
            Payload::Version { encoding, .. } => {
                let part = match encoding {
                    Encoding::Module => Part::Module(Module::default()),
                    Encoding::Component => Part::Component(Scope::default()),
                };
                open.push(part);
                at_most(
                    "levels of nested components",
                    MAX_DEPTH as u64,
                    open.len() as u64,
                )?;
            }
            Payload::ModuleSection { .. } => {
                totals.modules += 1;
                totals.keep(1, kept::MODULE)?;
                at_most("core modules", MAX_MODULES, totals.modules)?;
            }
            Payload::ComponentSection { .. } => {
                totals.components += 1;
                at_most("nested components", MAX_COMPONENTS, totals.components)?;
            }
            Payload::End(_) => match (open.pop(), open.last_mut()) {
                (Some(Part::Component(scope)), None) => return within(scope.cost),
                (Some(Part::Component(scope)), Some(Part::Component(outer))) => {
                    outer.components.push(scope.cost)
                }
                (Some(Part::Module(module)), Some(Part::Component(outer))) => {
                    outer.modules.push(module.whole())
                }
                _ => {
                    return Err(Refusal::Corrupt(
                        "it ends a part that never began".to_owned(),
                    ));
                }
            },
            payload => {
                let (within, outer) = match open.split_last_mut() {
                    Some(split) => split,
                    None => return Err(Refusal::Corrupt("its header is missing".to_owned())),
                };
                match within {
                    Part::Component(scope) => {
                        totals.keep(declared(&payload), kept::ITEM)?;
                        scope.read(payload, outer)?;
                    }
                    Part::Module(module) => module.read(payload, &mut totals)?,
                }
            }
        }
    }
    Err(Refusal::Corrupt("it is truncated".to_owned()))
}

/// How many things this section of a component declares.
fn declared(payload: &Payload<'_>) -> u64 {
    u64::from(match payload {
        Payload::InstanceSection(section) => section.count(),
        Payload::CoreTypeSection(section) => section.count(),
        Payload::ComponentInstanceSection(section) => section.count(),
        Payload::ComponentAliasSection(section) => section.count(),
        Payload::ComponentTypeSection(section) => section.count(),
        Payload::ComponentCanonicalSection(section) => section.count(),
        Payload::ComponentImportSection(section) => section.count(),
        Payload::ComponentExportSection(section) => section.count(),
        _ => 0,
    })
}

fn within(cost: Cost) -> Result<Cost, Refusal> {
    at_most("core instances", MAX_CORE_INSTANCES, cost.core_instances)?;
    at_most(
        "instances of components",
        MAX_COMPONENT_INSTANCES,
        cost.component_instances,
    )?;
    Ok(cost)
}

impl Scope {
    fn read(&mut self, payload: Payload<'_>, outer: &[Part]) -> Result<(), Refusal> {
        let corrupt = |e: wasmparser::BinaryReaderError| Refusal::of_parser(sentence(e));
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section {
                    let (module_index, count) = match instance.map_err(corrupt)? {
                        Instance::Instantiate { module_index, args } => {
                            (Some(module_index), args.len())
                        }
                        Instance::FromExports(exports) => (None, exports.len()),
                    };
                    let module = module_index
                        .map(|index| find(&self.modules, index, "module"))
                        .transpose()?;
                    self.cost.add(module.unwrap_or_default());
                    self.cost.take(count as u64, IMPORT);
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    self.instance(&instance.map_err(corrupt)?)?;
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.alias(&alias.map_err(corrupt)?, outer)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(corrupt)?;
                    if matches!(
                        import.ty,
                        ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)
                    ) {
                        return Err(passed_on());
                    }
                    self.cost.take(1, IMPORT);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                self.cost.take(u64::from(section.count()), IMPORT)
            }
            _ => {}
        }
        Ok(())
    }

    /// An instance of a component within this one.
    fn instance(&mut self, instance: &ComponentInstance<'_>) -> Result<(), Refusal> {
        let count = match instance {
            ComponentInstance::Instantiate {
                component_index,
                args,
            } => {
                self.cost
                    .add(find(&self.components, *component_index, "component")?);
                self.cost.add(Cost {
                    component_instances: 1,
                    beside_memory: COMPONENT_INSTANCE,
                    ..Cost::default()
                });
                args.len()
            }
            ComponentInstance::FromExports(exports) => exports.len(),
        };
        self.cost.take(count as u64, IMPORT);
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>, outer: &[Part]) -> Result<(), Refusal> {
        match alias {
            ComponentAlias::InstanceExport { kind, .. } => match kind {
                ComponentExternalKind::Module | ComponentExternalKind::Component => {
                    return Err(passed_on());
                }
                _ => {}
            },
            ComponentAlias::Outer { kind, count, index } => {
                let modules = match kind {
                    ComponentOuterAliasKind::CoreModule => true,
                    ComponentOuterAliasKind::Component => false,
                    _ => return Ok(()),
                };
                let found = match (*count as usize).checked_sub(1) {
                    None => find(
                        if modules {
                            &self.modules
                        } else {
                            &self.components
                        },
                        *index,
                        "alias",
                    )?,
                    Some(up) => match outer.iter().rev().nth(up) {
                        Some(Part::Component(scope)) => find(
                            if modules {
                                &scope.modules
                            } else {
                                &scope.components
                            },
                            *index,
                            "alias",
                        )?,
                        _ => {
                            return Err(Refusal::Corrupt(
                                "an alias leads out of the component".to_owned(),
                            ));
                        }
                    },
                };
                if modules {
                    self.modules.push(found)
                } else {
                    self.components.push(found)
                }
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
        }
        Ok(())
    }
}

fn find(known: &[Cost], index: u32, what: &str) -> Result<Cost, Refusal> {
    let found = known.get(index as usize).copied();
    found.ok_or_else(|| {
        Refusal::Corrupt(format!(
            "it refers to {what} {index}, which does not \
        exist"
        ))
    })
}

/// What such a component takes can't be counted, and no tool writes one.
fn passed_on() -> Refusal {
    Refusal::Unsupported(
        "it imports a module or a component, or passes one on; link it into one component first"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use wasm_encoder::Encode;

    use super::cost::*;
    use super::module::*;
    use super::*;
    use crate::policy::builtin;

    fn counted(text: &str) -> Result<Cost, Refusal> {
        count(&wat::parse_str(text).unwrap())
    }

    /// Each component instantiates the one before so often.
    fn doubling(levels: usize, width: usize) -> String {
        let mut text = String::from(
            "(component (component $c0 (core module $m) (core instance (instantiate $m)))",
        );
        for level in 1..=levels {
            let before = level - 1;
            let instances = format!("(instance (instantiate $i{before}))").repeat(width);
            text.push_str(&format!(
                "(component $c{level} (alias outer 1 $c{before} (component $i{before})) \
                 {instances})"
            ));
        }
        text + &format!("(instance (instantiate $c{levels})))")
    }

    #[test]
    fn instances_are_counted_through_all_levels_without_expanding_them() {
        for (levels, width, instances) in [(0, 1, 1), (3, 2, 8), (5, 3, 243), (1, 250, 250)] {
            assert_eq!(
                counted(&doubling(levels, width)).unwrap().core_instances,
                instances,
                "{levels} {width}"
            );
        }
        for (levels, width) in [(9, 2), (24, 2), (200, 2), (5, 4), (1, 257), (990, 9)] {
            let refused = counted(&doubling(levels, width)).unwrap_err();
            assert!(
                matches!(&refused, Refusal::TooMany { what, .. } if what.contains("instances")),
                "{refused}"
            );
        }
    }

    #[test]
    fn memory_beside_linear_memory_counts_for_each_instance() {
        let one = |module: &str| {
            let text =
                format!("(component (core module $m {module}) (core instance (instantiate $m)))");
            counted(&text).unwrap().beside_memory
        };
        let plain = one("");
        assert_eq!(
            one(&"(global i64 (i64.const 0))".repeat(1_000)) - plain,
            16_000
        );
        assert_eq!(
            one("(table 5000 funcref)") - plain,
            TABLE,
            "elements are counted where the table grows"
        );
        assert_eq!(
            one("(memory 100)") - plain,
            TABLE,
            "linear memory is counted where it grows"
        );
        let elements = one("(func $f) (table 0 funcref) (elem func $f $f $f)") - plain;
        assert_eq!(elements, TABLE + SEGMENT + 3 * ELEMENT + FUNCTION);
        let twice = "(component (core module $m (global i32 (i32.const 0)))
            (core instance (instantiate $m)) (core instance (instantiate $m)))";
        assert_eq!(counted(twice).unwrap().beside_memory, 2 * (plain + GLOBAL));
        assert_eq!(
            counted("(component (core module $m (global i32 (i32.const 0))))").unwrap(),
            Cost::default()
        );
    }

    #[test]
    fn a_component_beyond_any_tool_is_refused_by_its_limit() {
        let deep = |depth: usize| "(component".repeat(depth) + &")".repeat(depth);
        assert!(counted(&deep(MAX_DEPTH)).is_ok());
        for (text, limit) in [
            (deep(MAX_DEPTH + 1), "levels of nested components"),
            (
                format!("(component {})", "(component)".repeat(1_001)),
                "nested components",
            ),
            (
                format!("(component {})", "(core module)".repeat(501)),
                "core modules",
            ),
            (
                format!("(component (core module {}))", "(func)".repeat(200_001)),
                "functions",
            ),
            (
                format!(
                    "(component (core module (func (export \"{}\"))))",
                    "a".repeat(20_000)
                ),
                "function's name",
            ),
            (
                format!(
                    "(component (core module (func (@name \"{}\"))))",
                    "a".repeat(20_000)
                ),
                "function's name",
            ),
            (
                "(component (import \"m\" (core module)))".to_owned(),
                "link it into one component",
            ),
            (
                "(component (import \"c\" (component)))".to_owned(),
                "link it into one component",
            ),
        ] {
            let refused = counted(&text).unwrap_err().to_string();
            assert!(refused.contains(limit), "{limit}: {refused}");
        }
    }

    /// A component with one core module, which nothing instantiates, or with one custom section.
    fn with_section(within_module: bool, id: u8, items: usize, item: &[u8]) -> Vec<u8> {
        let section = |out: &mut Vec<u8>, id: u8, content: &[u8]| {
            out.push(id);
            content.encode(out);
        };
        let mut content = Vec::new();
        items.encode(&mut content);
        content.extend(item.repeat(items));
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        if within_module {
            let mut module = b"\0asm\x01\0\0\0".to_vec();
            section(&mut module, id, &content);
            section(&mut component, 1, &module);
        } else {
            section(&mut component, id, &content);
        }
        component
    }

    #[test]
    fn the_memory_that_the_proxy_keeps_is_bounded_with_and_without_instances() {
        for (what, within_module, id, item) in [
            ("types", true, 1, &b"\x60\0\0"[..]),
            ("imports", true, 2, b"\0\0\x03\x7f\0"),
            ("memories", true, 5, b"\0\0"),
            ("tables", true, 4, b"\x70\0\0"),
            ("globals", true, 6, b"\x7f\0\x41\0\x0b"),
            ("exports", true, 7, b"\x01a\x03\0"),
            ("segments of elements", true, 9, b"\x01\0\0"),
            ("segments of data", true, 11, b"\x01\0"),
            ("types of a component", false, 7, b"\x73"),
            ("instances", false, 5, b"\x01\0"),
            ("aliases", false, 6, b"\x01\0\0\x01a"),
            ("functions that are lowered", false, 8, b"\x01\0\0\0"),
            ("exports of a component", false, 11, b"\0\x01a\x01\0\0"),
        ] {
            assert!(
                count(&with_section(within_module, id, 50, item)).is_ok(),
                "{what}"
            );
            let refused = count(&with_section(within_module, id, 300_000, item)).unwrap_err();
            assert!(
                matches!(&refused, Refusal::TooMany { what, .. } if what.contains("keep")),
                "{what}: {refused}"
            );
        }
        let segment = [&b"\x01\0"[..], &[0xa0, 0x9c, 1], &[0; 20_000]].concat();
        assert!(
            count(&with_section(true, 9, 200, &segment)).is_err(),
            "elements"
        );
    }

    #[test]
    fn the_built_in_policies_take_little() {
        for name in crate::policy::builtin_names() {
            let cost = count(builtin(name).unwrap()).unwrap();
            assert!(
                (1..=8).contains(&cost.core_instances) && cost.beside_memory < 64 << 10,
                "{name}: {cost:?}"
            );
        }
    }

    #[test]
    fn a_component_that_ends_early_is_counted_as_far_as_it_goes_or_corrupt() {
        let whole = builtin("random").unwrap();
        for cut in (0..whole.len()).step_by(131) {
            assert!(
                matches!(count(&whole[..cut]), Ok(_) | Err(Refusal::Corrupt(_))),
                "{cut}"
            );
        }
    }
}
