//! Names in the statistics.

use super::pages::exposition;
use super::*;

#[test]
fn names_are_in_every_form_of_the_statistics() {
    let stats = Stats::new(1);
    let now = std::time::SystemTime::now();
    let name = NameStatus {
        name: "a.test".to_owned(),
        kind: "host",
        state: "stale",
        stale_since: Some(now),
        records: (0..9).map(|n| format!("10.0.0.{n}")).collect(),
        ttl: Some(Duration::from_millis(1_500)),
        answered: Some(now),
        next_lookup: Some(now),
        lookups: 5,
        failures: 2,
        last_error: Some("<no> answer".to_owned()),
    };
    let view = StatsView {
        stats: &stats,
        policies: &[],
        certificates: &[],
        names: &[name],
        reload: &status_of_reloads(),
        pools: &[],
    };
    let (_, page) = stats_page(&view, Some(b"text/html"));
    let page = String::from_utf8(page).unwrap();
    assert!(
        page.contains("&lt;no&gt; answer") && page.contains("and 1 more"),
        "{page}"
    );
    let (_, json) = stats_page(&view, None);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["names"][0]["ttl_seconds"], 1.5);
    let (_, text) = metrics_page(&view, true, None);
    let (_, samples) = exposition(&String::from_utf8(text).unwrap());
    assert_eq!(
        samples[r#"waypost_dns_stale{name="a.test",kind="host"}"#],
        1.0
    );
}
