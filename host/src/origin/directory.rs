//! What is in the directory? Serves listings and files, read only, and nothing outside the
//! directory or that is not a file.
//!
//! The directory is held open and every path is resolved below it by the system (or by `cap-std`, a
//! step at a time), so neither `..` nor a link leads out, not even one that is made between a check
//! and a use.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use http::header::{ACCEPT, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use rustix::io::Errno;
use serde_json::json;

use super::answer::{Answer, Representation, date, insert, seconds, sentence, status};
use super::content::Source;
use super::{escape, page};

/// A listing is made in memory; a directory with more entries is shown in part, and says so.
const ENTRIES: usize = 10_000;

/// The path below which the directory is served.
pub(super) const MOUNT: &str = "/files/";

#[derive(Debug)]
pub(super) struct Directory {
    root: Dir,
}

#[derive(Debug)]
enum Found {
    File {
        file: std::fs::File,
        metadata: std::fs::Metadata,
    },
    Directory {
        entries: Vec<Entry>,
        truncated: bool,
    },
}

#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    directory: bool,
    size: u64,
    modified: u64,
}

impl Directory {
    /// Opens the directory; it may block.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(path, cap_std::ambient_authority()).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "the origin can't open the directory {}: {error}",
                    path.display()
                ),
            )
        })?;
        Ok(Self { root })
    }

    /// Answers a `GET` or `HEAD` for `path`, which is as the client wrote it, without the mount.
    pub(super) async fn answer(
        self: &Arc<Self>,
        request: &Parts,
        path: &str,
        name: &str,
    ) -> Answer {
        let wants_directory = path.is_empty() || path.ends_with('/');
        let Some(relative) = relative(path) else {
            return sentence(
                StatusCode::BAD_REQUEST,
                "The path does not name a file in this directory.",
            );
        };
        let directory = Arc::clone(self);
        let (media, look) = (media(&relative), move || directory.look(&relative));
        match tokio::task::spawn_blocking(look)
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok(Found::File { .. }) if wants_directory => missing(),
            Ok(Found::File { file, metadata }) => represent(file, &metadata, media).answer(request),
            Ok(Found::Directory { .. }) if !wants_directory => {
                let mut answer = status(StatusCode::PERMANENT_REDIRECT);
                insert(&mut answer, LOCATION, &format!("{MOUNT}{path}/"));
                answer
            }
            Ok(Found::Directory { entries, truncated }) => {
                list(request, path, name, &entries, truncated)
            }
            Err(error) => refuse(&error),
        }
    }

    fn look(&self, path: &Path) -> io::Result<Found> {
        // Looked at before it is opened: opening a device may do something.
        let seen = self.root.metadata(path)?;
        if seen.is_dir() {
            let (entries, truncated) = entries(&self.root.open_dir(path)?)?;
            return Ok(Found::Directory { entries, truncated });
        }
        if !seen.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let file = self.root.open_with(path, &options)?.into_std();
        let metadata = file.metadata()?;
        if metadata.is_file() {
            Ok(Found::File { file, metadata })
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }
}

/// The path that the client means, or nothing where it is not canonical: an empty, `.` or `..`
/// segment, an encoded slash, a NUL, a broken escape. None is normalised away, for a proxy in front
/// may have seen another path.
fn relative(path: &str) -> Option<PathBuf> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let mut relative = PathBuf::from(".");
    if trimmed.is_empty() {
        return path.is_empty().then_some(relative);
    }
    for segment in trimmed.split('/') {
        let bytes = escape::decoded(segment)?;
        if matches!(bytes.as_slice(), b"" | b"." | b"..")
            || bytes.contains(&b'/')
            || bytes.contains(&0)
        {
            return None;
        }
        relative.push(OsStr::from_bytes(&bytes));
    }
    Some(relative)
}

/// What can be served of `directory`: files and directories, also through links that stay within.
fn entries(directory: &Dir) -> io::Result<(Vec<Entry>, bool)> {
    let mut entries = Vec::new();
    let mut truncated = false;
    for entry in directory.entries()? {
        if entries.len() == ENTRIES {
            truncated = true;
            break;
        }
        let name = entry?.file_name();
        // Gone since, or a link that leads out or nowhere.
        let Ok(metadata) = directory.metadata(&name) else {
            continue;
        };
        if metadata.is_dir() || metadata.is_file() {
            let modified = metadata
                .modified()
                .map_or(0, |time| seconds(time.into_std()));
            let (name, directory) = (name.as_bytes().to_vec(), metadata.is_dir());
            entries.push(Entry {
                name,
                directory,
                size: metadata.len(),
                modified,
            });
        }
    }
    entries.sort_by(|one, other| {
        other
            .directory
            .cmp(&one.directory)
            .then_with(|| one.name.cmp(&other.name))
    });
    Ok((entries, truncated))
}

fn represent(
    file: std::fs::File,
    metadata: &std::fs::Metadata,
    media: &'static str,
) -> Representation {
    // The inode tells a file from one that was moved into its place with the same size and time.
    let (inode, length) = (metadata.ino(), metadata.len());
    let etag = format!(
        "\"{inode:x}-{length:x}-{:x}-{:x}\"",
        metadata.mtime(),
        metadata.mtime_nsec()
    );
    let modified = metadata
        .modified()
        .ok()
        .map(|time| seconds(time.min(std::time::SystemTime::now())));
    Representation {
        source: Source::File(tokio::fs::File::from_std(file)),
        length,
        media,
        etag,
        modified,
    }
}

fn list(request: &Parts, path: &str, name: &str, entries: &[Entry], truncated: bool) -> Answer {
    let accept = request
        .headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let asked = request
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "format=json"));
    let json = asked || (accept.contains("application/json") && !accept.contains("text/html"));
    let representation = if json {
        let content = listing_json(path, name, entries, truncated);
        Representation::memory(content, "application/json", None)
    } else {
        let content = listing_html(path, name, entries, truncated);
        Representation::memory(content, "text/html; charset=utf-8", None)
    };
    let mut answer = representation.answer(request);
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    answer
}

fn listing_json(path: &str, name: &str, entries: &[Entry], truncated: bool) -> String {
    let entry = |entry: &Entry| {
        json!({
            "name": String::from_utf8_lossy(&entry.name),
            "kind": if entry.directory { "directory" } else { "file" },
            "size": if entry.directory { None } else { Some(entry.size) },
            "modified": date(entry.modified),
            "href": format!("{MOUNT}{path}{}", href(entry)),
        })
    };
    let entries: Vec<_> = entries.iter().map(entry).collect();
    let path = format!("{MOUNT}{path}");
    format!(
        "{}\n",
        json!({ "origin": name, "path": path, "entries": entries, "truncated": truncated })
    )
}

fn listing_html(path: &str, name: &str, entries: &[Entry], truncated: bool) -> String {
    let mut rows = String::new();
    if !path.is_empty() {
        rows.push_str("<tr><td><a href=\"../\">../</a></td></tr>\n");
    }
    for entry in entries {
        let slash = if entry.directory { "/" } else { "" };
        let size = if entry.directory {
            String::new()
        } else {
            entry.size.to_string()
        };
        let shown = escape::html(&String::from_utf8_lossy(&entry.name));
        let (href, modified) = (href(entry), date(entry.modified));
        rows.push_str(&format!(
            "<tr><td><a \
             href=\"./{href}\">{shown}{slash}</a></td><td>{size}</td><td>{modified}</td></tr>\n"
        ));
    }
    if truncated {
        rows.push_str(&format!(
            "<tr><td>Only {ENTRIES} entries are shown; there are more.</td></tr>\n"
        ));
    }
    let decoded = escape::decoded(path).unwrap_or_default();
    let title = format!("{MOUNT}{}", String::from_utf8_lossy(&decoded));
    page::whole(&title, &format!("<table>\n{rows}</table>"), name)
}

/// A link to an entry, relative to its directory.
fn href(entry: &Entry) -> String {
    format!(
        "{}{}",
        escape::segment(&entry.name),
        if entry.directory { "/" } else { "" }
    )
}

fn refuse(error: &io::Error) -> Answer {
    match error.kind() {
        ErrorKind::PermissionDenied => sentence(
            StatusCode::FORBIDDEN,
            "The origin may not read this path, or the path leads out of the directory that it \
             serves.",
        ),
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing(),
        // A name that is too long for the file system and a circular link have no stable error
        // kind.
        _ if [Errno::NAMETOOLONG, Errno::LOOP]
            .map(|errno| Some(errno.raw_os_error()))
            .contains(&error.raw_os_error()) =>
        {
            missing()
        }
        _ => {
            tracing::warn!(%error, "the origin could not read its directory");
            sentence(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The origin could not read its directory.",
            )
        }
    }
}

fn missing() -> Answer {
    sentence(
        StatusCode::NOT_FOUND,
        "There is no such file in this directory; its listing shows what there is.",
    )
}

fn media(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .and_then(OsStr::to_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" | "md" | "log" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_paths_are_taken() {
        assert_eq!(relative("").unwrap(), Path::new("."));
        assert_eq!(relative("a%20b/c.txt").unwrap(), Path::new("./a b/c.txt"));
        assert_eq!(relative("a/").unwrap(), Path::new("./a"));
        for path in [
            "..", "../x", "a/../b", "%2e%2e/x", ".%2E", "a//b", "/", "/etc", "a%2Fb", "a%00", "%",
            "./a",
        ] {
            assert_eq!(relative(path), None, "{path}");
        }
    }
}
