//! Where a function needs a look at its deadline that it does not have: the engine looks where a
//! function begins, at the head of each loop and before bulk instructions, and nowhere else.
//!
//! So code without loops runs to its end, however long it is, and all that it calls of the host
//! with it: 20,000 calls in a row that each copy a megabyte take seconds. An empty loop is the
//! shortest code at which the engine looks.

use wasmparser::Operator;

/// `loop end`, which takes nothing from the stack and leaves nothing there.
pub(super) const LOOK: [u8; 3] = [0x03, 0x40, 0x0b];

/// About this many nanoseconds may pass without a check.
const MOST: u32 = 20_000;
/// The price of an instruction that touches memory, where a page may be fresh, or that computes ...
const USUAL: u32 = 20;
/// ... and one that takes as long as a division, calls the engine, or calls a function that returns
/// long after its own look.
const SLOW: u32 = 50;

/// One function, as far as it was read: the cost of the longest path to here since its last check.
#[derive(Debug)]
pub(super) struct Straight {
    /// `None` where no way leads.
    cost: Option<u32>,
    /// Blocks around this place; the function itself is the first.
    blocks: Vec<Block>,
    /// Functions below this index are not the module's own.
    imported: u32,
}

#[derive(Debug, Default)]
struct Block {
    is_loop: bool,
    /// The cost at an `if` whose `else` has not come yet.
    before: Option<u32>,
    /// Of the longest way that leads behind its end so far.
    behind: Option<u32>,
}

impl Straight {
    /// Where a function begins, the engine has just looked.
    pub(in crate::policy) fn new(imported: u32) -> Self {
        Self {
            cost: Some(0),
            blocks: vec![Block::default()],
            imported,
        }
    }

    /// Reads the next instruction. Whether a look has to follow it.
    pub(in crate::policy) fn needs_a_look_after(&mut self, operator: &Operator<'_>) -> bool {
        match operator {
            Operator::Block { .. } => self.blocks.push(Block::default()),
            Operator::Loop { .. } => {
                self.cost = self.cost.map(|_| 0);
                self.blocks.push(Block {
                    is_loop: true,
                    ..Block::default()
                });
            }
            Operator::If { .. } => self.blocks.push(Block {
                before: self.cost,
                ..Block::default()
            }),
            Operator::Else => {
                if let Some(block) = self.blocks.last_mut() {
                    block.behind = block.behind.max(self.cost);
                    self.cost = block.before.take();
                }
            }
            Operator::End => {
                // An `if` without `else` is passed over.
                let block = self.blocks.pop().unwrap_or_default();
                self.cost = self.cost.max(block.behind).max(block.before);
                // Behind the function's own end nothing may stand.
                if self.blocks.is_empty() {
                    return false;
                }
            }
            Operator::Br { relative_depth } => {
                self.leads_behind(*relative_depth);
                self.cost = None;
            }
            Operator::BrIf { relative_depth } => self.leads_behind(*relative_depth),
            Operator::BrTable { targets } => {
                targets
                    .targets()
                    .flatten()
                    .chain([targets.default()])
                    .for_each(|depth| self.leads_behind(depth));
                self.cost = None;
            }
            Operator::Return | Operator::Unreachable => self.cost = None,
            _ => {}
        }
        let Some(cost) = &mut self.cost else {
            return false;
        };
        *cost = cost.saturating_add(price(operator));
        let look = *cost >= MOST || may_leave_the_guest(operator, self.imported);
        if look {
            *cost = 0;
        }
        look
    }

    /// A way leads behind the end of that block; to a loop it leads to its head, where the engine
    /// looks.
    fn leads_behind(&mut self, depth: u32) {
        let cost = self.cost;
        let at = self.blocks.len().checked_sub(1 + depth as usize);
        if let Some(block) = at
            .and_then(|at| self.blocks.get_mut(at))
            .filter(|block| !block.is_loop)
        {
            block.behind = block.behind.max(cost);
        }
    }
}

/// Nanoseconds, about, at most.
fn price(operator: &Operator<'_>) -> u32 {
    use Operator as O;
    match operator {
        O::Nop
        | O::Block { .. }
        | O::Loop { .. }
        | O::If { .. }
        | O::Else
        | O::End
        | O::Br { .. }
        | O::BrIf { .. }
        | O::BrTable { .. }
        | O::Drop
        | O::Select
        | O::LocalGet { .. }
        | O::LocalSet { .. }
        | O::LocalTee { .. }
        | O::GlobalGet { .. }
        | O::I32Const { .. }
        | O::I64Const { .. }
        | O::F32Const { .. }
        | O::F64Const { .. } => 1,
        O::I32DivS
        | O::I32DivU
        | O::I32RemS
        | O::I32RemU
        | O::I64DivS
        | O::I64DivU
        | O::I64RemS
        | O::I64RemU
        | O::F32Div
        | O::F64Div
        | O::F32Sqrt
        | O::F64Sqrt
        | O::F32x4Div
        | O::F64x2Div
        | O::F32x4Sqrt
        | O::F64x2Sqrt
        | O::RefFunc { .. }
        | O::TableGet { .. }
        | O::TableSet { .. }
        | O::Call { .. } => SLOW,
        _ => USUAL,
    }
}

/// Whether it may run a function of the host, which may take long. A function of another module
/// checks when it begins, and a table may contain functions of the host.
fn may_leave_the_guest(operator: &Operator<'_>, imported: u32) -> bool {
    match operator {
        Operator::Call { function_index } => *function_index < imported,
        Operator::CallIndirect { .. }
        | Operator::MemoryGrow { .. }
        | Operator::TableGrow { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::{FunctionBody, Parser, Payload};

    use super::*;

    /// After which instructions of the last function a look is put, by their number.
    fn looks(fields: &str, body: &str) -> Vec<usize> {
        let module =
            wat::parse_str(format!("(module {fields} (func $last (param i32) {body}))")).unwrap();
        wasmparser::validate(&module).unwrap();
        let mut last: Option<FunctionBody<'_>> = None;
        let mut imported = 0;
        for payload in Parser::new(0).parse_all(&module) {
            match payload.unwrap() {
                Payload::CodeSectionEntry(body) => last = Some(body),
                Payload::ImportSection(section) => imported = section.into_imports().count() as u32,
                _ => {}
            }
        }
        let mut straight = Straight::new(imported);
        let operators = last
            .unwrap()
            .get_operators_reader()
            .unwrap()
            .into_iter()
            .map(Result::unwrap);
        operators
            .enumerate()
            .filter(|(_, o)| straight.needs_a_look_after(o))
            .map(|(at, _)| at)
            .collect()
    }

    /// So many instructions at the price of one usual one each.
    fn work(count: usize) -> String {
        "(i32.clz) ".repeat(count)
    }

    const A_LOOK: usize = (MOST / USUAL) as usize;

    #[test]
    fn what_calls_the_host_or_the_engine_is_followed_by_a_look() {
        let fields = r#"(import "h" "f" (func $host)) (func $own) (memory 1) (table $t 1 funcref) (type $none (func))"#;
        assert_eq!(
            looks(fields, "call $own call $host call $own call $host"),
            [1, 3]
        );
        assert_eq!(
            looks(fields, "(call_indirect $t (type $none) (i32.const 0))"),
            [1]
        );
        assert_eq!(looks(fields, "(drop (memory.grow (i32.const 0)))"), [1]);
        assert_eq!(
            looks(
                fields,
                "(drop (table.grow $t (ref.null func) (i32.const 0)))"
            ),
            [2]
        );
        // Where no way leads there is nothing to look for.
        assert_eq!(looks(fields, "unreachable call $host"), [0; 0]);
        assert_eq!(looks(fields, "(block (br 0) call $host) call $host"), [4]);
    }

    #[test]
    fn straight_code_has_a_look_every_so_often_and_short_code_has_none() {
        let straight = |count| looks("", &format!("(local.get 0) {} drop", work(count)));
        assert_eq!(straight(A_LOOK - 1), [0; 0]);
        assert_eq!(straight(A_LOOK * 3).len(), 3);
        let own = "(func $own)";
        assert_eq!(
            looks(own, &"call $own ".repeat(2 * (MOST / SLOW) as usize)).len(),
            2
        );
        assert_eq!(looks("", &"nop ".repeat(MOST as usize)).len(), 1);
        // Behind a function's end nothing may stand.
        assert_eq!(looks("", &"nop ".repeat(MOST as usize - 1)), [0; 0]);
        // A loop looks by itself, at each turn.
        let in_a_loop = format!(
            "(loop (local.get 0) {} drop) (local.get 0) {} drop",
            work(600),
            work(300)
        );
        assert_eq!(looks("", &in_a_loop), [0; 0]);
    }

    /// One cannot put the look into an arm that is never taken, and work into the ways around it.
    #[test]
    fn the_longest_of_all_ways_counts() {
        let half = work(A_LOOK * 6 / 10);
        let some = |code: &str| looks(r#"(import "h" "f" (func $host))"#, code).len();
        let piece = format!("(local.get 0) {half} drop");
        let much = format!("(local.get 0) {} drop", work(A_LOOK));
        // Both arms are short of one, and what comes behind them is not.
        assert_eq!(
            some(&format!("(if (local.get 0) (then {piece}) (else {piece}))")),
            0
        );
        assert_eq!(
            some(&format!("(if (local.get 0) (then {piece})) {piece}")),
            1
        );
        assert_eq!(
            some(&format!(
                "(if (local.get 0) (then nop) (else {piece})) {piece}"
            )),
            1
        );
        // The look of one arm is none of the other's.
        assert_eq!(
            some(&format!(
                "{piece} (if (local.get 0) (then {piece})) {piece}"
            )),
            2
        );
        assert_eq!(
            some(&format!(
                "{piece} (if (local.get 0) (then {much}) (else nop)) {piece}"
            )),
            2
        );
        // Ways that leave a block, one by one, and all at once.
        assert_eq!(
            some(&format!(
                "(block {piece} (br_if 0 (local.get 0)) call $host) {piece}"
            )),
            2
        );
        assert_eq!(some(&format!("(block {piece} (br 0)) {piece}")), 1);
        assert_eq!(
            some(&format!(
                "(block (block {piece} (br_table 0 1 (local.get 0))) call $host) {piece}"
            )),
            2
        );
        assert_eq!(some(&format!("(block {much} (return)) {piece}")), 1);
        // To the head of a loop no way is long.
        assert_eq!(
            some(&format!("{piece} (loop (br_if 0 (local.get 0)) {piece})")),
            0
        );
    }
}
