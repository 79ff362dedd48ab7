//! What scenario files and recordings that are broken, hostile or from elsewhere do to the offline tools.

mod mutation;
mod recordings;
mod scenarios;
