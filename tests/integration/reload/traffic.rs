//! Where a route sends its requests, and how, after a reload.

use super::{edit, editable, reload};
use crate::fixtures::{Request, TestProxy, TestUpstream};

#[test]
fn pools_mirror_time_outs_and_limit_of_a_route_follow_the_file() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let proxy = editable(TestProxy::builder().tables(&format!(
        "[pools.a]\nbackends = \"{}\"\n[pools.b]\nbackends = \"{}\"\n\
         [[routes]]\npolicies = []\npools = [\"a\", {{ pool = \"b\", weight = 0 }}]",
        a.address(),
        b.address()
    )));
    for _ in 0..10 {
        assert_eq!(proxy.get("a.test", "/").text(), "a");
    }
    edit(&proxy, |text| {
        let pools = "pools = [{ pool = \"a\", weight = 0 }, \"b\"]";
        text.replace(
            "pools = [\"a\", { pool = \"b\", weight = 0 }]",
            &format!("{pools}\nmirror = \"a\"\nbody-bytes = 3\ntimeouts = {{ send = \"9s\" }}"),
        )
    });
    assert_eq!(
        reload(&proxy)["routes"]["changed"],
        serde_json::json!(["*/"])
    );
    for _ in 0..10 {
        assert_eq!(proxy.get("a.test", "/").text(), "b");
    }
    proxy.wait_for_stat("/pools/a/mirror/sent", 10);
    let long = Request::new("POST", "/").host("a.test").body("1234");
    proxy.ask(long.bytes()).assert_refusal(413);
}
