//! What `docs/` says is what is so.

mod admin_api;
mod cookbook;
mod examples;
mod links;
#[cfg(feature = "acme")]
mod metrics;
mod reference;

use crate::fixtures::repository;

/// Fails if the page is not this; writes it if asked to.
fn compare(name: &str, page: &str) {
    let path = repository().join("docs").join(name);
    if std::env::var_os("WAYPOST_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page
        .lines()
        .zip(written.lines())
        .position(|(a, b)| a != b)
        .map(|line| line + 1);
    assert!(
        page == written,
        "docs/{name}, line {differs:?}, is not what it is made from; write it anew with WAYPOST_WRITE_DOCS=1 cargo test docs::"
    );
}
