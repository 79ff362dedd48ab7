//! Config: what did the operator mean?
//!
//! Two layers: the file as written (`file`), and its validated meaning ([`Config`]), in which every name is resolved
//! and every value checked. Called by `cli` and `app` before anything starts. Every error names its key and line.
//! Never opens a socket, never resolves a host name, never loads a component.

mod meaning;

pub use meaning::*;
