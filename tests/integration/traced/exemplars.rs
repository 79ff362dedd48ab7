//! Traced requests that stand for those of a bucket of `/metrics`.

use super::collector::Collector;
use super::{PARENT, TRACE, TRUSTED, asked, proxy};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually};

fn metrics(proxy: &TestProxy, accept: &str) -> String {
    let request = Request::new("GET", "/metrics").field("Accept", accept);
    proxy.admin(request).text()
}

#[test]
fn a_request_that_was_exported_is_an_exemplar_of_its_bucket_for_those_that_ask_for_it() {
    let (backend, collector) = (TestUpstream::named("b"), Collector::start());
    let tables = collector.tracing("sample = 0");
    let proxy = proxy(&backend, &format!("{tables}{TRUSTED}"));
    proxy.ask(asked(&[]));
    let open_metrics = "application/openmetrics-text; version=1.0.0";
    let before = metrics(&proxy, open_metrics);
    assert!(!before.contains(" # {"), "it was not sampled: {before}");
    proxy.ask(asked(&[("traceparent", PARENT)]));
    let text = eventually("an exemplar", || {
        Some(metrics(&proxy, open_metrics)).filter(|text| text.contains(" # {"))
    });
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|l| l.contains(" # {")).collect();
    let [line] = lines[..] else {
        panic!("{lines:#?}");
    };
    let (sample, exemplar) = line.split_once(" # ").unwrap();
    let bucket = "waypost_request_duration_seconds_bucket{le=\"";
    let bound = sample.strip_prefix(bucket).unwrap().split('"').next();
    let bound: f64 = bound.unwrap().replace("+Inf", "inf").parse().unwrap();
    let labels = format!("{{trace_id=\"{TRACE}\"}} ");
    let numbers = exemplar.strip_prefix(&*labels).unwrap();
    let (took, ended) = numbers.split_once(' ').unwrap();
    let (took, ended): (f64, f64) = (took.parse().unwrap(), ended.parse().unwrap());
    assert!(took > 0.0 && took <= bound, "{line}");
    assert!(ended > 1e9, "{line}");
    let plain = metrics(&proxy, "text/plain");
    assert!(
        !plain.contains(" # {") && !plain.contains("# EOF"),
        "{plain}"
    );
}
