//! Bulk instructions in pieces, so that a deadline can end them.
//!
//! The engine looks at the epoch before `memory.fill`, `memory.copy`, `memory.init`, `table.fill`,
//! `table.copy` and `table.init`, and not while one of them runs: filling 1 GiB takes seconds. So a
//! component is rewritten before it is compiled. Where one of these instructions has a length that
//! is not known to be small, a call takes its place. The function that is called does a small
//! length at once and a larger one in pieces, in a loop, at whose start the engine looks at the
//! epoch again.
//!
//! Such a function does the same as the instruction, even where regions overlap, and traps before
//! it has written anything. It comes after all other functions of its module, and its type after
//! all other types, so that no index changes.
//!
//! Code without a loop gets places where the engine looks, too, see [`straight`]. Everything else
//! is copied as it was.

mod instruction;
mod pieces;
mod sections;
mod spaces;
mod straight;

use std::borrow::Cow;

use wasm_encoder::{Encode, InstructionSink};
use wasmparser::{BinaryReader, CodeSectionReader, FunctionBody, Operator};

use self::instruction::Bulk;
pub(super) use self::sections::Unreadable;
use self::sections::{Result, join, section, sections};
use self::spaces::Spaces;
use self::straight::{LOOK, Straight};

/// Components within components.
const MAX_DEPTH: u32 = 100;
/// Grows when the rewriting changes: components that were compiled before must then be compiled
/// again.
pub(super) const EDITION: u32 = 3;

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

/// A section that is a vector, with `items` more items from these bytes.
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

#[cfg(test)]
mod tests;
