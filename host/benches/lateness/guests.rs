//! Guests that take long.

/// What a guest does.
pub struct Guest {
    pub name: &'static str,
    /// Bytes that its instance may have.
    pub memory: u64,
    /// What it calls of the host.
    pub imports: Vec<Import>,
    /// In its module.
    pub fields: String,
    /// In its hook; forever, if it does not end by itself.
    pub does: String,
}

/// A function of the host.
#[derive(Clone)]
pub struct Import {
    pub interface: &'static str,
    /// Types of its own, and its declaration.
    pub declared: &'static str,
    pub name: &'static str,
    /// What the instructions call it, and its type there.
    pub lowered: (&'static str, &'static str),
}

const SMALL: u64 = 16 << 20;
const LARGE: u64 = 1 << 30;

pub fn guests() -> Vec<Guest> {
    let guest = |name, memory, fields: &str, does: &str| Guest {
        name,
        memory,
        imports: Vec::new(),
        fields: fields.to_owned(),
        does: format!("(loop $forever {does} (br $forever))"),
    };
    let once = |name, memory, fields: &str, does: &str| Guest {
        name,
        memory,
        imports: Vec::new(),
        fields: fields.to_owned(),
        does: does.to_owned(),
    };
    // So many pages are 15 MiB, and 1,000 MiB.
    let (pages, many) = (
        "(drop (memory.grow (i32.const 240)))",
        "(drop (memory.grow (i32.const 16000)))",
    );
    let data = "a".repeat(4 << 20);
    let passive = format!("(data $d \"{data}\")");
    let active = format!("(memory 80) (data (i32.const 0) \"{data}\")");
    let table = |n: u32| format!("(table $t {n} funcref)");
    let elements = format!(
        "(table $t 90000 funcref) (elem $e func {})",
        "$f ".repeat(90_000)
    );
    let store_set = Import {
        interface: "waypost:policy/store@0.1.0",
        declared: r#"(type $errors (enum "key-too-long" "value-too-long" "no-room"))
            (export "store-error" (type $store-error (eq $errors)))
            (export "set" (func (param "key" string) (param "value" (list u8)) (param "ttl-milliseconds" u64)
                (result (result (error $store-error)))))"#,
        name: "set",
        lowered: ("set", "(param i32 i32 i32 i32 i64 i32)"),
    };
    let log_write = Import {
        interface: "waypost:policy/log@0.1.0",
        declared: r#"(type $levels (enum "debug" "info" "warn" "error")) (export "level" (type $level (eq $levels)))
            (export "write" (func (param "level" $level) (param "message" string)))"#,
        name: "write",
        lowered: ("write", "(param i32 i32 i32)"),
    };
    let random_bytes = Import {
        interface: "wasi:random/random@0.2.0",
        declared: r#"(export "get-random-bytes" (func (param "len" u64) (result (list u8))))"#,
        name: "get-random-bytes",
        lowered: ("bytes", "(param i64 i32)"),
    };
    let calls = |name, imports: Vec<Import>, does: &str| Guest {
        imports,
        ..guest(name, SMALL, "(memory 40)", does)
    };
    // Each time another key of four letters.
    let set = |length: u32| {
        format!(
            "(i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
             (i32.store (i32.const 0)
                (i32.or (i32.and (i32.load (i32.const 8)) (i32.const 0x3f3f3f3f)) (i32.const 0x40404040)))
             (call $set (i32.const 0) (i32.const 4) (i32.const 4096) (i32.const {length}) (i64.const 0) (i32.const 64))"
        )
    };
    let write =
        |length: u32| format!("(call $write (i32.const 1) (i32.const 4096) (i32.const {length}))");
    vec![
        calls(
            "store.set of 60 KiB",
            vec![store_set.clone()],
            &set(60 << 10),
        ),
        calls(
            "store.set of 1 MB, refused",
            vec![store_set],
            &set(1_000_000),
        ),
        calls(
            "log.write of 1,000 bytes",
            vec![log_write.clone()],
            &write(1_000),
        ),
        calls(
            "log.write of 1 MB",
            vec![log_write.clone()],
            &write(1_000_000),
        ),
        calls(
            "64 KiB of random bytes of WASI",
            vec![random_bytes],
            "(call $bytes (i64.const 65536) (i32.const 64))",
        ),
        Guest {
            does: write(1_000_000).repeat(20_000),
            ..calls("log.write of 1 MB, 20,000 in a row", vec![log_write], "")
        },
        guest("a loop", SMALL, "", ""),
        guest(
            "memory.fill of 15 MiB",
            SMALL,
            "",
            &format!("{pages} (memory.fill (i32.const 0) (i32.const 7) (i32.const 15728640))"),
        ),
        once(
            "memory.fill of 1 GiB",
            LARGE,
            "",
            &format!("{many} (memory.fill (i32.const 0) (i32.const 7) (i32.const 1048576000))"),
        ),
        once(
            "memory.copy of 1 GiB",
            LARGE,
            "",
            &format!("{many} (memory.copy (i32.const 1) (i32.const 0) (i32.const 1048575999))"),
        ),
        guest(
            "memory.init of 4 MiB",
            SMALL,
            &passive,
            &format!("{pages} (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4194304))"),
        ),
        once("memory.grow to 1 GiB", LARGE, "", many),
        guest(
            "memory.grow by a page, to 1 GiB",
            LARGE,
            "",
            "(drop (memory.grow (i32.const 1)))",
        ),
        guest(
            "table.fill of 190,000 elements",
            SMALL,
            &table(190_000),
            "(table.fill $t (i32.const 0) (ref.func $f) (i32.const 190000))",
        ),
        guest(
            "table.copy of 190,000 elements",
            SMALL,
            &table(190_000),
            "(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 189999))",
        ),
        guest(
            "table.init of 90,000 elements",
            SMALL,
            &elements,
            "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 90000))",
        ),
        once(
            "table.grow by 190,000 elements",
            SMALL,
            &table(1),
            "(drop (table.grow $t (ref.func $f) (i32.const 190000)))",
        ),
        guest(
            "table.grow by an element",
            SMALL,
            &table(1),
            "(drop (table.grow $t (ref.func $f) (i32.const 1)))",
        ),
        guest("4 MiB of data when it is made", SMALL, &active, ""),
    ]
}

/// A component whose `select` does that.
pub fn component(imports: &[Import], fields: &str, does: &str) -> Vec<u8> {
    let memory = if fields.contains("(memory ") {
        ""
    } else {
        "(memory 1)"
    };
    let instances: String = (0..)
        .zip(imports)
        .map(|(n, i)| {
            format!(
                "(import \"{}\" (instance $host{n} {}))",
                i.interface, i.declared
            )
        })
        .collect();
    let lowered: String = (0..)
        .zip(imports)
        .map(|(n, i)| {
            let (name, called) = (i.name, i.lowered.0);
            format!(
                r#"(core func ${called} (canon lower (func $host{n} "{name}")
                    (memory $room-memory) (realloc $realloc)))"#
            )
        })
        .collect();
    let given: String = imports
        .iter()
        .map(|i| format!(r#"(export "{0}" (func ${0}))"#, i.lowered.0))
        .collect();
    let wanted: String = imports
        .iter()
        .map(|i| {
            format!(
                r#"(import "host" "{0}" (func ${0} {1}))"#,
                i.lowered.0, i.lowered.1
            )
        })
        .collect();
    // What the host reads and writes is in a memory that is there before the functions are given.
    let (room, memory) = if imports.is_empty() {
        (
            String::new(),
            format!("{memory} (export \"memory\" (memory 0))"),
        )
    } else {
        let room = format!(
            r#"(core module $rooms {fields} (export "memory" (memory 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1048576)))
            (core instance $room (instantiate $rooms))
            (alias core export $room "memory" (core memory $room-memory))
            (alias core export $room "realloc" (core func $realloc))"#
        );
        (
            room,
            r#"(import "room" "memory" (memory 1)) (export "memory" (memory 0))"#.to_owned(),
        )
    };
    let fields = if imports.is_empty() { fields } else { "" };
    let with_room = if imports.is_empty() {
        ""
    } else {
        r#"(with "room" (instance $room))"#
    };
    let text = format!(
        r#"(component
        (import "waypost:policy/types@0.1.0" (instance $types
            (export "request" (type $request (sub resource)))
            (type $answer (record (field "status" u16) (field "headers" (list (tuple string (list u8))))
                (field "body" (list u8))))
            (export "response" (type (eq $answer)))))
        (alias export $types "request" (type $request))
        (alias export $types "response" (type $response))
        {instances}
        {room}
        {lowered}
        (core func $drop (canon resource.drop $request))
        (core module $m
            (import "host" "drop" (func $drop (param i32)))
            {wanted}
            {memory}
            {fields}
            (func $f) (elem declare func $f)
            (func (export "hook") (param i32 i32 i32) (result i32)
                {does}
                (call $drop (local.get 0)) (i32.const 1024)))
        (core instance $i (instantiate $m {with_room}
            (with "host" (instance (export "drop" (func $drop)) {given}))))
        (alias core export $i "memory" (core memory $memory))
        (func $hook (param "request" (borrow $request)) (param "pool" u32) (param "attempt" u32)
            (result (result (option u32) (error $response)))
            (canon lift (core func $i "hook") (memory $memory)))
        (instance $hooks (export "select" (func $hook)))
        (export "waypost:policy/selection@0.1.0" (instance $hooks)))"#
    );
    wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{}", &text[..text.len().min(3000)]))
}
