use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;

#[tokio::test]
async fn stats_are_the_sums_of_all_workers() {
    let admin = TestAdmin::start(None).await;
    let answer = admin.get("/stats").await;
    assert_eq!(answer.status, 200);
    let stats = answer.json();
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
    assert!(stats["uptime_seconds"].is_u64());
    let bytes =
        json!({ "from_clients": 300, "to_clients": 6_000, "from_backends": 90, "to_backends": 12 });
    assert_eq!(stats["bytes"], bytes);
    let requests = &stats["requests"];
    assert_eq!(
        (&requests["total"], &requests["active"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(requests["by_status"], json!({ "200": 3, "504": 2 }));
    assert_eq!(requests["latency"]["mean_microseconds"], 1_500);
    assert!(requests["latency"]["p99_microseconds"].as_u64().unwrap() >= 2_000);
    assert_eq!(stats["connections"]["accepted"], 3);
    assert_eq!(stats["retries"], 3);
    assert_eq!(stats["workers"].as_array().unwrap().len(), 2);
    assert_eq!(stats["workers"][1]["requests"], 2);
}

#[tokio::test]
async fn stats_show_each_backend() {
    let admin = TestAdmin::start(None).await;
    let stats = admin.get("/stats").await.json();
    let one = &stats["backends"]["127.0.0.1:81"];
    assert_eq!(
        (&one["requests"], &one["in_flight"], &one["healthy"]),
        (&json!(3), &json!(3), &json!(true))
    );
    assert_eq!(one["consecutive_failures"], 2);
    assert_eq!(one["latency"]["ewma_microseconds"], 150);
    assert_eq!(one["latency"]["mean_microseconds"], 100);
    let two = &stats["backends"]["127.0.0.1:82"];
    assert_eq!(
        (&two["healthy"], &two["state"], &two["state_seconds"]),
        (&json!(false), &json!("ejected"), &json!(5))
    );
    assert_eq!(two["reason"], "3 failures <in> a row");
    assert_eq!(two["latency"]["ewma_microseconds"], 0);
}

#[tokio::test]
async fn stats_show_each_policy() {
    let admin = TestAdmin::start(None).await;
    let stats = admin.get("/stats").await.json();
    let policy = &stats["policies"]["spread"];
    assert_eq!(
        (&policy["generation"], &policy["digest"]),
        (&json!(7), &json!("ab12"))
    );
    assert_eq!(
        (&policy["calls"], &policy["calls_by_hook"]),
        (&json!(3), &json!({ "selection": 3 }))
    );
    assert_eq!(policy["call_time"]["mean_nanoseconds"], 600);
    assert_eq!(
        policy["call_time"],
        policy["call_time_by_hook"]["selection"]
    );
    assert_eq!(policy["traps"], 6);
    assert_eq!(
        policy["memory"],
        json!({ "now_bytes": 6_000, "peak_instance_bytes": 15_000 })
    );
    assert_eq!(policy["counters"], json!({ "hits": 6, "<b>": 0 }));
    assert_eq!(policy["deadline_microseconds"], 1_000);
    assert_eq!(policy["loaded_at"], "2001-09-09T01:46:40Z");
    assert_eq!(
        stats["policies"]["my policy"]["calls"], 0,
        "a policy without calls is shown"
    );
    assert_eq!(
        stats["policies"]["<i>gone"]["deadlines"], 1,
        "the counts outlive the policy"
    );
    assert_eq!(stats["policies"]["<i>gone"].get("generation"), None);
}

#[tokio::test]
async fn a_browser_gets_a_page_without_foreign_markup() {
    let admin = TestAdmin::start(None).await;
    admin.control.policies.lock().unwrap()[0].last_error =
        Some("no <img src=x onerror=alert(1)>".to_owned());
    let accept = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let answer = admin.ask("GET", "/stats", accept, b"").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .head
            .contains("content-type: text/html; charset=utf-8"),
        "{}",
        answer.head
    );
    assert!(answer.head.contains("vary: accept"), "{}", answer.head);
    let page = &answer.body;
    for escaped in [
        "&lt;img",
        "&lt;i&gt;gone",
        "&lt;b&gt;",
        "built-in &lt;random&gt;",
    ] {
        assert!(page.contains(escaped), "{escaped} in {page}");
    }
    for shown in [
        "127.0.0.1:81",
        "ejected</span> for 5s: 3 failures &lt;in&gt; a row",
        "spread",
        "generation 7",
        "5.9 KiB",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let known = "!doctype html head meta title style body h1 h2 h3 p dl div dt dd \
        table thead tbody tr th td span";
    let known: BTreeSet<&str> = known.split(' ').collect();
    for tag in page.split('<').skip(1) {
        let name = tag
            .trim_start_matches('/')
            .split([' ', '>'])
            .next()
            .unwrap();
        assert!(known.contains(name), "<{name}> in {page}");
    }
    let opened =
        page.matches("<td>").count() + page.matches("<tr>").count() + page.matches("<div").count();
    let closed = page.matches("</td>").count()
        + page.matches("</tr>").count()
        + page.matches("</div>").count();
    assert_eq!(opened, closed);
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "nothing is loaded from elsewhere"
    );
}

#[tokio::test]
async fn several_accept_fields_are_one_list() {
    let admin = TestAdmin::start(None).await;
    let answer = admin
        .ask(
            "GET",
            "/stats",
            "accept: application/json;q=0.1\r\naccept: text/html\r\n",
            b"",
        )
        .await;
    assert!(
        answer.body.starts_with("<!doctype html>"),
        "{}",
        answer.body
    );
    let answer = admin
        .ask(
            "GET",
            "/stats",
            "accept: text/html;q=0.1\r\naccept: application/json\r\n",
            b"",
        )
        .await;
    answer.json();
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let admin = TestAdmin::start(None).await;
    let answer = admin.ask("HEAD", "/policies", "", b"").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert!(answer.head.contains("content-length: "), "{}", answer.head);
}

/// Families by name, samples by name and labels; panics on any line that is neither.
pub(super) fn exposition(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut families, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines().filter(|l| *l != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name, rest) = (
                words.next().unwrap(),
                words.next().unwrap(),
                words.next().unwrap(),
            );
            match kind {
                "TYPE" => assert!(
                    families.insert(name.to_owned(), rest.to_owned()).is_none(),
                    "two of {name}"
                ),
                "HELP" => assert!(rest.ends_with('.'), "{line}"),
                "UNIT" => assert!(name.ends_with(rest), "{line}"),
                other => panic!("{other} in {line}"),
            }
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let named = ["waypost_", "process_"]
                .iter()
                .any(|p| series.starts_with(p));
            assert!(named, "{line}");
            assert!(
                samples
                    .insert(series.to_owned(), value.parse().unwrap())
                    .is_none(),
                "two of {series}"
            );
        }
    }
    (families, samples)
}

#[tokio::test]
async fn metrics_in_the_plain_text_format() {
    let admin = TestAdmin::start(None).await;
    let answer = admin.get("/metrics").await;
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    let (families, samples) = exposition(&answer.body);
    assert_eq!(families["waypost_requests_total"], "counter");
    assert_eq!(families["waypost_build_info"], "gauge");
    assert_eq!(
        families["waypost_policy_hook_duration_seconds"],
        "histogram"
    );
    assert!(!answer.body.contains("# UNIT") && !answer.body.contains("# EOF"));
    for series in samples.keys() {
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|s| name.strip_suffix(s))
            .unwrap_or(name);
        assert!(
            families.contains_key(base) || families.contains_key(name),
            "{series} has no TYPE"
        );
    }
    assert_eq!(samples[r#"waypost_requests_total{status="200"}"#], 3.0);
    assert_eq!(
        samples[r#"waypost_backend_in_flight{backend="127.0.0.1:81"}"#],
        3.0
    );
    let states: Vec<_> = samples
        .keys()
        .filter(|series| series.starts_with("waypost_backend_state{"))
        .collect();
    assert_eq!(
        states,
        [
            r#"waypost_backend_state{backend="127.0.0.1:81",state="failing"}"#,
            r#"waypost_backend_state{backend="127.0.0.1:82",state="ejected"}"#,
        ]
    );
    let of_idle = |series: &&String| {
        series.starts_with("waypost_backend_") && series.contains("127.0.0.1:82")
    };
    let idle: Vec<_> = samples.keys().filter(of_idle).collect();
    assert_eq!(idle.len(), 1, "only its state: {idle:?}");
    assert_eq!(
        samples[r#"waypost_traffic_bytes_total{direction="to_clients"}"#],
        6_000.0
    );
    assert_eq!(
        samples[r#"waypost_policy_counts_total{policy="spread",counter="hits"}"#],
        6.0
    );
    assert_eq!(samples["waypost_connections_accepted_total"], 3.0);
}

#[tokio::test]
async fn metrics_in_the_open_metrics_format_for_prometheus() {
    let admin = TestAdmin::start(None).await;
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.5,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1\r\n";
    let answer = admin.ask("GET", "/metrics", accept, b"").await;
    assert!(
        answer
            .head
            .contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        answer.head
    );
    assert!(answer.body.ends_with("# EOF\n"));
    let (families, _) = exposition(&answer.body);
    assert_eq!(families["waypost_requests"], "counter");
    assert_eq!(families["waypost_policy"], "info");
    assert!(
        answer
            .body
            .contains("# UNIT waypost_policy_hook_duration_seconds seconds\n")
    );
}

#[tokio::test]
async fn a_histogram_of_each_hook_in_seconds() {
    let admin = TestAdmin::start(None).await;
    let (_, samples) = exposition(&admin.get("/metrics").await.body);
    let labels = r#"policy="spread",hook="selection""#;
    assert_eq!(
        samples[&format!("waypost_policy_hook_duration_seconds_count{{{labels}}}")],
        3.0
    );
    let sum = samples[&format!("waypost_policy_hook_duration_seconds_sum{{{labels}}}")];
    assert!((sum - 1.8e-6).abs() < 1e-12, "{sum}");
    let mut buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter(|(series, _)| series.starts_with("waypost_policy_hook_duration_seconds_bucket"))
        .map(|(series, n)| {
            let le = series
                .split_once("le=\"")
                .unwrap()
                .1
                .split('"')
                .next()
                .unwrap();
            (le.replace("+Inf", "inf").parse().unwrap(), *n)
        })
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(
        buckets.is_sorted_by(|a, b| a.1 <= b.1),
        "cumulative: {buckets:?}"
    );
    assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, 3.0));
    let below = |seconds: f64| buckets.iter().rfind(|(le, _)| *le <= seconds).unwrap().1;
    assert_eq!(
        (below(256e-9), below(512e-9), below(1_024e-9)),
        (0.0, 1.0, 3.0)
    );
}

#[tokio::test]
async fn labels_are_escaped() {
    let admin = TestAdmin::start(None).await;
    admin.control.stats.policy("a\"b\\c\nd").shards[0]
        .traps
        .increment();
    let text = admin.get("/metrics").await.body;
    assert!(
        text.contains(r#"waypost_policy_traps_total{policy="a\"b\\c\nd"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn every_read_of_an_idle_process_is_valid() {
    let stats = Stats::new(1);
    let view = StatsView {
        stats: &stats,
        policies: &[],
        certificates: &[],
        names: &[],
        reload: &status_of_reloads(),
        pools: &[],
    };
    let (_, page) = stats_page(&view, Some(b"text/html"));
    assert!(String::from_utf8(page).unwrap().contains("none yet"));
    let (_, json) = stats_page(&view, None);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["requests"]["latency"]["p50_microseconds"], 0);
    let (_, text) = metrics_page(&view, true, None);
    let (_, samples) = exposition(&String::from_utf8(text).unwrap());
    assert_eq!(samples["waypost_request_duration_seconds_count"], 0.0);
}
