//! The functions that take the place of bulk instructions.

use wasm_encoder::{Function, InstructionSink, ValType};

use super::instruction::Bulk;

/// The parameters of every function that takes a bulk instruction's place.
const TO: u32 = 0;
/// A value to fill with, or where to copy from.
const FROM: u32 = 1;
const LENGTH: u32 = 2;
/// A local of [`transfer`]: the length of the piece that comes.
const STEP: u32 = 3;

/// Instructions on words of one width.
struct Words<'a, 'b>(&'a mut InstructionSink<'b>, ValType);

impl Words<'_, '_> {
    fn constant(&mut self, value: u32) {
        match self.1 {
            ValType::I64 => self.0.i64_const(i64::from(value)),
            _ => self.0.i32_const(value.cast_signed()),
        };
    }

    fn add(&mut self) {
        if self.1 == ValType::I64 {
            self.0.i64_add()
        } else {
            self.0.i32_add()
        };
    }

    fn sub(&mut self) {
        if self.1 == ValType::I64 {
            self.0.i64_sub()
        } else {
            self.0.i32_sub()
        };
    }

    fn lt(&mut self) {
        if self.1 == ValType::I64 {
            self.0.i64_lt_u()
        } else {
            self.0.i32_lt_u()
        };
    }

    /// `a <= b`, or whether a length is at most a piece.
    fn le(&mut self) {
        if self.1 == ValType::I64 {
            self.0.i64_le_u()
        } else {
            self.0.i32_le_u()
        };
    }

    fn gt(&mut self) {
        if self.1 == ValType::I64 {
            self.0.i64_gt_u()
        } else {
            self.0.i32_gt_u()
        };
    }

    /// A length of this width, wherever the word on the stack is wider.
    fn widen(&mut self, from: ValType) {
        if (self.1, from) == (ValType::I64, ValType::I32) {
            self.0.i64_extend_i32_u();
        }
    }

    /// The end of a region: a local plus the length's local.
    fn end_of(&mut self, start: u32, length: ValType) {
        self.0.local_get(start).local_get(LENGTH);
        self.widen(length);
        self.add();
    }

    /// The last place of a region that is not empty.
    fn last_of(&mut self, start: u32, length: ValType) {
        self.end_of(start, length);
        self.constant(1);
        self.sub();
    }
}

/// `memory.fill` or `table.fill` in pieces. The last piece comes first: if it is within bounds, all
/// of it is.
pub(super) fn fill(bulk: Bulk, w: ValType) -> Function {
    use wasm_encoder::BlockType::Empty;
    let piece = bulk.piece();
    let mut function = Function::new([]);
    let mut code = function.instructions();
    let whole = |code: &mut InstructionSink<'_>| {
        code.local_get(TO).local_get(FROM).local_get(LENGTH);
        write(bulk, code);
        code.return_();
    };
    code.local_get(LENGTH);
    Words(&mut code, w).constant(piece);
    Words(&mut code, w).le();
    code.if_(Empty);
    whole(&mut code);
    code.end();
    // A region that goes beyond the last address traps.
    Words(&mut code, w).last_of(TO, w);
    code.local_get(TO);
    Words(&mut code, w).lt();
    code.if_(Empty);
    whole(&mut code);
    code.end();
    Words(&mut code, w).end_of(TO, w);
    Words(&mut code, w).constant(piece);
    Words(&mut code, w).sub();
    code.local_get(FROM);
    Words(&mut code, w).constant(piece);
    write(bulk, &mut code);
    // The piece before the last may cover some of the last again.
    code.loop_(Empty);
    code.local_get(TO).local_get(FROM);
    Words(&mut code, w).constant(piece);
    write(bulk, &mut code);
    code.local_get(TO);
    Words(&mut code, w).constant(piece);
    Words(&mut code, w).add();
    code.local_set(TO).local_get(LENGTH);
    Words(&mut code, w).constant(piece);
    Words(&mut code, w).sub();
    code.local_tee(LENGTH);
    Words(&mut code, w).constant(piece);
    Words(&mut code, w).gt();
    code.br_if(0).end().end();
    function
}

/// Any of the others in pieces: from the last to the first, whose bounds are then those of all of
/// it, but from the first to the last where a region is copied to a lower place of the same memory
/// or table.
pub(super) fn transfer(bulk: Bulk, to: ValType, from: ValType) -> (Vec<ValType>, Function) {
    use wasm_encoder::BlockType::Empty;
    let length = if (to, from) == (ValType::I64, ValType::I64) {
        ValType::I64
    } else {
        ValType::I32
    };
    let mut function = Function::new([(1, length)]);
    let mut code = function.instructions();
    let whole = |code: &mut InstructionSink<'_>| {
        code.local_get(TO).local_get(FROM).local_get(LENGTH);
        write(bulk, code);
        code.return_();
    };
    code.local_get(LENGTH);
    Words(&mut code, length).constant(bulk.piece());
    Words(&mut code, length).le();
    code.if_(Empty);
    whole(&mut code);
    code.end();
    // A region that goes beyond the last address traps.
    for (start, w) in [(TO, to), (FROM, from)] {
        Words(&mut code, w).last_of(start, length);
        code.local_get(start);
        Words(&mut code, w).lt();
        code.if_(Empty);
        whole(&mut code);
        code.end();
    }
    if let Bulk::Copy {
        to: same,
        from: other,
    }
    | Bulk::TableCopy {
        to: same,
        from: other,
    } = bulk
        && same == other
    {
        code.local_get(TO).local_get(FROM);
        Words(&mut code, to).lt();
        code.if_(Empty);
        from_the_first(&mut code, bulk, to, length);
        code.return_().end();
    }
    code.loop_(Empty);
    step(&mut code, bulk, length);
    Words(&mut code, to).end_of(TO, length);
    Words(&mut code, from).end_of(FROM, length);
    code.local_get(STEP);
    write(bulk, &mut code);
    again(&mut code, length);
    code.end();
    (vec![to, from, length], function)
}

/// Copies within one memory or table to a lower place, whose indices are all of type `w`.
fn from_the_first(code: &mut InstructionSink<'_>, bulk: Bulk, w: ValType, length: ValType) {
    use wasm_encoder::BlockType::Empty;
    // The end of what is read is the end of all: copied to itself, it traps before anything is
    // written.
    for _ in 0..2 {
        Words(code, w).last_of(FROM, length);
    }
    Words(code, length).constant(1);
    write(bulk, code);
    code.loop_(Empty);
    step(code, bulk, length);
    code.local_get(TO).local_get(FROM).local_get(STEP);
    write(bulk, code);
    for start in [TO, FROM] {
        code.local_get(start).local_get(STEP);
        Words(code, w).widen(length);
        Words(code, w).add();
        code.local_set(start);
    }
    again(code, length);
}

/// Takes a piece off the length.
fn step(code: &mut InstructionSink<'_>, bulk: Bulk, length: ValType) {
    code.local_get(LENGTH);
    Words(code, length).constant(bulk.piece());
    code.local_get(LENGTH);
    Words(code, length).constant(bulk.piece());
    Words(code, length).lt();
    code.select()
        .local_set(STEP)
        .local_get(LENGTH)
        .local_get(STEP);
    Words(code, length).sub();
    code.local_set(LENGTH);
}

/// Ends a loop that goes on while there is something left.
fn again(code: &mut InstructionSink<'_>, length: ValType) {
    Words(code, length).constant(0);
    code.local_get(LENGTH);
    Words(code, length).lt();
    code.br_if(0).end();
}

fn write(bulk: Bulk, code: &mut InstructionSink<'_>) {
    match bulk {
        Bulk::Fill { memory } => code.memory_fill(memory),
        Bulk::Copy { to, from } => code.memory_copy(to, from),
        Bulk::Init { memory, data } => code.memory_init(memory, data),
        Bulk::TableFill { table } => code.table_fill(table),
        Bulk::TableCopy { to, from } => code.table_copy(to, from),
        Bulk::TableInit { table, elements } => code.table_init(table, elements),
    };
}
