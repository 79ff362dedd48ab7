//! `packaging/grafana/waypost.json` and `packaging/prometheus/alerts.yaml` ask for nothing that is
//! not exported.

use serde_json::Value;

use super::everything::family_of;
use super::promql::{after, grouped, selectors};
use crate::fixtures::repository;

/// Labels that Prometheus gives to what it scrapes.
const SCRAPED: [&str; 2] = ["job", "instance"];
/// Labels whose values are an operator's or a client's.
const FREE: [&str; 9] = [
    "pool", "policy", "backend", "status", "listener", "name", "file", "job", "instance",
];
/// Of states only those are exported that backends are in.
const STATES: [&str; 7] = [
    "healthy", "unproven", "failing", "degraded", "ejected", "draining", "down",
];

fn text(path: &str) -> String {
    let path = repository().join("packaging").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What an expression, and a text beside it that mentions these labels, have no metrics for.
fn unknown(expression: &str, mentioned: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: Vec<&str> = SCRAPED.to_vec();
    for selector in selectors(expression) {
        let metric = &selector.metric;
        let Some(family) = family_of(metric) else {
            wrong.push(format!("{metric} is not exported"));
            continue;
        };
        known.extend(family.labels.iter().map(String::as_str));
        if metric.ends_with("_bucket") {
            known.push("le");
        }
        for matcher in selector.matchers {
            let (label, value) = (matcher.label, matcher.value);
            if !family.labels.contains(&label) && !SCRAPED.contains(&label.as_str()) {
                wrong.push(format!("{metric} has no label {label}"));
            } else if !FREE.contains(&label.as_str()) {
                let seen = &family.values[&label];
                let is_state = |v: &str| label == "state" && STATES.contains(&v);
                let never = value
                    .split('|')
                    .filter(|v| !seen.contains(*v) && !is_state(v));
                wrong.extend(never.map(|v| format!("{label} of {metric} is never {v}")));
            }
        }
    }
    let all = grouped(expression);
    let labels = all.iter().chain(mentioned);
    let strange = labels.filter(|label| !known.contains(&label.as_str()));
    wrong.extend(strange.map(|label| format!("no metric of {expression} has a label {label}")));
    wrong
}

#[test]
fn what_is_not_exported_is_found() {
    let about = |expression: &str| unknown(expression, &[]).join("; ");
    assert_eq!(about("waypost_pool_waits_total{pool=\"a\"} > 0"), "");
    let buckets = "sum by (le, job) (rate(waypost_request_duration_seconds_bucket[5m]))";
    assert_eq!(about(buckets), "");
    for (expression, expected) in [
        ("waypost_waits", "waypost_waits is not exported"),
        ("waypost_pool_waits", "waypost_pool_waits is not exported"),
        (
            "waypost_request_duration_seconds",
            "waypost_request_duration_seconds is not exported",
        ),
        (
            "waypost_ready{pool=\"a\"}",
            "waypost_ready has no label pool",
        ),
        (
            "waypost_backend_state{state=~\"down|up\"}",
            "state of waypost_backend_state is never up",
        ),
        (
            "sum by (pool) (waypost_ready)",
            "no metric of sum by (pool) (waypost_ready) has a label pool",
        ),
    ] {
        assert_eq!(about(expression), expected);
    }
    let wrong = unknown("waypost_ready", &["pool".to_owned()]);
    assert_eq!(wrong, ["no metric of waypost_ready has a label pool"]);
}

#[test]
fn the_dashboard_asks_for_what_is_exported() {
    let dashboard: Value = serde_json::from_str(&text("grafana/waypost.json")).unwrap();
    let mut wrong = Vec::new();
    let (mut queries, mut numbers) = (0, Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        numbers.push(panel["id"].as_u64().unwrap());
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let found = unknown(target["expr"].as_str().unwrap(), &after(legend, "{{"));
            let title = &panel["title"];
            wrong.extend(found.into_iter().map(|w| format!("{title}: {w}")));
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            queries += 1;
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let titles = [&annotation["titleFormat"], &annotation["textFormat"]];
        let titles = titles.map(|title| title.as_str().unwrap()).concat();
        let expression = annotation["expr"].as_str().unwrap();
        wrong.extend(unknown(expression, &after(&titles, "{{")));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["definition"].as_str() else {
            assert_eq!(variable["type"], "datasource");
            continue;
        };
        assert_eq!(variable["query"]["query"], query);
        let (series, label) = query
            .strip_prefix("label_values(")
            .and_then(|q| q.strip_suffix(')')?.rsplit_once(", "))
            .unwrap();
        wrong.extend(unknown(series, &[label.to_owned()]));
        queries += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(queries > 30, "{queries} queries");
    let panels = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), panels, "two panels have one number");
}

/// One rule, its expression and its other keys.
struct Rule<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> Rule<'a> {
    /// The value of a key, over more than one line if it is written so.
    fn value(&self, key: &str) -> String {
        let lines: Vec<_> = self.text.lines().collect();
        let begins = |line: &&str| line.trim_start().starts_with(&format!("{key}:"));
        let at = lines.iter().position(begins);
        let at = at.unwrap_or_else(|| panic!("{} has no {key}", self.name));
        let indent = |line: &str| line.len() - line.trim_start().len();
        let further = lines[at + 1..].iter();
        let further = further.take_while(|line| indent(line) > indent(lines[at]));
        let first = lines[at].split_once(':').unwrap().1;
        let all = std::iter::once(first).chain(further.copied());
        let text: Vec<_> = all.map(str::trim).collect();
        let text = text.join(" ");
        text.trim_start_matches(['|', '>', '-', ' ']).to_owned()
    }
}

#[test]
fn the_alerts_ask_for_what_is_exported_and_say_what_to_do() {
    let file = text("prometheus/alerts.yaml");
    let rules = file.split("- alert: ").skip(1).map(|text| {
        let (name, text) = text.split_once('\n').unwrap();
        Rule { name, text }
    });
    let mut wrong = Vec::new();
    let mut names = Vec::new();
    for rule in rules {
        let expression = rule.value("expr");
        let (summary, description) = (rule.value("summary"), rule.value("description"));
        let labels = after(&format!("{summary} {description}"), "$labels.");
        let found = unknown(&expression, &labels);
        wrong.extend(found.into_iter().map(|w| format!("{}: {w}", rule.name)));
        let severity = rule.value("severity");
        assert!(
            matches!(severity.as_str(), "critical" | "warning"),
            "{}: {severity}",
            rule.name
        );
        assert!(
            rule.value("for").ends_with(['s', 'm', 'h']),
            "{}",
            rule.name
        );
        assert!(description.len() > 80, "{} says too little", rule.name);
        names.push(rule.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(names.len() > 15, "{names:?}");
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
}
