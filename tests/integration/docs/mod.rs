//! What `docs/` says is what is so.

mod reference;
