//! Reading a certificate from its files.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::config::CertificateFiles;
use crate::files;
use crate::net::tls::Certificate;

/// A file of PEM text is never near to this.
const LARGEST: u64 = 1 << 20;

/// The files of a certificate.
#[derive(Debug, Clone)]
pub(super) struct Files(CertificateFiles);

impl Files {
    pub(super) fn new(files: &CertificateFiles) -> Self {
        Self(files.clone())
    }

    /// The path of the certificate.
    pub(super) fn name(&self) -> String {
        self.0.certificate.display().to_string()
    }

    /// Every file, the certificate's first.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let Self(files) = self;
        [
            Some(&files.certificate),
            Some(&files.key),
            files.ocsp.as_ref(),
        ]
        .into_iter()
        .flatten()
    }

    /// The certificate, or a sentence that says which file is wrong and why.
    pub(super) fn certificate(&self) -> Result<Certificate, String> {
        let Self(files) = self;
        let certificate = read(&files.certificate)?;
        let key = read(&files.key)?;
        let ocsp = files.ocsp.as_deref().map(read).transpose()?;
        Certificate::parse(&certificate, &key, ocsp).map_err(|e| {
            let file = match &files.ocsp {
                Some(ocsp) if e.is_of_staple() => ocsp,
                _ if e.is_of_key() => &files.key,
                _ => &files.certificate,
            };
            format!("{} {e}", file.display())
        })
    }
}

/// What a file holds, or a sentence that says what is wrong with it.
pub(super) fn parsed<T, E: Display>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, String> {
    parse(&read(path)?).map_err(|e| format!("{} {e}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    files::read_regular(path, LARGEST).map_err(|e| format!("{} can't be read: {e}", path.display()))
}
