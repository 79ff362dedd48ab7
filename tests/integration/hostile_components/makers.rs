//! Components that no tool would write, each by what is beyond all bounds in it.

/// A number as WebAssembly writes it.
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb128(content.len()), content].concat()
}

fn component(sections: &[u8]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", sections].concat()
}

/// A type within a type within a type ...: of components (0x41) or of instances (0x42).
pub fn nested_types(kind: u8, depth: usize) -> Vec<u8> {
    let mut types = vec![1];
    (0..depth).for_each(|_| types.extend_from_slice(&[kind, 1, 1]));
    types.extend_from_slice(&[0x41, 0]);
    component(&section(7, &types))
}

/// A component within a component within a component ...
pub fn nested_components(depth: usize) -> Vec<u8> {
    let mut inner = component(&[]);
    for _ in 1..depth {
        inner = component(&section(4, &inner));
    }
    inner
}

/// So many side by side.
pub fn components_side_by_side(count: usize) -> Vec<u8> {
    component(&section(4, &component(&[])).repeat(count))
}

/// A core module with so many functions, all empty.
pub fn functions(count: usize) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend(section(1, &[1, 0x60, 0, 0]));
    module.extend(section(3, &[leb128(count), vec![0; count]].concat()));
    module.extend(section(
        10,
        &[leb128(count), [2, 0, 0x0b].repeat(count)].concat(),
    ));
    component(&section(1, &module))
}

/// Each component instantiates the one before so often, and so on through all levels.
pub fn doubling(levels: usize, width: usize) -> Vec<u8> {
    let mut text = String::from(
        "(component (component $c0 (core module $m) (core instance (instantiate $m)))",
    );
    for level in 1..=levels {
        let before = level - 1;
        let instances = format!("(instance (instantiate $i{before}))").repeat(width);
        text.push_str(&format!(
            "(component $c{level} (alias outer 1 $c{before} (component $i{before})) {instances})"
        ));
    }
    wat::parse_str(text + &format!("(instance (instantiate $c{levels})))")).unwrap()
}

/// A function type with a supertype, called through a table.
pub fn subtypes() -> Vec<u8> {
    let text = r#"(component (core module
        (type $super (sub (func))) (type $sub (sub $super (func)))
        (table 1 funcref) (elem (i32.const 0) $f)
        (func $f (type $sub))
        (func (export "call") (call_indirect (type $super) (i32.const 0)))))"#;
    wat::parse_str(text).unwrap()
}

/// A function with a name of so many bytes.
pub fn long_name(length: usize) -> Vec<u8> {
    wat::parse_str(format!(
        "(component (core module (func (@name \"{}\"))))",
        "a".repeat(length)
    ))
    .unwrap()
}

/// A policy that is a policy; but so many locals change within so many loops within each other that
/// a compiler has to think about each of them in each.
pub fn locals_through_loops(locals: usize, loops: usize) -> Vec<u8> {
    let changes: String = (2..locals + 2)
        .map(|n| format!("(local.set {n} (i32.add (local.get {n}) (i32.const 1)))"))
        .collect();
    let (begin, end) = (
        "(loop ".repeat(loops),
        "(br_if 0 (local.get 2)))".repeat(loops),
    );
    policy(&format!(
        "(local {}) {begin}{changes}{end}",
        "i32 ".repeat(locals)
    ))
}

/// With one hook, of this body.
pub fn policy(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "waypost:policy/types@0.1.0" (instance $types
                (export "request" (type (sub resource)))
                (export "headers" (type (sub resource)))
                (type $answer (record (field "status" u16) (field "headers" (list (tuple string (list u8))))
                    (field "body" (list u8))))
                (export "response" (type (eq $answer)))))
            (alias export $types "request" (type $request))
            (alias export $types "headers" (type $headers))
            (alias export $types "response" (type $response))
            (core module $m (memory (export "memory") 1)
                (func (export "edit") (param i32 i32) (result i32) {body} (i32.const 1024)))
            (core instance $i (instantiate $m))
            (func $edit (param "request" (borrow $request)) (param "headers" (borrow $headers))
                (result (result (error $response)))
                (canon lift (core func $i "edit") (memory (core memory $i "memory"))))
            (instance $hook (export "edit-request" (func $edit)))
            (export "waypost:policy/request-headers@0.1.0" (instance $hook)))"#
    );
    wat::parse_str(text).unwrap()
}

/// What it is, its bytes, and words of the sentence that refuses it.
pub type Hostile = (&'static str, Vec<u8>, &'static str);

/// Those that are refused without delay.
pub fn all() -> Vec<Hostile> {
    vec![
        (
            "nested component types",
            nested_types(0x41, 12_000),
            "nested too deeply",
        ),
        (
            "nested instance types",
            nested_types(0x42, 12_000),
            "nested too deeply",
        ),
        (
            "types nested very deeply",
            nested_types(0x41, 300_000),
            "nested too deeply",
        ),
        (
            "nested components",
            nested_components(6_000),
            "levels of nested components",
        ),
        (
            "a few nested components too many",
            nested_components(40),
            "levels of nested components",
        ),
        (
            "many components",
            components_side_by_side(6_000),
            "nested components",
        ),
        ("many functions", functions(500_000), "functions"),
        ("doubling instances", doubling(24, 2), "instances"),
        ("instances in steps of five", doubling(12, 5), "instances"),
        ("supertypes", subtypes(), "gc proposal"),
        ("a long name", long_name(50_000), "function's name"),
    ]
}
