//! Guests in WebAssembly text: what a hook costs when no compiler or library has a part in it.

/// Where a guest's answer is: zeroes, which read as `none` or as done.
const ANSWER: u32 = 1024;
/// Where the host puts a result of several parts: `$result`.
const RESULT: u32 = 2048;
/// Where the host puts each string and list, `$copied`: always the same place, since only the last
/// one is looked at.
const COPIED: u32 = 4096;
/// Calls of the host in one call of a guest that counts them.
pub const CALLS: u32 = 1_000;

/// A guest with one hook.
#[derive(Clone, Copy)]
pub struct Guest {
    /// What it imports beside the request.
    pub import: Interface,
    /// A string from address 0 on.
    pub data: &'static str,
    /// What its hook does.
    pub hook: Hook,
}

/// The hook of a guest, in instructions, which trap if the host gives what it should not. The
/// locals are `$request` and, in `edit-request`, `$headers`.
#[derive(Clone, Copy)]
pub enum Hook {
    /// `select`, once.
    Select(&'static str),
    /// `select`: the first once, then the second [`CALLS`] times.
    Repeated(&'static str, &'static str),
    /// `edit-request`, once.
    EditRequest(&'static str),
}

/// An interface of the contract, as far as it is used.
#[derive(Clone, Copy)]
pub struct Interface {
    /// `types` adds to what each guest imports.
    pub name: &'static str,
    /// Types of its own.
    pub types: &'static str,
    /// What is called.
    pub functions: &'static [Function],
}

/// A function of the host.
#[derive(Clone, Copy)]
pub struct Function {
    /// In the contract.
    pub name: &'static str,
    /// What the instructions call it.
    pub called: &'static str,
    /// Its type in the contract.
    pub signature: &'static str,
    /// Its type in instructions.
    pub lowered: &'static str,
}

/// Nothing but the request.
pub const NOTHING: Interface = Interface {
    name: "types",
    types: "",
    functions: &[],
};

/// The value of the first field of a name.
pub const HEADER: Function = Function {
    name: "[method]request.header",
    called: "header",
    signature: r#"(param "self" (borrow $request)) (param "name" string) (result (option (list u8)))"#,
    lowered: "(param i32 i32 i32 i32)",
};

impl Guest {
    /// The component.
    pub fn component(&self) -> Vec<u8> {
        let Self {
            import:
                Interface {
                    name,
                    types,
                    functions,
                },
            ..
        } = *self;
        let declared: String = functions
            .iter()
            .map(|f| format!(r#"(export "{}" (func {}))"#, f.name, f.signature))
            .collect();
        let (more_types, interface) = if name == "types" {
            (declared, String::new())
        } else {
            let interface = format!(
                r#"(import "waypost:policy/{name}@0.1.0" (instance ${name} {types} {declared}))"#
            );
            (String::new(), interface)
        };
        let lowered: String = functions.iter().map(|f| lower(name, f)).collect();
        let given: String = functions
            .iter()
            .map(|f| format!(r#"(export "{0}" (func ${0}))"#, f.called))
            .collect();
        let (module, hook) = (self.module(), self.hook.exported());
        let text = format!(
            r#"(component
            (import "waypost:policy/types@0.1.0" (instance $types
                (export "request" (type $request (sub resource)))
                (export "headers" (type $headers (sub resource)))
                (type $answer (record (field "status" u16) (field "headers" (list (tuple string (list u8))))
                    (field "body" (list u8))))
                (export "response" (type (eq $answer)))
                (type $refusals (enum "invalid-name" "invalid-value" "forbidden" "too-many"))
                (export "header-error" (type $header-error (eq $refusals)))
                {more_types}))
            {interface}
            (alias export $types "request" (type $request))
            (alias export $types "headers" (type $headers))
            (alias export $types "response" (type $response))
            (core module $room
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const {COPIED}))
            (core instance $room (instantiate $room))
            (alias core export $room "memory" (core memory $memory))
            (alias core export $room "realloc" (core func $realloc))
            (core func $drop-request (canon resource.drop $request))
            (core func $drop-headers (canon resource.drop $headers))
            {lowered}
            {module}
            (core instance $i (instantiate $m
                (with "room" (instance $room))
                (with "host" (instance (export "drop-request" (func $drop-request))
                    (export "drop-headers" (func $drop-headers)) {given}))))
            {hook})"#
        );
        wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn module(&self) -> String {
        let imports: String = self
            .import
            .functions
            .iter()
            .map(|f| {
                format!(
                    r#"(import "host" "{0}" (func ${0} {1}))"#,
                    f.called, f.lowered
                )
            })
            .collect();
        let (data, function) = (self.data, self.hook.function());
        format!(
            r#"(core module $m
                (import "room" "memory" (memory 1))
                (import "host" "drop-request" (func $drop-request (param i32)))
                (import "host" "drop-headers" (func $drop-headers (param i32)))
                {imports}
                (global $result i32 (i32.const {RESULT}))
                (global $copied i32 (i32.const {COPIED}))
                (data (i32.const 0) "{data}")
                {function})"#
        )
    }
}

impl Hook {
    fn function(self) -> String {
        let select = r#"(func (export "hook") (param $request i32) (param $pool i32) (param $attempt i32) (result i32)"#;
        let answer = format!("(call $drop-request (local.get $request)) (i32.const {ANSWER})");
        match self {
            Self::Select(does) => format!("{select} {does} {answer})"),
            Self::Repeated(first, each) => format!(
                r#"{select} (local $left i32)
                    {first}
                    (local.set $left (i32.const {CALLS}))
                    (loop $again
                        {each}
                        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                    {answer})"#
            ),
            Self::EditRequest(does) => format!(
                r#"(func (export "hook") (param $request i32) (param $headers i32) (result i32)
                    {does} (call $drop-headers (local.get $headers)) {answer})"#
            ),
        }
    }

    fn exported(self) -> String {
        let (interface, name, parameters, result) = match self {
            Self::Select(_) | Self::Repeated(..) => {
                let parameters = r#"(param "request" (borrow $request)) (param "pool" u32) (param "attempt" u32)"#;
                ("selection", "select", parameters, "(option u32)")
            }
            Self::EditRequest(_) => {
                let parameters =
                    r#"(param "request" (borrow $request)) (param "headers" (borrow $headers))"#;
                ("request-headers", "edit-request", parameters, "")
            }
        };
        format!(
            r#"(func $hook {parameters} (result (result {result} (error $response)))
                (canon lift (core func $i "hook") (memory $memory) (realloc $realloc)))
            (instance $hooks (export "{name}" (func $hook)))
            (export "waypost:policy/{interface}@0.1.0" (instance $hooks))"#
        )
    }
}

fn lower(interface: &str, function: &Function) -> String {
    let Function { name, called, .. } = function;
    format!(
        r#"(core func ${called} (canon lower (func ${interface} "{name}") (memory $memory) (realloc $realloc)))"#
    )
}
