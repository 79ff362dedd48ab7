//! What was ordered from a certificate authority, in `state-dir`: the account and the certificates,
//! which a restart finds again.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::files;
use crate::net::tls::Certificate;

/// The folder in `state-dir`. No policy's folder begins with a dot.
const FOLDER: &str = ".acme";
const ACCOUNT: &str = "account.json";
const PEM: &str = ".pem";
/// A chain of certificates with its key, or an account, is never near to this.
const LARGEST: u64 = 1 << 20;
/// So many files are read to find a certificate that may stand in for another.
const MOST_LOOKED_AT: usize = 1_000;
/// Hexadecimal digits that tell directories and lists of names apart.
const DIGITS: usize = 12;

/// The folder of one authority: what it gave belongs to no other one.
#[derive(Debug, Clone)]
pub(in crate::app) struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// That of the authority with this directory. Nothing is made before there is something to
    /// keep.
    pub(in crate::app) fn new(state_dir: &Path, directory: &str) -> Self {
        let host = directory.split('/').nth(2).unwrap_or_default();
        Self {
            folder: state_dir.join(FOLDER).join(named(host, directory)),
        }
    }

    /// The newest certificate that was ordered for these names; `None` if there is none.
    ///
    /// # Errors
    ///
    /// A sentence: it can't be read, or is not one.
    pub(super) fn certificate(&self, names: &[String]) -> Result<Option<Certificate>, String> {
        let path = self.folder.join(file(names));
        let in_path = |e: &dyn std::fmt::Display| format!("{} {e}", path.display());
        let Some(pem) = self.read(&path).map_err(|e| in_path(&e))? else {
            return Ok(None);
        };
        let certificate = Certificate::parse(&pem, &pem, None).map_err(|e| in_path(&e))?;
        let mut has: Vec<String> = certificate.names().all().collect();
        has.sort_unstable();
        has.dedup();
        match same_names(&has, names) {
            true => Ok(Some(certificate)),
            false => Err(in_path(&format_args!(
                "has a certificate for other names: {}",
                has.join(", ")
            ))),
        }
    }

    /// Of the certificates that were ordered for other names, the one that has most of these and
    /// has not expired; with the names that it has. What can't be read is passed over.
    pub(super) fn nearest(&self, names: &[String]) -> Option<(Certificate, Vec<String>)> {
        let files = fs::read_dir(&self.folder).ok()?.flatten();
        let paths = files.map(|file| file.path());
        let paths = paths.filter(|path| path.extension().is_some_and(|e| e == "pem"));
        let now = SystemTime::now();
        let read = |path: PathBuf| {
            let pem = self.read(&path).ok().flatten()?;
            let certificate = Certificate::parse(&pem, &pem, None).ok()?;
            let mut has: Vec<String> = certificate.names().all().collect();
            has.sort_unstable();
            has.dedup();
            let common = names.iter().filter(|name| has.contains(name)).count();
            (common > 0 && certificate.expires() > now).then_some((common, certificate, has))
        };
        let read = paths.take(MOST_LOOKED_AT).filter_map(read);
        let nearest = read.max_by_key(|(common, certificate, _)| (*common, certificate.expires()));
        nearest.map(|(_, certificate, has)| (certificate, has))
    }

    /// Keeps a certificate: its chain and its key, as PEM.
    pub(in crate::app) fn keep_certificate(&self, names: &[String], pem: &str) -> io::Result<()> {
        self.write(&file(names), pem.as_bytes())
    }

    /// The account; `None` if there is none yet.
    pub(in crate::app) fn account(&self) -> io::Result<Option<Vec<u8>>> {
        self.read(&self.account_path())
    }

    /// What will be in the way of the next order; `None` if nothing is.
    pub(super) fn problem(&self) -> Option<String> {
        let folder = self.folder.display();
        match fs::symlink_metadata(&self.folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return None,
            Err(e) => return Some(format!("{folder} can't be read: {e}")),
            Ok(found) if !found.is_dir() => {
                return Some(format!(
                    "{folder} is no folder, so nothing that is ordered can be kept; remove it"
                ));
            }
            Ok(found) => {
                if let Err(e) = files::trusted(&found) {
                    return Some(format!("{folder} can't be used: {e}"));
                }
            }
        }
        let path = self.account_path();
        let path = path.display();
        match self.account().map(|text| text.as_deref().map(is_account)) {
            Ok(None | Some(true)) => None,
            Ok(Some(false)) => Some(format!(
                "the account in {path} is damaged, so no certificate can be ordered; remove the \
                 file, so that another one is made"
            )),
            Err(e) => Some(format!("the account in {path} can't be read: {e}")),
        }
    }

    /// Whether there is an account.
    pub(super) fn has_account(&self) -> bool {
        matches!(self.account(), Ok(Some(_)))
    }

    /// Where the account is.
    pub(in crate::app) fn account_path(&self) -> PathBuf {
        self.folder.join(ACCOUNT)
    }

    /// Keeps the account.
    pub(in crate::app) fn keep_account(&self, account: &[u8]) -> io::Result<()> {
        self.write(ACCOUNT, account)
    }

    /// Removes an account that the authority does not know any more.
    pub(in crate::app) fn forget_account(&self) -> io::Result<()> {
        fs::remove_file(self.account_path())
    }

    /// The whole file, if only this process's user can have written it.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match files::open_regular(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        files::trusted(&file.metadata()?)?;
        files::trusted(&fs::metadata(&self.folder)?)?;
        files::read_to_bound(&file, LARGEST).map(Some)
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let found = fs::symlink_metadata(&self.folder)?;
        if !found.is_dir() {
            return Err(io::Error::new(
                ErrorKind::NotADirectory,
                format!("{} is not a directory", self.folder.display()),
            ));
        }
        files::trusted(&found)?;
        files::write_private(&self.folder, name, content)
    }
}

/// Whether a text may be an account: an object with its address at the authority.
fn is_account(text: &[u8]) -> bool {
    let read = serde_json::from_slice::<serde_json::Value>(text);
    read.is_ok_and(|account| account["id"].is_string())
}

/// Whether two lists have the same names, each of them once.
pub(super) fn same_names(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|name| other.contains(name))
}

/// The file of a certificate. The same names in another order are the same certificate.
fn file(names: &[String]) -> String {
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    named(sorted.first().unwrap_or(&""), &sorted.join(",")) + PEM
}

/// A name for humans, with digits that make it the only one. It leads nowhere else.
fn named(shown: &str, whole: &str) -> String {
    let is_kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let shown: String = shown.chars().filter(is_kept).take(100).collect();
    let digest = Sha256::digest(whole);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{shown}-{}", digits.get(..DIGITS).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_its_names_in_any_order_and_leads_nowhere_else() {
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let both = file(&names(&["a.test", "b.test"]));
        assert!(
            both.starts_with("a.test-") && both.ends_with(".pem"),
            "{both}"
        );
        assert_eq!(both, file(&names(&["b.test", "a.test"])));
        assert_ne!(both, file(&names(&["a.test"])));
        let kept = Kept::new(Path::new("/state"), "https://../..//%2f");
        let folder = kept.folder.strip_prefix("/state/.acme").unwrap();
        assert_eq!(folder.components().count(), 1, "{}", folder.display());
        assert!(!folder.starts_with(".."));
    }

    #[test]
    fn what_is_in_the_way_of_an_order_is_known_before_it() {
        let state = std::env::temp_dir().join(format!("waypost-acme-{}", std::process::id()));
        let kept = Kept::new(&state, "https://a.test/directory");
        assert_eq!(kept.problem(), None);
        kept.keep_account(br#"{"id": "https://a.test/1"}"#).unwrap();
        assert_eq!(kept.problem(), None);
        for damaged in ["", "{", "[]", "{\"id\": 1}"] {
            kept.keep_account(damaged.as_bytes()).unwrap();
            let problem = kept.problem().unwrap();
            assert!(problem.contains("account.json is damaged"), "{problem}");
        }
        fs::remove_dir_all(&kept.folder).unwrap();
        fs::write(&kept.folder, "").unwrap();
        assert!(kept.problem().unwrap().contains("is no folder"));
        fs::remove_dir_all(&state).unwrap();
    }
}
