//! Which content does a request mean?

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_DISPOSITION, EXPECT, LOCATION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::answer::{Answer, Representation, insert, not_allowed, sentence, status};
use super::content::{Content, Source, TEXT};
use super::directory::{Directory, MOUNT};
use super::page::Page;
use super::{escape, picture, user};

const X_ORIGIN: HeaderName = HeaderName::from_static("x-origin");
/// When the pages were last written, in seconds since 1970: the same on every origin, so that a
/// client may ask another one whether its copy is still good. 21 November 2026.
const WRITTEN: u64 = 1_795_219_200;
/// How much of an unwanted body is read, in bytes and time: a client that is still sending when the
/// connection is closed may never see the answer.
const UNWANTED: u64 = 8 * 1024 * 1024;
const UNWANTED_FOR: Duration = Duration::from_secs(5);

/// One origin: its name, its directory, and how many users it made.
#[derive(Debug)]
pub(super) struct Site {
    name: String,
    header: HeaderValue,
    portrait: Bytes,
    directory: Option<Arc<Directory>>,
    users: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Resource<'path> {
    Page(Page),
    ImageUserOne,
    ImageUserTwo,
    BigFile,
    /// The directory without the slash that its relative links need.
    Mount,
    Files(&'path str),
}

impl Site {
    pub(super) async fn open(name: String, dir: Option<PathBuf>) -> io::Result<Self> {
        let header = HeaderValue::from_str(&name)
            .ok()
            .filter(|header| header.to_str().is_ok())
            .ok_or_else(|| {
                let told = format!(
                    "the origin's name {name:?} can't be sent in a header; use visible ASCII"
                );
                io::Error::new(io::ErrorKind::InvalidInput, told)
            })?;
        let directory = match dir {
            Some(dir) => Some(Arc::new(
                tokio::task::spawn_blocking(move || Directory::open(&dir))
                    .await
                    .map_err(io::Error::other)??,
            )),
            None => None,
        };
        let portrait = Bytes::from(picture::user_one());
        Ok(Self {
            name,
            header,
            portrait,
            directory,
            users: AtomicU64::new(0),
        })
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let mut answer = self.route(&parts, body).await;
        answer.headers_mut().insert(X_ORIGIN, self.header.clone());
        if parts.method == Method::HEAD {
            // The length that a GET would have is already in the head.
            *answer.body_mut() = Content::empty();
        }
        answer
    }

    async fn route(&self, request: &Parts, mut body: Incoming) -> Answer {
        let resource = Resource::at(request.uri.path());
        if request.method == Method::POST
            && matches!(resource, Some(Resource::Page(Page::CreateUser)))
        {
            let id = || self.users.fetch_add(1, Ordering::Relaxed) + 1;
            let answer = user::create(&mut body, &self.name, id).await;
            if answer.headers().contains_key(CONNECTION) && !request.headers.contains_key(EXPECT) {
                discard(body).await;
            }
            return answer;
        }
        // A client that waits for "100 Continue" should get its answer at once.
        let finished =
            body.is_end_stream() || (!request.headers.contains_key(EXPECT) && discard(body).await);
        let mut answer = match resource {
            Some(resource) if request.method == Method::GET || request.method == Method::HEAD => {
                self.represent(request, resource).await
            }
            Some(Resource::Page(Page::CreateUser)) => {
                not_allowed(&request.method, "GET, HEAD, POST")
            }
            Some(_) => not_allowed(&request.method, "GET, HEAD"),
            None => sentence(
                StatusCode::NOT_FOUND,
                "There is no such page; / lists all pages.",
            ),
        };
        if !finished {
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    async fn represent(&self, request: &Parts, resource: Resource<'_>) -> Answer {
        let written = Some(WRITTEN);
        let representation = match (resource, &self.directory) {
            (Resource::Page(page), directory) => {
                let html = page.html(&self.name, directory.is_some());
                Representation::memory(html, "text/html; charset=utf-8", written)
            }
            (Resource::ImageUserOne, _) => {
                Representation::memory(self.portrait.clone(), "image/png", written)
            }
            (Resource::ImageUserTwo, _) => {
                Representation::memory(picture::USER_TWO, "image/svg+xml", written)
            }
            (Resource::BigFile, _) => {
                let (etag, media) = (format!("\"bigfile-{TEXT:x}\""), "text/plain; charset=utf-8");
                Representation {
                    source: Source::Text,
                    length: TEXT,
                    media,
                    etag,
                    modified: written,
                }
            }
            (Resource::Mount, Some(_)) => {
                let mut answer = status(StatusCode::PERMANENT_REDIRECT);
                insert(&mut answer, LOCATION, MOUNT);
                return answer;
            }
            (Resource::Files(path), Some(directory)) => {
                return directory.answer(request, path, &self.name).await;
            }
            (Resource::Mount | Resource::Files(_), None) => {
                return sentence(
                    StatusCode::NOT_FOUND,
                    "This origin serves no directory; start it with --dir.",
                );
            }
        };
        let mut answer = representation.answer(request);
        if let (Resource::BigFile, true) = (resource, answer.status().is_success()) {
            insert(
                &mut answer,
                CONTENT_DISPOSITION,
                "inline; filename=\"bigfile.txt\"",
            );
        }
        answer
    }
}

impl<'path> Resource<'path> {
    /// The item that a path names; both `/page_one` and `/page%5Fone` are page one.
    fn at(path: &'path str) -> Option<Self> {
        if let Some(below) = path.strip_prefix(MOUNT) {
            return Some(Self::Files(below));
        }
        Some(match escape::decoded(path)?.as_slice() {
            b"/" => Self::Page(Page::Index),
            b"/page_one" => Self::Page(Page::One),
            b"/page_two" => Self::Page(Page::Two),
            b"/page_three" => Self::Page(Page::Three),
            b"/page_four" => Self::Page(Page::Four),
            b"/createUser" => Self::Page(Page::CreateUser),
            b"/image_user_one" => Self::ImageUserOne,
            b"/image_user_two" => Self::ImageUserTwo,
            b"/bigfile" => Self::BigFile,
            b"/files" => Self::Mount,
            _ => return None,
        })
    }
}

/// Reads a body and discards it. Returns whether it was complete.
async fn discard(mut body: Incoming) -> bool {
    let read = async {
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            length += frame.data_ref().map_or(0, |data| data.len() as u64);
            if length > UNWANTED {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(UNWANTED_FOR, read)
        .await
        .unwrap_or(false)
}
