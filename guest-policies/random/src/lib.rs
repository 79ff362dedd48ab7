//! The built-in `random` policy: every healthy backend is equally likely, or as likely as its
//! weight says.

pub mod choice;
mod policy;

pub use policy::Random;
