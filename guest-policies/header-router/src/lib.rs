//! The `header-router` policy: a header field names the backend, and fields are set and removed on
//! the way in and out.

pub mod router;
pub mod settings;

mod policy;

pub use policy::HeaderRouter;
