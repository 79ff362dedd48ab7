//! `compress` of a route: which responses are compressed on their way, and how.

use std::fmt;

use crate::document::{Findings, Node, Place};
use crate::message::syntax;

/// A content coding that the proxy writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878
    Zstd,
    /// RFC 7932
    Br,
    /// RFC 1952
    Gzip,
}

/// Which responses of a route are compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// `encodings`, the preferred one first, with `level` of each. Default: zstd, br, gzip.
    pub encodings: Vec<(Coding, u32)>,
    /// `types`: what is worth it.
    pub types: Vec<MediaTypes>,
    /// `least`: shorter responses stay as they are. Default 1 KiB.
    pub least: u64,
}

/// Media types: one, or all that begin and end in some way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaTypes {
    /// `application/json`
    One(String),
    /// `text/*`, `application/*+json`: what stands before and behind the star.
    Many(String, String),
}

const LEAST: u64 = 1024;
/// A length above which hardly a response is.
const MOST: u64 = 1 << 30;

/// What is text, or compresses as well. Pictures, films, archives and WOFF are compressed already.
const TYPES: [&str; 19] = [
    "text/*",
    "application/*+json",
    "application/*+xml",
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/ndjson",
    "application/x-ndjson",
    "application/rtf",
    "application/toml",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xml",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
];

impl Coding {
    /// All of them, the preferred one first: zstd takes the least time for its size.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    fn default_level(self) -> u32 {
        match self {
            Self::Zstd => 3,
            Self::Br | Self::Gzip => 4,
        }
    }

    /// Beyond, a response takes 8 to 32 MiB (br), or a worker for too long at a time.
    fn most_level(self) -> u32 {
        match self {
            Self::Br => 6,
            Self::Zstd | Self::Gzip => 9,
        }
    }
}

impl MediaTypes {
    fn has(&self, kind: &[u8]) -> bool {
        match self {
            Self::One(name) => kind.eq_ignore_ascii_case(name.as_bytes()),
            Self::Many(before, behind) => {
                let Some((begin, rest)) = kind.split_at_checked(before.len()) else {
                    return false;
                };
                let end = rest.len().checked_sub(behind.len()).map(|at| &rest[at..]);
                begin.eq_ignore_ascii_case(before.as_bytes())
                    && end.is_some_and(|end| end.eq_ignore_ascii_case(behind.as_bytes()))
            }
        }
    }
}

impl Compression {
    /// Whether a response with this `Content-Type` is worth it. Messages of gRPC never are: they
    /// have a compression of their own.
    pub fn takes(&self, content_type: &[u8]) -> bool {
        let kind = content_type.split(|b| *b == b';').next();
        let kind = syntax::trim(kind.unwrap_or_default());
        let grpc = kind
            .get(..16)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/grpc"));
        !grpc && self.types.iter().any(|types| types.has(kind))
    }

    fn of(codings: &[Coding]) -> Self {
        let types = TYPES.iter().filter_map(|written| media_types(written).ok());
        Self {
            encodings: codings.iter().map(|c| (*c, c.default_level())).collect(),
            types: types.collect(),
            least: LEAST,
        }
    }
}

impl fmt::Display for Compression {
    /// Where a route is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.encodings.iter().map(|(coding, _)| coding.name());
        f.write_str(&names.collect::<Vec<_>>().join(" "))
    }
}

/// Reads `compress`; `None` if nothing is to be compressed.
pub(super) fn read(node: Node, findings: &mut Findings) -> Option<Compression> {
    let place = node.place.clone();
    let read = if node.is_boolean() {
        let all = Compression::of(&Coding::ALL);
        node.boolean(findings)?.then_some(all)
    } else if node.is_table() {
        Some(table(node, findings)?)
    } else {
        Some(Compression::of(&codings(node, findings)))
    };
    if read.is_some() && cfg!(not(feature = "compress")) {
        let message = "can't be done by this build: it is without the feature `compress`; remove \
                       the key, or build with that feature";
        findings.error(&place, message);
    }
    read
}

fn table(node: Node, findings: &mut Findings) -> Option<Compression> {
    let mut section = node.section(findings)?;
    let codings = section.take("encodings").map(|n| codings(n, findings));
    let mut read = Compression::of(codings.as_deref().unwrap_or(&Coding::ALL));
    if let Some(node) = section.take("types") {
        if node.is_empty() {
            let message = "is empty; write at least one media type, or remove the key";
            findings.error(&node.place, message);
        }
        let types = node.one_or_many().into_iter();
        let types = types.filter_map(|n| n.parsed(findings, media_types));
        read.types = types.map(|types| types.value).collect();
    }
    let least = section.take("least");
    let least = least.and_then(|n| n.size(findings, 0..=MOST));
    read.least = least.map_or(LEAST, |least| least.value);
    if let Some(node) = section.take("level") {
        levels(node, &mut read.encodings, findings);
    }
    section.finish(findings);
    Some(read)
}

fn codings(node: Node, findings: &mut Findings) -> Vec<Coding> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        let message = "is empty; write one of \"zstd\", \"br\" and \"gzip\" at least, or \
                       `compress = false`";
        findings.error(&place, message);
    }
    let mut codings = Vec::new();
    for node in nodes {
        let Some(coding) = node.parsed(findings, coding) else {
            continue;
        };
        if codings.contains(&coding.value) {
            let message = format!("{:?} is listed twice; remove one", coding.value.name());
            findings.error(&coding.place, message);
            continue;
        }
        codings.push(coding.value);
    }
    codings
}

fn coding(written: &str) -> Result<Coding, String> {
    let found = Coding::ALL
        .into_iter()
        .find(|known| known.name() == written);
    found.ok_or_else(|| format!("{written:?} is none of \"zstd\", \"br\" and \"gzip\""))
}

/// One type, or all that are alike but for a part of the subtype.
fn media_types(written: &str) -> Result<MediaTypes, String> {
    let parts = written.split_once('/');
    let is_part = |part: &str| syntax::is_token(part.as_bytes());
    let Some((kind, subtype)) = parts.filter(|(kind, sub)| is_part(kind) && is_part(sub)) else {
        return Err(format!(
            "{written:?} is not a media type; write for example \"text/html\", \"text/*\" or \
             \"application/*+json\", without parameters"
        ));
    };
    if kind.contains('*') || subtype.matches('*').count() > 1 {
        return Err(format!(
            "{written:?} would have pictures and archives compressed a second time; name the \
             types, as in \"text/*\""
        ));
    }
    if kind.eq_ignore_ascii_case("application") && subtype.starts_with("grpc") {
        return Err(format!(
            "{written:?} has no effect: messages of gRPC are never compressed on the way; remove it"
        ));
    }
    let written = written.to_ascii_lowercase();
    Ok(match written.split_once('*') {
        None => MediaTypes::One(written),
        Some((before, behind)) => MediaTypes::Many(before.to_owned(), behind.to_owned()),
    })
}

/// One level for all, or one for some.
fn levels(node: Node, encodings: &mut [(Coding, u32)], findings: &mut Findings) {
    if !node.is_table() {
        let most = encodings.iter().map(|(coding, _)| coding.most_level());
        let most = most.min().unwrap_or(1);
        let level = node.integer(findings, 1..=most);
        if let Some(level) = level {
            encodings.iter_mut().for_each(|of| of.1 = level.value);
        }
        return;
    }
    let Some(mut section) = node.section(findings) else {
        return;
    };
    for coding in Coding::ALL {
        let Some(node) = section.take(coding.name()) else {
            continue;
        };
        let place = node.place.clone();
        let level = node.integer(findings, 1..=coding.most_level());
        match encodings.iter_mut().find(|(known, _)| *known == coding) {
            Some(of) => of.1 = level.map_or(of.1, |level| level.value),
            None => unused(&place, coding, findings),
        }
    }
    section.finish(findings);
}

fn unused(place: &Place, coding: Coding, findings: &mut Findings) {
    let message = format!(
        "has no effect: {:?} is not among `encodings`; add it there, or remove the level",
        coding.name()
    );
    findings.error(place, message);
}
