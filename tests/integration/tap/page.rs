//! Sampled requests on the page.

use super::choosing;
use crate::fixtures::{Client, Request, TestUpstream, eventually};

#[test]
fn the_page_shows_why_while_one_gets_news() {
    let upstreams = ["a", "b"].map(TestUpstream::named);
    let addresses = upstreams.each_ref().map(TestUpstream::address);
    let proxy = choosing(&addresses).start();
    let page = || {
        let request = Request::new("GET", "/").field("Accept", "text/html");
        proxy.admin(request).text()
    };
    assert!(page().contains("while a page with its script is open"));
    let mut client = Client::connect(proxy.admin_address());
    client.send(
        Request::new("GET", "/page/events")
            .host("localhost")
            .bytes(),
    );
    assert_eq!(client.head().0, 200);
    let mut asked = 0;
    let shown = eventually("a request is shown", || {
        asked += 1;
        proxy.get("a.test", &format!("/<b>{asked}"));
        Some(page()).filter(|page| page.contains("<summary>Why</summary>"))
    });
    assert!(shown.contains("policy choice chose"), "{shown}");
    assert!(
        shown.contains("/&lt;b&gt;") || shown.contains("/%3Cb%3E"),
        "{shown}"
    );
    assert!(shown.contains(&addresses[1].to_string()));
    drop(client);
    let before = eventually("sampling ends", || {
        let before = proxy.stat("/tap/made");
        proxy.get("a.test", "/later");
        let requests = proxy.stat("/requests/total");
        proxy.wait_for_stat("/requests/by_status/200", requests);
        (proxy.stat("/tap/made") == before).then_some(before)
    });
    assert!(before > 0);
    assert!(
        page().contains("<summary>Why</summary>"),
        "the last ones stay"
    );
}
