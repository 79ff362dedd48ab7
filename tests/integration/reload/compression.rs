//! A reload that switches compression.

use super::{edit, editable, reload};
use crate::fixtures::{Request, TestProxy, TestUpstream, response};

fn coding(proxy: &TestProxy) -> Option<String> {
    let request = Request::new("GET", "/").host("a.test");
    let answer = proxy.ask(request.field("Accept-Encoding", "gzip, br").bytes());
    answer.value("content-encoding")
}

#[test]
fn what_is_compressed_changes_with_the_configuration() {
    let fields = [("Content-Type", "text/plain")];
    let upstream = TestUpstream::answering(response("200 OK", &fields, "a".repeat(2_000)));
    let proxy = editable(TestProxy::builder().tables(&format!(
        "[pools.all]\nbackends = \"{}\"\n[[routes]]\npool = \"all\"\ncompress = false",
        upstream.address()
    )));
    assert_eq!(coding(&proxy), None);
    edit(&proxy, |text| {
        text.replace("compress = false", "compress = \"br\"")
    });
    reload(&proxy);
    assert_eq!(coding(&proxy).as_deref(), Some("br"));
    edit(&proxy, |text| {
        text.replace("compress = \"br\"", "compress = { least = 5000 }")
    });
    reload(&proxy);
    assert_eq!(coding(&proxy), None);
}
