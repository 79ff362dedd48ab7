//! Bulk instructions in pieces and looks at the deadline: for components and modules that
//! wasm-smith makes, and for bytes that begin as WebAssembly does.
//!
//! What is valid must stay valid, and nothing may become of it but calls in place of bulk
//! instructions, each of the same function for the same instruction, and looks at the deadline.
//! What needs none of that must stay as it is, byte by byte.
//!
//! A panic and a hang are findings too, whatever the bytes.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::arbitrary::{Error, Unstructured};
use libfuzzer_sys::fuzz_target;
use wasm_smith::{Component, Config, Module};
use wasmparser::{
    BlockType, Encoding, FunctionBody, Operator, Parser, Payload, Validator, WasmFeatures,
};
use waypost::policy::in_pieces;

/// What both a component and a module begin with.
const MAGIC: &[u8] = b"\0asm";
/// What a component begins with, and then its first section, which holds a core module.
const AROUND: &[u8] = b"\0asm\x0d\0\x01\0\x01";
/// What a module begins with.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The longest that an instruction may be which is left: bytes of a memory, elements of a table.
const PIECE: u64 = 64 * 1024;
const TABLE_PIECE: u64 = 1024;

fuzz_target!(|bytes: &[u8]| {
    let component = if bytes.starts_with(MODULE) {
        around(bytes)
    } else if bytes.starts_with(MAGIC) {
        bytes.to_vec()
    } else {
        let Ok(component) = smithed(&mut Unstructured::new(bytes)) else {
            return;
        };
        component
    };
    let rewritten = in_pieces(&component);
    // A shared function may not call one that is not; no policy has any.
    let features = WasmFeatures::all().difference(WasmFeatures::SHARED_EVERYTHING_THREADS);
    let valid = |bytes: &[u8]| {
        Validator::new_with_features(features)
            .validate_all(bytes)
            .map(|_| ())
    };
    if valid(&component).is_err() {
        return;
    }
    let rewritten = match rewritten {
        Ok(rewritten) => rewritten,
        // Deeper than any policy may be.
        Err(unreadable) => {
            return assert!(unreadable.0.contains("nested more than"), "{unreadable:?}");
        }
    };
    valid(&rewritten).expect("what was valid still is");
    if let Cow::Borrowed(same) = rewritten {
        assert_eq!(same, component);
    }
    let mut places = 0;
    let (before, after) = (modules(&component), modules(&rewritten));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        places += compare(before, after);
    }
    assert_eq!(
        places > 0,
        matches!(rewritten, Cow::Owned(_)),
        "{places} places"
    );
});

/// With everything on that wasm-smith knows, and something that bulk instructions can be about.
fn smithed(u: &mut Unstructured<'_>) -> Result<Vec<u8>, Error> {
    let whole = u.arbitrary()?;
    let mut config: Config = u.arbitrary()?;
    config.reference_types_enabled = true;
    config.bulk_memory_enabled = true;
    config.custom_page_sizes_enabled = u.arbitrary()?;
    if whole {
        return Ok(Component::new(config, u)?.to_bytes());
    }
    config.min_memories = 1;
    config.max_memories = config.max_memories.max(1);
    config.min_tables = 1;
    config.max_tables = config.max_tables.max(1);
    config.min_funcs = 1;
    config.max_funcs = config.max_funcs.max(1);
    Ok(around(&Module::new(config, u)?.to_bytes()))
}

/// A component that holds this module.
fn around(module: &[u8]) -> Vec<u8> {
    let mut component = AROUND.to_vec();
    let mut size = module.len();
    while size >= 0x80 {
        component.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    component.push(size as u8);
    component.extend_from_slice(module);
    component
}

/// The functions of each module.
fn modules(component: &[u8]) -> Vec<Vec<FunctionBody<'_>>> {
    let mut modules = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("it is valid") {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => modules.push(Vec::new()),
            Payload::CodeSectionEntry(body) => {
                modules.last_mut().expect("a module around it").push(body)
            }
            _ => {}
        }
    }
    modules
}

/// How many places differ: instructions that have become calls, and looks. Nothing else may differ.
fn compare(before: &[FunctionBody<'_>], after: &[FunctionBody<'_>]) -> usize {
    assert!(before.len() <= after.len());
    let mut helpers: Vec<(Operator<'_>, u32)> = Vec::new();
    let mut places = 0;
    for (before, after) in before.iter().zip(after) {
        let [was, is] = [before, after].map(|body| {
            let operators = body
                .get_operators_reader()
                .expect("it is valid")
                .into_iter();
            operators
                .collect::<Result<Vec<_>, _>>()
                .expect("it is valid")
        });
        let mut rest = &is[..];
        for (at, was_here) in was.iter().enumerate() {
            if is_look(rest) && !is_look(&was[at..]) {
                rest = &rest[2..];
                places += 1;
            }
            let (is_here, behind) = rest.split_first().expect("as many as there were");
            rest = behind;
            if was_here == is_here {
                let longest = match was_here {
                    Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } => PIECE,
                    Operator::TableCopy { .. } => TABLE_PIECE,
                    _ => continue,
                };
                let length = match was[at - 1] {
                    Operator::I32Const { value } => u64::from(value.cast_unsigned()),
                    Operator::I64Const { value } => value.cast_unsigned(),
                    _ => u64::MAX,
                };
                assert!(length <= longest, "{was_here:?} is left");
                continue;
            }
            let Operator::Call { function_index } = *is_here else {
                panic!("{was_here:?} became {is_here:?}")
            };
            assert!(is_bulk(was_here), "{was_here:?} became {is_here:?}");
            match helpers
                .iter()
                .find(|(bulk, helper)| bulk == was_here || *helper == function_index)
            {
                Some(known) => assert_eq!(*known, (was_here.clone(), function_index)),
                None => helpers.push((was_here.clone(), function_index)),
            }
            places += 1;
        }
        assert!(rest.is_empty(), "there is more in it than there was");
    }
    // A function for each, and no other.
    assert_eq!(helpers.len(), after.len() - before.len());
    places
}

/// An empty loop, at whose head the engine looks at the deadline.
fn is_look(operators: &[Operator<'_>]) -> bool {
    matches!(
        operators,
        [
            Operator::Loop {
                blockty: BlockType::Empty
            },
            Operator::End,
            ..
        ]
    )
}

fn is_bulk(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
    )
}
