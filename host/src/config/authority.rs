//! The validated meaning of `[acme]`: the authority from which certificates are ordered.

use std::path::PathBuf;

/// `[acme]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// `directory`: where the authority's directory is. Default: Let's Encrypt's.
    pub directory: String,
    /// `contact`: where the authority may write to, as URIs (`mailto:`).
    pub contact: Vec<String>,
    /// `challenge`: how it is shown that the names are ours.
    pub challenge: AcmeChallenge,
    /// `ca`: PEM, what vouches for the directory itself; `None` for the system's roots.
    pub ca: Option<PathBuf>,
    /// `external-account`: the account with the authority that this one is bound to.
    pub external_account: Option<ExternalAccount>,
}

impl Acme {
    /// The directory as others may see it: a query may be a secret of the account.
    pub fn shown_directory(&self) -> &str {
        without_query(&self.directory)
    }
}

/// A URL without its query.
pub fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// How an authority checks that a name leads here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// `"tls-alpn-01"` (RFC 8737): a handshake on port 443. The default, because a listener that
    /// needs a certificate is there anyway.
    TlsAlpn01,
    /// `"http-01"` (RFC 8555 section 8.3): a request on port 80.
    Http01,
}

/// `external-account`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// `key-id`
    pub key_id: String,
    /// `key-file`: the key, in base64 as the authority shows it.
    pub key_file: PathBuf,
}
