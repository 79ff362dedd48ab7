//! Policies in text: every hook is a few instructions that a test chooses. What no compiler would
//! make of any source.

/// The instructions of each hook; one that is empty is not exported. `select` is, so that there is
/// always a hook.
///
/// Those that answer leave the address of their answer. At [`ANSWER`] there are 64 bytes of zeroes,
/// which read as `none` or ok.
#[derive(Clone, Copy, Default)]
pub struct Hooks<'a> {
    /// With a `(start ...)`, say.
    pub module: &'a str,
    pub configure: &'a str,
    pub backends_changed: &'a str,
    pub select: &'a str,
    pub edit_request: &'a str,
    pub edit_response: &'a str,
    pub check: &'a str,
}

/// An answer that says nothing.
pub const ANSWER: &str = "i32.const 1024";

impl Hooks<'_> {
    /// The component.
    pub fn component(self) -> Vec<u8> {
        let (module, answers) = (self.module(), self.answers());
        let (configuration, topology) = (self.configuration(), self.topology());
        let text = format!(
            r#"(component
            (import "waypost:policy/types@0.1.0" (instance $types
                (export "request" (type (sub resource)))
                (export "headers" (type (sub resource)))
                (type $fields (list (tuple string (list u8))))
                (type $answer (record (field "status" u16) (field "headers" $fields) (field "body" (list u8))))
                (export "response" (type (eq $answer)))))
            (alias export $types "request" (type $request))
            (alias export $types "headers" (type $headers))
            (alias export $types "response" (type $response))
            (core func $drop-request (canon resource.drop $request))
            (core func $drop-headers (canon resource.drop $headers))
            {module}
            (core instance $i (instantiate $m (with "drop" (instance
                (export "request" (func $drop-request)) (export "headers" (func $drop-headers))))))
            (alias core export $i "memory" (core memory $memory))
            (alias core export $i "realloc" (core func $realloc))
            {answers}{configuration}{topology})"#
        );
        wat::parse_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn module(self) -> String {
        let Self {
            module,
            configure,
            backends_changed,
            select,
            edit_request,
            edit_response,
            check,
        } = self;
        fn or_silent(code: &str) -> &str {
            if code.is_empty() { ANSWER } else { code }
        }
        let (configure, select, check) =
            (or_silent(configure), or_silent(select), or_silent(check));
        let (edit_request, edit_response) = (or_silent(edit_request), or_silent(edit_response));
        format!(
            r#"(core module $m
                (import "drop" "request" (func $drop-request (param i32)))
                (import "drop" "headers" (func $drop-headers (param i32)))
                (memory (export "memory") 2)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
                {module}
                (func $configuring (export "configure") (param i32 i32) (result i32) {configure})
                (func $told (export "backends-changed") (param i32 i32 i32 i64 i32 i32) {backends_changed})
                (func $selecting (export "select") (param i32 i32 i32) (result i32)
                    (call $drop-request (local.get 0)) {select})
                (func $editing (export "edit-request") (param i32 i32) (result i32)
                    (call $drop-request (local.get 0)) (call $drop-headers (local.get 1)) {edit_request})
                (func $answered (export "edit-response") (param i32 i32 i32 i32) (result i32)
                    (call $drop-request (local.get 0)) (call $drop-headers (local.get 3)) {edit_response})
                (func $checking (export "check") (param i32) (result i32)
                    (call $drop-request (local.get 0)) {check}))"#
        )
    }

    /// The hooks that are asked about a request.
    fn answers(self) -> String {
        let hook = |wanted: bool,
                    interface: &str,
                    name: &str,
                    types: &str,
                    parameters: &str,
                    result: &str| {
            let exported = types
                .split_whitespace()
                .map(|name| format!(r#"(export "{name}" (type ${name}))"#));
            let exported: String = exported.collect();
            let text = format!(
                r#"(func ${name} {parameters} (result (result {result} (error $response)))
                    (canon lift (core func $i "{name}") (memory $memory) (realloc $realloc)))
                (instance $of-{name} {exported} (export "{name}" (func ${name})))
                (export "waypost:policy/{interface}@0.1.0" (instance $of-{name}))"#
            );
            if wanted { text } else { String::new() }
        };
        let request = r#"(param "request" (borrow $request))"#;
        let headers = r#"(param "headers" (borrow $headers))"#;
        let attempt = format!(r#"{request} (param "pool" u32) (param "attempt" u32)"#);
        let both = format!("{request} {headers}");
        let answered = format!(r#"{request} (param "status" u16) (param "backend" u32) {headers}"#);
        let range = r#"(type $byte-range-here (record (field "first" (option u64)) (field "last" (option u64))))
            (export $byte-range "byte-range" (type $byte-range-here))"#;
        let range = if self.check.is_empty() { "" } else { range };
        [
            hook(true, "selection", "select", "", &attempt, "(option u32)"),
            hook(
                !self.edit_request.is_empty(),
                "request-headers",
                "edit-request",
                "",
                &both,
                "",
            ),
            hook(
                !self.edit_response.is_empty(),
                "response-headers",
                "edit-response",
                "",
                &answered,
                "",
            ),
            range.to_owned(),
            hook(
                !self.check.is_empty(),
                "range",
                "check",
                "byte-range",
                request,
                "(option (list $byte-range))",
            ),
        ]
        .concat()
    }

    fn configuration(self) -> &'static str {
        if self.configure.is_empty() {
            return "";
        }
        r#"(func $configure (param "settings" string) (result (result (error string)))
            (canon lift (core func $i "configure") (memory $memory) (realloc $realloc)))
        (instance $settings (export "configure" (func $configure)))
        (export "waypost:policy/configuration@0.1.0" (instance $settings))"#
    }

    fn topology(self) -> &'static str {
        if self.backends_changed.is_empty() {
            return "";
        }
        r#"(type $pool-here (record (field "id" u32) (field "name" string)))
        (export $pool "pool" (type $pool-here))
        (type $backend-here (record (field "address" string) (field "weight" u32)
            (field "labels" (list (tuple string string)))))
        (export $backend "backend" (type $backend-here))
        (func $backends-changed (param "pool" $pool) (param "generation" u64) (param "backends" (list $backend))
            (canon lift (core func $i "backends-changed") (memory $memory) (realloc $realloc)))
        (instance $of-topology (export "pool" (type $pool)) (export "backend" (type $backend))
            (export "backends-changed" (func $backends-changed)))
        (export "waypost:policy/topology@0.1.0" (instance $of-topology))"#
    }
}
