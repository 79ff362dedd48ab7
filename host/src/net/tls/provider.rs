//! The cryptography under TLS, which a Cargo feature chooses.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as chosen;
#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("TLS needs its cryptography: enable the feature `aws-lc-rs` or `ring`");

pub(super) use chosen::Ticketer;

/// The provider of all configurations. It is never installed for the process: what uses rustls
/// beside this room names its own.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(chosen::default_provider()));
    Arc::clone(&PROVIDER)
}
