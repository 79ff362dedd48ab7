//! Functions of a guest that no author of a policy has written. `guest-policies/pack` compiles this
//! file too.

/// How the names of functions begin that no author of a policy has written: the end of a panic in
/// Rust's and Zig's library, the end of a program, allocators, readers of settings, and what a tool
/// generates around a hook.
const GLUE: [&str; 33] = [
    "std::",
    "core::",
    "alloc::",
    "<std::",
    "<core::",
    "<alloc::",
    "<&",
    "__",
    "rust_",
    "serde",
    "<serde",
    "debug.FullPanic",
    "debug.panic",
    "debug.simple_panic",
    "hooks.exported(",
    "waypost.panicked",
    "abort",
    "exit",
    "_Exit",
    "Py_",
    "_Py",
    "PyErr_",
    "pyo3::",
    "<pyo3::",
    "cabi_",
    "compiler_builtins::",
    "dlmalloc::",
    "<dlmalloc::",
    "hashbrown::",
    "waypost:policy/",
    "waypost_policy::",
    "<waypost_policy::",
    "wit_",
];

/// In the names of what wit-bindgen generates for each hook.
const GENERATED: &str = "exports::waypost::policy::";

/// Whether a fault leaves out the function of this name, which is demangled.
pub(super) fn is_glue(name: &str) -> bool {
    name.contains(GENERATED) || GLUE.iter().any(|glue| name.starts_with(glue))
}
