//! The sources of a configuration: a file, the environment, flags.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{self, Common, HostEntry, MAX_WORKERS};
use super::{Backend, ConfigError, ConfigErrors, backend, host, values};
use crate::document::{At, Findings, Place};
use crate::files;

/// Far more than any configuration needs; without a limit, a wrong file could fill the memory.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// The sources of a configuration. Flags override the environment, which overrides the file.
#[derive(Default, Clone)]
pub struct Sources {
    /// The file, if any.
    pub file: Option<FileSource>,
    /// From environment variables; see [`Overrides::from_environment`].
    pub environment: Overrides,
    /// From flags.
    pub flags: Overrides,
    /// `--strict`
    pub strict: bool,
}

impl Sources {
    /// The same with the file's text in memory.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn read(self) -> Result<Self, ConfigErrors> {
        let Some(file) = self.file else {
            return Ok(self);
        };
        let (name, text, base) = file.open()?;
        let name = name.to_string();
        Ok(Self {
            file: Some(FileSource::Text { name, text, base }),
            ..self
        })
    }
}

/// A configuration file.
#[derive(Clone)]
pub enum FileSource {
    /// A file to read. Paths in it are relative to its folder.
    Path(PathBuf),
    /// A text in memory.
    Text {
        /// Its name in error messages.
        name: String,
        /// The TOML text.
        text: String,
        /// The folder that paths in it are relative to.
        base: PathBuf,
    },
}

/// Values that override the file, as written. An empty text or list counts as not set.
#[derive(Default, Clone)]
pub struct Overrides {
    /// Addresses; each text may contain several, separated by commas.
    pub listen: Vec<String>,
    /// The address of a TLS listener with a certificate that is made in memory. Only a flag sets
    /// it.
    pub tls_self_signed: Option<String>,
    /// An address or "off".
    pub admin_listen: Option<String>,
    /// The token of the admin listener.
    pub admin_token: Option<String>,
    /// A number.
    pub workers: Option<String>,
    /// `NAME=ADDRESS,ADDRESS`; each text may contain several, separated by semicolons.
    pub hosts: Vec<String>,
}

/// The origin of an override, for error messages.
#[derive(Clone, Copy)]
pub(super) enum Layer {
    Environment,
    Flags,
}

impl Overrides {
    /// Reads `WAYPOST_LISTEN`, `WAYPOST_ADMIN_LISTEN`, `WAYPOST_ADMIN_TOKEN`, `WAYPOST_WORKERS` and
    /// `WAYPOST_HOSTS`. A variable that is empty counts as not set. `read` is [`std::env::var_os`]
    /// outside of tests.
    pub fn from_environment(read: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigErrors> {
        let mut findings = Findings::default();
        let mut variable = |name: &'static str| {
            let value = read(name)?.into_string();
            let value = value.map_err(|_| "is not UTF-8; set it to plain text".to_owned());
            findings
                .accept(&Place::Environment(name), value)
                .filter(|text| !text.trim().is_empty())
        };
        let overrides = Self {
            listen: variable("WAYPOST_LISTEN").into_iter().collect(),
            tls_self_signed: None,
            admin_listen: variable("WAYPOST_ADMIN_LISTEN"),
            admin_token: variable("WAYPOST_ADMIN_TOKEN"),
            workers: variable("WAYPOST_WORKERS"),
            hosts: variable("WAYPOST_HOSTS").into_iter().collect(),
        };
        findings.conclude().map(|_| overrides)
    }

    pub(super) fn read(&self, layer: Layer, findings: &mut Findings) -> Common {
        let listen = parts(&self.listen, ',')
            .filter_map(|text| {
                let place = layer.place("WAYPOST_LISTEN", "--listen");
                let address = findings.accept(&place, values::parse_listen(text))?;
                Some(At::new(address, place))
            })
            .collect::<Vec<_>>();
        let self_signed = self.tls_self_signed.as_deref().and_then(|text| {
            let place = Place::Flag("--tls-self-signed");
            let address = findings.accept(&place, values::parse_listen(text))?;
            Some(At::new(address, place))
        });
        let workers = self.workers.as_deref().and_then(|text| {
            let place = layer.place("WAYPOST_WORKERS", "--workers");
            let number = text
                .trim()
                .parse()
                .ok()
                .filter(|n| (1..=MAX_WORKERS).contains(n));
            let message =
                || format!("{text:?} is not a number of workers; write 1 to {MAX_WORKERS}");
            Some(At::new(
                findings.accept(&place, number.ok_or_else(message))?,
                place,
            ))
        });
        let admin_listen = self.admin_listen.as_deref().and_then(|text| {
            let place = layer.place("WAYPOST_ADMIN_LISTEN", "--admin-listen");
            Some(At::new(
                findings.accept(&place, file::admin_listen(text))?,
                place,
            ))
        });
        let token_place = layer.place("WAYPOST_ADMIN_TOKEN", "--admin-token");
        let admin_token = self
            .admin_token
            .clone()
            .map(|token| At::new(token, token_place));
        let place = layer.place("WAYPOST_HOSTS", "--host");
        let hosts = parts(&self.hosts, ';')
            .filter_map(|text| host_entry(text, &place, findings))
            .collect();
        let listen = (!listen.is_empty()).then_some(listen);
        Common {
            listen,
            self_signed,
            workers,
            admin_listen,
            admin_token,
            hosts,
            ..Common::default()
        }
    }
}

impl Layer {
    fn place(self, variable: &'static str, flag: &'static str) -> Place {
        match self {
            Self::Environment => Place::Environment(variable),
            Self::Flags => Place::Flag(flag),
        }
    }
}

impl FileSource {
    /// Its name in error messages, its text, and the folder that its paths are relative to.
    pub(super) fn open(self) -> Result<(Arc<str>, String, PathBuf), ConfigErrors> {
        match self {
            Self::Text { name, text, base } => Ok((name.into(), text, base)),
            Self::Path(path) => {
                let name: Arc<str> = path.display().to_string().into();
                let error = |message| {
                    let place = Place::File {
                        file: name.clone(),
                        line: 0,
                        column: 0,
                        key: String::new(),
                    };
                    ConfigError { place, message }
                };
                let bytes = read_bytes(&path);
                let bytes = bytes.map_err(|message| ConfigErrors::unreadable(error(message)))?;
                let text = text(bytes).map_err(error)?;
                let base = path.parent().map(Path::to_owned).unwrap_or_default();
                Ok((name, text, base))
            }
        }
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file; check the path given by --config or WAYPOST_CONFIG".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "permission denied; allow the user that runs waypost to read it".to_owned()
        }
        ErrorKind::IsADirectory => "is a directory; name the file in it".to_owned(),
        ErrorKind::FileTooLarge => {
            format!("is larger than {MAX_FILE_BYTES} bytes; is it a configuration file?")
        }
        _ => format!("can't be read: {error}"),
    };
    files::read_regular(path, MAX_FILE_BYTES).map_err(unreadable)
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        format!("is not UTF-8 on line {line}; save it as UTF-8 text")
    })
}

fn parts(texts: &[String], separator: char) -> impl Iterator<Item = &str> {
    texts
        .iter()
        .flat_map(move |t| t.split(separator))
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// `NAME=ADDRESS,ADDRESS`
fn host_entry(text: &str, place: &Place, findings: &mut Findings) -> Option<HostEntry> {
    let Some((name, addresses)) = text.split_once('=') else {
        let message = format!(
            "{text:?} has no `=`; write NAME=ADDRESS,ADDRESS, such as www.example.com=10.0.0.1:80"
        );
        findings.error(place, message);
        return None;
    };
    let pattern = findings.accept(place, host::parse_pattern(name.trim()));
    let addresses: Vec<_> = addresses
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    if addresses.is_empty() {
        findings.error(
            place,
            format!("{text:?} has no backend; write NAME=ADDRESS,ADDRESS"),
        );
    }
    let addresses = addresses
        .into_iter()
        .filter_map(|a| findings.accept(place, backend::read(a, false)));
    let backends = addresses.map(|a| Backend::at(a, None)).collect();
    Some(HostEntry {
        host: At::new(pattern?, place.clone()),
        backends,
    })
}
