//! Backends, pools and policies that come and go for ever.

use super::{edit, editable, post};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually};

/// New addresses of each reload.
const NEW: u16 = 100;

/// Another pool with a hundred backends that there never were, and another policy.
fn turn(proxy: &TestProxy, at: u16) {
    let address = |n: u16| {
        format!(
            "\"127.9.{}.{}:9\"",
            (at * NEW + n) >> 8,
            (at * NEW + n) & 255
        )
    };
    let all = (0..NEW).map(address).collect::<Vec<_>>().join(",");
    edit(proxy, |text| {
        let stays = text.split("# from here").next().unwrap();
        format!(
            "{stays}# from here\n[pools.of{at}]\nmax-connections = 9\nbackends = [{all}]\n\
             [policies.by{at}]\nbuiltin = \"random\"\n[[routes]]\nhost = \"gone.test\"\n\
             pool = \"of{at}\"\npolicies = [\"by{at}\"]"
        )
    });
    // The watcher may have been there first.
    assert_eq!(post(proxy, "/reload").status, 200);
}

fn length(proxy: &TestProxy) -> usize {
    proxy.admin(Request::new("GET", "/metrics")).body.len()
}

/// The sum of a count over all rows of a section of the statistics.
fn sum(proxy: &TestProxy, section: &str, key: &str) -> u64 {
    let stats = proxy.stats();
    let rows = stats[section].as_object().unwrap().values();
    rows.map(|row| row[key].as_u64().unwrap()).sum()
}

#[test]
fn what_left_is_forgotten_and_its_sums_stay() {
    let upstream = TestUpstream::named("one");
    let builder = TestProxy::builder()
        .tables(&format!(
            "[pools.stays]\nbackends = [\"{}\"]\n[[routes]]\nhost = \"a.test\"\npool = \"stays\"\n\
             policies = [\"random\"]\n# from here\n",
            upstream.address()
        ))
        .access_log("requests = \"none\"");
    let proxy = editable(builder);
    let ask = |host| proxy.get(host, "/").status;
    let calls = || sum(&proxy, "policies", "calls");
    let failures = || sum(&proxy, "backends", "failures");
    for at in 0..30 {
        turn(&proxy, at);
        assert_eq!((ask("a.test"), ask("gone.test")), (200, 502));
    }
    let (before, memory) = (length(&proxy), proxy.resident_kib());
    let (called, failed) = (calls(), failures());
    assert!(called >= 60 && failed >= 30, "{called} {failed}");
    for at in 30..150 {
        turn(&proxy, at);
    }
    eventually("as much is held as before", || {
        let now = (length(&proxy), proxy.resident_kib());
        let is_bounded = now.0 <= before + before / 10 && now.1 <= memory + memory / 10 + 4_096;
        is_bounded.then_some(())
    });
    assert_eq!((calls(), failures()), (called, failed), "no total falls");
    let forgotten = proxy.stat("/backends/(forgotten)/failures");
    assert!(forgotten > 0, "most of them are forgotten");
    assert!(proxy.stat("/policies/(forgotten)/calls") > 0);
}
