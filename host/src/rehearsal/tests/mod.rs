//! What scenario files, recordings and modules that are broken, hostile or from elsewhere do to the
//! offline tools: an answer or a sentence, and never more. The same in every run; `fuzz/` looks
//! further.

mod mutation;
#[cfg(feature = "authoring")]
mod packing;
mod recordings;
mod scenarios;
