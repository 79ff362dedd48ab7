//! Pages that are open during an upgrade.

use super::Replaceable;
use crate::fixtures::{Client, Request, TestProxy, TestUpstream};

/// A page that gets news.
#[track_caller]
fn watching(proxy: &TestProxy) -> Client {
    let mut page = Client::connect(proxy.admin_address());
    page.send(
        Request::new("GET", "/page/events")
            .host("localhost")
            .bytes(),
    );
    assert_eq!(page.head().0, 200);
    page.wire.length(1).expect("news come");
    page
}

#[test]
fn an_open_page_is_let_go_and_gets_news_of_the_new_process() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder().host("*", &[upstream.address()]);
    let mut replaceable = Replaceable::start(builder);
    let mut page = watching(&replaceable.proxy);
    replaceable.upgrade();
    assert!(page.wire.until_close().is_ok(), "the old process ends it");
    watching(&replaceable.proxy);
}
