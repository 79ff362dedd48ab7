use proptest::prelude::*;
use wasmtime::{Config, Engine, Instance, Module, Store};

use super::instruction::{PIECE, TABLE_PIECE};
use super::*;

/// Pages of the memories here: a few pieces.
const PAGES: u32 = 5;
const ELEMENTS: u32 = 5_000;

/// A module with each of the instructions on memories and tables of this width.
fn module(w: &str) -> Vec<u8> {
    let data: String = (0..200_000u32)
        .map(|n| format!("\\{:02x}", n % 251))
        .collect();
    let refs: String = (0..4_000).map(|n| ["$a ", "$b ", "$c "][n % 3]).collect();
    wat::parse_str(format!(
        r#"(module
            (import "host" "seven" (func $seven (result i32)))
            (memory $m (export "m") {w} {PAGES})
            (memory $n (export "n") {w} {PAGES} )
            (table $t {w} {ELEMENTS} funcref)
            (table $u {w} {ELEMENTS} funcref)
            (type $number (func (result i32)))
            (func $a (result i32) (i32.const 1))
            (func $b (result i32) (i32.const 2))
            (func $c (result i32) (call $seven))
            (elem $refs func {refs})
            (data $bytes "{data}")
            (global $started (mut i32) (i32.const 0))
            (func $start (global.set $started (call $seven)))
            (start $start)
            (elem (table $t) (offset ({w}.const 3)) func $c $b $a)
            (func (export "started") (result i32) (global.get $started))
            (func (export "fill") (param {w} i64 {w})
                (memory.fill $m (local.get 0) (i32.wrap_i64 (local.get 1)) (local.get 2)))
            (func (export "copy") (param {w} {w} {w})
                (memory.copy $m $m (local.get 0) (local.get 1) (local.get 2)))
            (func (export "copy-over") (param {w} {w} {w})
                (memory.copy $n $m (local.get 0) (local.get 1) (local.get 2)))
            (func (export "init") (param {w} i64 i64)
                (memory.init $m $bytes (local.get 0) (i32.wrap_i64 (local.get 1))
                    (i32.wrap_i64 (local.get 2))))
            (func (export "table-fill") (param {w} i64 {w})
                (table.fill $t (local.get 0)
                    (select (result funcref) (ref.func $b) (ref.null func) (i32.wrap_i64 (local.get 1)))
                    (local.get 2)))
            (func (export "table-copy") (param {w} {w} {w})
                (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
            (func (export "table-copy-over") (param {w} {w} {w})
                (table.copy $u $t (local.get 0) (local.get 1) (local.get 2)))
            (func (export "table-init") (param {w} i64 i64)
                (table.init $t $refs (local.get 0) (i32.wrap_i64 (local.get 1))
                    (i32.wrap_i64 (local.get 2))))
            (func (export "constant") (memory.fill $m ({w}.const 1) (i32.const 7) ({w}.const 100)))
            (func $look (export "look") (param $at {w}) (result i32)
                (if (result i32) (ref.is_null (table.get $t (local.get $at)))
                    (then (i32.const 0))
                    (else (call_indirect $t (type $number) (local.get $at)))))
            (func (export "look-over") (param $at {w}) (result i32)
                (if (result i32) (ref.is_null (table.get $u (local.get $at)))
                    (then (i32.const 0))
                    (else (call_indirect $u (type $number) (local.get $at))))))"#
    ))
    .unwrap()
}

const NAMES: [&str; 8] = [
    "fill",
    "copy",
    "copy-over",
    "init",
    "table-fill",
    "table-copy",
    "table-copy-over",
    "table-init",
];

struct Guest {
    store: Store<()>,
    instance: Instance,
    wide: bool,
}

impl Guest {
    fn new(engine: &Engine, bytes: &[u8], wide: bool) -> Self {
        let module = Module::new(engine, bytes).unwrap();
        let mut store = Store::new(engine, ());
        let seven = wasmtime::Func::wrap(&mut store, || 7i32);
        let instance = Instance::new(&mut store, &module, &[seven.into()]).unwrap();
        Self {
            store,
            instance,
            wide,
        }
    }

    /// What the call traps with, if it does.
    fn call(&mut self, name: &str, [to, from, length]: [u64; 3]) -> Option<String> {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        let types: Vec<_> = function.ty(&self.store).params().collect();
        let parameters: Vec<_> = [to, from, length]
            .iter()
            .zip(types)
            .map(|(value, ty)| match ty {
                wasmtime::ValType::I64 => wasmtime::Val::I64(value.cast_signed()),
                _ => wasmtime::Val::I32((*value as u32).cast_signed()),
            })
            .collect();
        let error = function.call(&mut self.store, &parameters, &mut []).err()?;
        Some(error.downcast::<wasmtime::Trap>().unwrap().to_string())
    }

    fn memory(&mut self, name: &str) -> &[u8] {
        self.instance
            .get_memory(&mut self.store, name)
            .unwrap()
            .data(&self.store)
    }

    fn table(&mut self, look: &str) -> Vec<i32> {
        let function = self.instance.get_func(&mut self.store, look).unwrap();
        let mut seen = [wasmtime::Val::I32(0)];
        (0..ELEMENTS)
            .map(|at| {
                let at = if self.wide {
                    wasmtime::Val::I64(at.into())
                } else {
                    wasmtime::Val::I32(at.cast_signed())
                };
                function.call(&mut self.store, &[at], &mut seen).unwrap();
                seen[0].unwrap_i32()
            })
            .collect()
    }
}

fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_memory64(true).wasm_multi_memory(true);
    Engine::new(&config).unwrap()
}

/// Numbers around what matters: ends of regions and pieces, and beyond what there is.
fn number(end: u64, piece: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..=end,
        3 => (0..=4u64, 0..=2u64).prop_map(move |(pieces, off)| (pieces * piece + off).saturating_sub(1)),
        2 => (0..=2u64).prop_map(move |off| end + off - 1),
        1 => (0..=3u64).prop_map(|off| u64::from(u32::MAX) - off),
        1 => (0..=3u64).prop_map(|off| u64::MAX - off),
    ]
}

fn calls() -> impl Strategy<Value = Vec<(&'static str, [u64; 3])>> {
    let call = (0..NAMES.len()).prop_flat_map(|at| {
        let (end, piece) = if at < 4 {
            (PAGES * 65_536, PIECE)
        } else {
            (ELEMENTS, TABLE_PIECE)
        };
        let number = || number(end.into(), piece.into());
        (number(), number(), number()).prop_map(move |(a, b, c)| (NAMES[at], [a, b, c]))
    });
    prop::collection::vec(call, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pieces_do_what_the_instruction_does(calls in calls(), wide in any::<bool>()) {
        let original = module(if wide { "i64" } else { "i32" });
        let rewritten = rewrite_module(&original).unwrap();
        prop_assert_ne!(&original[..], &rewritten[..]);
        let engine = engine();
        let mut guests = [&original[..], &rewritten].map(|bytes| Guest::new(&engine, bytes, wide));
        for (name, numbers) in calls {
            let [a, b] = &mut guests;
            prop_assert_eq!(a.call(name, numbers), b.call(name, numbers), "{} {:?}", name, numbers);
            for memory in ["m", "n"] {
                prop_assert!(a.memory(memory) == b.memory(memory), "{} {:?}", name, numbers);
            }
            for look in ["look", "look-over"] {
                if name.starts_with("table") {
                    prop_assert!(a.table(look) == b.table(look), "{} {:?}", name, numbers);
                }
            }
        }
    }
}

#[test]
fn an_instruction_of_known_small_length_is_left_as_it_is() {
    let text = r#"(module (memory 1) (data $d "abc") (table 1 funcref) (elem $e func)
        (func (param i32 i32 i32)
            (memory.fill (local.get 0) (i32.const 0) (i32.const 65536))
            (memory.copy (local.get 0) (local.get 1) (i32.const 8))
            (memory.init $d (local.get 0) (local.get 1) (local.get 2))
            (table.fill 0 (local.get 0) (ref.null func) (i32.const 1024))
            (table.init $e (local.get 0) (local.get 1) (local.get 2))))"#;
    let small = wat::parse_str(text).unwrap();
    assert!(matches!(rewrite_module(&small), Ok(Cow::Borrowed(same)) if same == small));
    for (small, large) in [("65536", "65537"), ("1024", "1025")] {
        let large = wat::parse_str(text.replace(small, large)).unwrap();
        assert!(matches!(rewrite_module(&large), Ok(Cow::Owned(_))));
    }
}

#[test]
fn nothing_but_the_instruction_changes() {
    let original = module("i32");
    let rewritten = rewrite_module(&original).unwrap();
    let engine = engine();
    let [a, b] = [&original[..], &rewritten].map(|bytes| Module::new(&engine, bytes).unwrap());
    let exports = |module: &Module| -> Vec<String> {
        module
            .exports()
            .map(|e| format!("{} {:?}", e.name(), e.ty()))
            .collect()
    };
    assert_eq!(exports(&a), exports(&b));
    // The start function ran, and the tables contain the same functions.
    let mut guest = Guest::new(&engine, &rewritten, false);
    let started = guest
        .instance
        .get_func(&mut guest.store, "started")
        .unwrap();
    let mut seen = [wasmtime::Val::I32(0)];
    started.call(&mut guest.store, &[], &mut seen).unwrap();
    assert_eq!(seen[0].unwrap_i32(), 7);
    assert_eq!(guest.table("look")[2..7], [0, 7, 2, 1, 0]);
    // All other sections are there byte by byte, names included.
    let names = |bytes: &[u8]| -> Vec<(u8, Vec<u8>)> {
        let kept = |id: &u8| ![section::TYPE, section::FUNCTION, section::CODE].contains(id);
        let sections = sections(bytes).unwrap().into_iter();
        sections
            .filter(|(id, _)| kept(id))
            .map(|(id, content)| (id, content.into_owned()))
            .collect()
    };
    assert_eq!(names(&original), names(&rewritten));
}

#[test]
fn modules_are_found_in_components_within_components() {
    let text = |length: &str| {
        format!(
            r#"(component (component (component (core module
                (memory 1) (func (param i32) (memory.fill (i32.const 0) (i32.const 0) {length}))))))"#
        )
    };
    let small = wat::parse_str(text("(i32.const 5)")).unwrap();
    assert_eq!(in_pieces(&small).unwrap(), small);
    let large = wat::parse_str(text("(local.get 0)")).unwrap();
    let rewritten = in_pieces(&large).unwrap();
    assert!(rewritten.len() > large.len());
    wasmparser::Validator::new()
        .validate_all(&rewritten)
        .unwrap();
}

#[test]
fn broken_bytes_are_an_error_and_deep_ones_too() {
    let whole = wat::parse_str(
        "(component (core module (memory 1) (func (param i32)
        (memory.fill (i32.const 0) (i32.const 0) (local.get 0)))))",
    );
    let whole = whole.unwrap();
    for end in 0..whole.len() {
        let _ = in_pieces(&whole[..end]);
    }
    let mut deep = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..=MAX_DEPTH {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        deep.encode(&mut outer);
        deep = outer;
    }
    assert!(in_pieces(&deep).is_err());
}

#[test]
fn a_module_that_claims_more_functions_than_there_can_be_is_an_error() {
    let text = |import: &str| {
        format!(
            "(module {import} (memory 1) (func (param i32) (memory.fill (local.get 0) (i32.const 0) (local.get 0))))"
        )
    };
    for import in ["", "(import \"host\" \"seven\" (func))"] {
        let module = wat::parse_str(text(import)).unwrap();
        let mut sections = sections(&module).unwrap();
        let (_, functions) = sections
            .iter_mut()
            .find(|(id, _)| *id == section::FUNCTION)
            .unwrap();
        *functions = b"\xff\xff\xff\xff\x0f\0".into();
        assert!(rewrite_module(&join(&module, &sections)).is_err());
    }
}
