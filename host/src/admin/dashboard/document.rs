//! The frame of a page: what a browser loads, and what it may.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::parts::{Shown, Tone, state};
use super::sections::SECTIONS;
use crate::admin::reply::{self, Reply};
use crate::admin::results::Outcome;

const CSS: &str = include_str!("dashboard.css");
const SCRIPT: &str = include_str!("dashboard.js");

/// Nothing but this style, this script, this origin's events, and forms to this origin. The empty
/// icon is a `data:` URL, so that no browser asks for one.
static MAY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(CSS),
        hash(SCRIPT)
    )
});

/// A page as an answer.
pub(super) fn answer(status: StatusCode, page: Markup) -> Reply {
    let mut reply = reply::body(
        status,
        "text/html; charset=utf-8",
        page.into_string().into(),
    );
    let headers = reply.headers_mut();
    if let Ok(may) = HeaderValue::from_str(&MAY) {
        headers.insert(CONTENT_SECURITY_POLICY, may);
    }
    // With `no-referrer` a browser sends `Origin: null` with the page's own forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    reply
}

/// The page. `logout` if there is something to log out of.
pub(super) fn page(shown: &Shown<'_>, outcome: Option<&Outcome>, logout: bool) -> Markup {
    let version = env!("CARGO_PKG_VERSION");
    let body = html! {
        a.skip href="#overview" { "Skip to the overview" }
        header {
            h1 { "Waypost " (version) }
            p #live role="status" { "Reload for newer numbers." }
            nav aria-label="Sections" {
                @for (id, title, _) in SECTIONS { a href=(format!("#{id}")) { (title) } " " }
            }
            form.find method="get" action="/" role="search" {
                label for="find" { "Show only " }
                input #find name="find" type="search" maxlength="100" value=(shown.view.find)
                    placeholder="name, address, label=value, state";
                button type="submit" { "Filter" }
                @if !shown.view.find.is_empty() { " " a href="/" { "Show all" } }
            }
            @if logout {
                form method="post" action="/page/logout" {
                    input type="hidden" name="csrf" value=(shown.csrf);
                    button type="submit" { "Log out" }
                }
            }
        }
        @if let Some(outcome) = outcome {
            div.result role="status" {
                (state(if outcome.done { Tone::Good } else { Tone::Bad }, &outcome.sentence))
            }
        }
        main {
            @for (id, title, section) in SECTIONS {
                section aria-labelledby=(format!("{id}-title")) {
                    h2 #(format!("{id}-title")) { (title) }
                    div #(id) { (section(shown)) }
                }
            }
        }
        footer {
            "As data: " a href="/stats" { "statistics" } ", " a href="/metrics" { "metrics" } ", "
            a href="/policies" { "policies" } ", " a href="/pools" { "pools" } ", "
            a href="/config" { "configuration" }
        }
    };
    frame("Waypost", &body, true)
}

/// The page on which a token is asked for.
pub(super) fn login(wrong: Option<&str>) -> Markup {
    let body = html! {
        main.login {
            h1 { "Waypost" }
            form method="post" action="/page/login" {
                label for="token" { "Admin token" }
                input #token name="token" type="password" autocomplete="current-password"
                    required autofocus;
                button type="submit" { "Log in" }
            }
            @if let Some(wrong) = wrong { p role="alert" { (state(Tone::Bad, wrong)) } }
        }
    };
    frame("Waypost: log in", &body, false)
}

fn frame(title: &str, body: &Markup, script: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                (body)
                @if script { script { (PreEscaped(SCRIPT)) } }
            }
        }
    }
}
