//! Answers as text for a person.

use std::fmt::Write as _;
use std::time::Duration;

use super::answers::{Arm, Details, Faults, Hook, Policies, Status, Timing, Token, Trial};

/// Of a digest, as much as tells generations apart.
const SHORT: usize = 12;
/// Of an error in a table.
const BRIEF: usize = 80;
/// Events and generations that are shown; `--json` has all.
const RECENT: usize = 20;

/// All policies, a line each.
pub(super) fn table(policies: &Policies) -> String {
    if policies.policies.is_empty() {
        return "no policies: no route asks one\n".to_owned();
    }
    let head = [
        "NAME",
        "STATE",
        "GENERATION",
        "DIGEST",
        "ON TRIAL",
        "SUSPENDED",
        "LAST ERROR",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for policy in &policies.policies {
        let trial = policy.on_trial.as_ref();
        rows.push(vec![
            policy.name.clone(),
            policy.state.clone(),
            policy.generation.to_string(),
            short(&policy.digest).to_owned(),
            trial.map_or_else(dash, |t| {
                format!("{} {}, {} %", t.mode, t.generation, t.percent)
            }),
            suspended(policy.suspended_by_workers).unwrap_or_else(dash),
            policy.last_error.as_deref().map_or_else(dash, brief),
        ]);
    }
    columns(&rows, "")
}

/// One policy with its trial, its generations and its history.
pub(super) fn details(details: &Details) -> String {
    let mut text = what_runs(details);
    let status = &details.status;
    let mut rows = vec![
        vec!["digest".to_owned(), status.digest.clone()],
        vec![
            "source".to_owned(),
            format!("{}, {}", status.source, bytes(status.size_bytes)),
        ],
        vec![
            "loaded".to_owned(),
            status
                .loaded_at
                .clone()
                .unwrap_or_else(|| "not yet".to_owned()),
        ],
        vec!["hooks".to_owned(), status.hooks.join(", ")],
        vec!["limits".to_owned(), limits(status)],
    ];
    if let Some(by) = suspended(status.suspended_by_workers) {
        rows.push(vec![
            "suspended".to_owned(),
            format!("{by}, because faults of many clients cost too much"),
        ]);
    }
    if let Some(error) = &status.last_error {
        rows.push(vec!["last error".to_owned(), error.clone()]);
    }
    text.push_str(&columns(&rows, "  "));
    if let Some(trial) = &details.trial {
        let _ = write!(
            text,
            "\non trial: {} since {}\n{}",
            trial_head(trial),
            trial.began,
            trial_figures(trial)
        );
        text.push_str(&samples(trial));
    }
    text.push_str("\ngenerations\n");
    let generations = details.generations.iter().take(RECENT);
    let rows = generations.map(|e| {
        vec![
            e.generation.to_string(),
            e.state.clone(),
            short(&e.digest).to_owned(),
            e.since.clone(),
            e.source.clone(),
        ]
    });
    text.push_str(&columns(&rows.collect::<Vec<_>>(), "  "));
    text.push_str("\nhistory\n");
    let events = details.history.iter().take(RECENT);
    let rows = events.map(|e| {
        vec![
            e.time.clone(),
            e.generation.to_string(),
            e.state.clone(),
            e.reason.clone(),
        ]
    });
    text.push_str(&columns(&rows.collect::<Vec<_>>(), "  "));
    text
}

/// What decides now, in a line.
pub(super) fn what_runs(details: &Details) -> String {
    let status = &details.status;
    let active = format!(
        "generation {} ({})",
        status.generation,
        short(&status.digest)
    );
    let mut line = match (&details.trial, status.state.as_str()) {
        (Some(trial), _) if trial.mode == "canary" => {
            format!(
                "{} decides {}; {active} decides the rest",
                trial_head(trial),
                share(trial)
            )
        }
        (Some(trial), _) => {
            format!(
                "{active} decides all requests; {} is asked for {}",
                trial_head(trial),
                share(trial)
            )
        }
        (None, "active") => format!("{active} decides all requests"),
        (None, state) => format!("no generation decides; {active} is {state}"),
    };
    if let Some(former) = details.former_generation {
        let _ = write!(line, "; generation {former} is kept for a rollback");
    }
    format!("{}: {line}\n", status.name)
}

/// What is on trial: `canary generation 4 (1f3ab04c9d2e)`.
pub(super) fn trial_head(trial: &Trial) -> String {
    format!(
        "{} generation {} ({})",
        trial.mode,
        trial.generation,
        short(&trial.digest)
    )
}

/// The figures of a trial, a line each.
pub(super) fn trial_figures(trial: &Trial) -> String {
    let mut text = String::new();
    if let (Some(canary), Some(control)) = (&trial.canary, &trial.control) {
        let head = ["", "REQUESTS", "FAILED", "", "P50", "P99"]
            .map(str::to_owned)
            .to_vec();
        text.push_str(&columns(
            &[head, arm("canary", canary), arm("control", control)],
            "  ",
        ));
    }
    if let Some(compared) = trial.requests_compared {
        let _ = writeln!(text, "  {} compared", counted(compared, "request"));
        if !trial.hooks.is_empty() {
            let head = [
                "HOOK",
                "COMPARED",
                "AGREED",
                "",
                "ACTIVE MEAN",
                "P99",
                "SHADOW MEAN",
                "P99",
            ];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            rows.extend(trial.hooks.iter().map(|(name, h)| hook(name, h)));
            text.push_str(&columns(&rows, "  "));
        }
    }
    let _ = writeln!(text, "  {}", faults(trial.faults));
    if let Some(by) = suspended(trial.suspended_by_workers) {
        let _ = writeln!(
            text,
            "  suspended {by}, because faults of many clients cost too much"
        );
    }
    text
}

/// The figures of a trial in one line.
pub(super) fn trial_line(trial: &Trial) -> String {
    let mut line = format!("{} for {}: ", trial_head(trial), share(trial));
    if let (Some(canary), Some(control)) = (&trial.canary, &trial.control) {
        let arm = |a: &Arm| {
            format!(
                "{}, {} failed",
                counted(a.requests, "request"),
                number(a.failed)
            )
        };
        let _ = write!(line, "{}; control {}; ", arm(canary), arm(control));
    }
    if let Some(compared) = trial.requests_compared {
        let _ = write!(line, "{} compared; ", counted(compared, "request"));
        for (name, hook) in &trial.hooks {
            let _ = write!(line, "{name} {}; ", agreement(hook));
        }
    }
    line.push_str(&faults(trial.faults));
    if let Some(by) = suspended(trial.suspended_by_workers) {
        let _ = write!(line, "; suspended {by}");
    }
    line
}

/// A token and how to use it.
pub(super) fn token(token: &Token) -> String {
    let Token {
        token,
        request_field,
        response_field,
        valid_seconds,
    } = token;
    let valid = duration(Duration::from_secs(*valid_seconds));
    format!(
        "{token}\n\nvalid for {valid}; with the address where clients connect in place of this one:\n\n  \
         curl -si -H '{request_field}: {token}' http://127.0.0.1:8080/ | grep -i '^{response_field}:'\n"
    )
}

/// As a person reads it, to the second.
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// The share of a trial: `5 % of the clients`.
pub(super) fn share(trial: &Trial) -> String {
    let of = if trial.by == "client" {
        "clients"
    } else {
        "requests"
    };
    format!("{} % of the {of}", trial.percent)
}

fn limits(status: &Status) -> String {
    let deadline = humantime::format_duration(Duration::from_micros(status.deadline_microseconds));
    let absent = match &status.while_absent {
        Some(absent) if *absent != status.on_failure => format!(", while none is loaded {absent}"),
        _ => String::new(),
    };
    format!(
        "deadline {deadline}, memory {}, an instance per {}, on failure {}{absent}",
        bytes(status.memory_limit_bytes),
        status.isolation,
        status.on_failure
    )
}

fn arm(name: &str, arm: &Arm) -> Vec<String> {
    let nanoseconds = |micros: u64| micros.saturating_mul(1000);
    vec![
        name.to_owned(),
        number(arm.requests),
        number(arm.failed),
        percent(arm.failed, arm.requests),
        time(nanoseconds(arm.p50_microseconds)),
        time(nanoseconds(arm.p99_microseconds)),
    ]
}

fn hook(name: &str, hook: &Hook) -> Vec<String> {
    let times = |t: &Timing| [time(t.mean_nanoseconds), time(t.p99_nanoseconds)];
    let mut row = vec![
        name.to_owned(),
        number(hook.compared),
        number(hook.agreed),
        percent(hook.agreed, hook.compared),
    ];
    row.extend(times(&hook.active_time));
    row.extend(times(&hook.shadow_time));
    row
}

fn agreement(hook: &Hook) -> String {
    format!(
        "{} of {} agreed",
        number(hook.agreed),
        number(hook.compared)
    )
}

fn samples(trial: &Trial) -> String {
    if trial.samples.is_empty() {
        return String::new();
    }
    let mut text = "  decisions that differed\n".to_owned();
    for sample in &trial.samples {
        let _ = writeln!(
            text,
            "    {} {}: {} {}{} of {}\n      active: {}\n      shadow: {}",
            sample.time,
            sample.hook,
            sample.method,
            sample.host,
            sample.path,
            sample.client,
            sample.active,
            sample.shadow
        );
    }
    text
}

fn faults(faults: Faults) -> String {
    let Faults {
        traps,
        deadlines,
        invalid,
        unbuilt,
    } = faults;
    match faults.all() {
        0 => "no faults".to_owned(),
        all => {
            let [traps, deadlines] = [
                counted(traps, "trap"),
                counted(deadlines, "missed deadline"),
            ];
            let invalid = counted(invalid, "invalid answer");
            let unbuilt = if unbuilt > 0 {
                format!(", {unbuilt} without an instance")
            } else {
                String::new()
            };
            format!(
                "{} ({traps}, {deadlines}, {invalid}{unbuilt})",
                counted(all, "fault")
            )
        }
    }
}

fn suspended(workers: u64) -> Option<String> {
    (workers > 0).then(|| format!("by {}", counted(workers, "worker")))
}

fn dash() -> String {
    "-".to_owned()
}

fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..SHORT).unwrap_or(hex)
}

fn brief(text: &str) -> String {
    if text.chars().count() <= BRIEF {
        return text.to_owned();
    }
    text.chars().take(BRIEF - 3).chain("...".chars()).collect()
}

/// `1 request`, `1,234 requests`
fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `1,234,567`
fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percent(part: u64, all: u64) -> String {
    match all {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", part as f64 * 100.0 / all as f64),
    }
}

fn bytes(n: u64) -> String {
    match n {
        0..1024 => counted(n, "byte"),
        1024..1_048_576 => format!("{} KiB", n / 1024),
        _ => format!("{} MiB", n >> 20),
    }
}

fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0 => "-".to_owned(),
        1..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanoseconds as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanoseconds as f64 / 1e6),
        _ => format!("{:.1} s", nanoseconds as f64 / 1e9),
    }
}

/// Rows in columns that are as wide as their widest cell, numbers to the right.
fn columns(rows: &[Vec<String>], indent: &str) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..count)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            match cell.starts_with(|c: char| c.is_ascii_digit()) && cell.len() < 11 {
                true => _ = write!(line, "{cell:>width$}  "),
                false => _ = write!(line, "{cell:<width$}  "),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Details {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(
            [0, 12, 123, 1234, 1_234_567].map(number),
            ["0", "12", "123", "1,234", "1,234,567"]
        );
        assert_eq!(
            [0, 1, 1500, 2_500_000, 3_000_000_000].map(time),
            ["-", "1 ns", "1.5 us", "2.5 ms", "3.0 s"]
        );
        assert_eq!(
            [1, 2048, 16 << 20].map(bytes),
            ["1 byte", "2 KiB", "16 MiB"]
        );
        assert_eq!(
            (percent(1, 8), percent(0, 0)),
            ("12.5 %".to_owned(), "-".to_owned())
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_policy() {
        let policies = serde_json::json!({ "policies": [
            { "name": "random", "state": "active", "generation": 1, "digest": "sha256:0123456789abcdef" },
            { "name": "mine", "state": "active", "generation": 12, "digest": "sha256:ff", "suspended_by_workers": 2,
              "on_trial": { "mode": "canary", "generation": 13, "percent": 2.5 }, "last_error": "x".repeat(200) },
        ]});
        let text = table(&serde_json::from_value(policies).unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("NAME    STATE   GENERATION  DIGEST"),
            "{text}"
        );
        assert!(
            lines[1].contains("0123456789ab ") && !lines[1].contains("abc"),
            "{text}"
        );
        assert!(
            lines[2].contains("canary 13, 2.5 %") && lines[2].contains("by 2 workers"),
            "{text}"
        );
        assert!(lines[2].ends_with("xxx..."), "{text}");
    }

    #[test]
    fn what_runs_is_one_line() {
        let mut answer = serde_json::json!({
            "name": "mine", "state": "active", "generation": 3, "digest": "sha256:aa", "former_generation": 2,
        });
        let told = what_runs(&read(answer.clone()));
        assert_eq!(
            told,
            "mine: generation 3 (aa) decides all requests; generation 2 is kept for a rollback\n"
        );
        answer["trial"] = serde_json::json!({
            "mode": "canary", "generation": 4, "digest": "sha256:bb", "percent": 5.0, "by": "client",
        });
        let told = what_runs(&read(answer.clone()));
        assert!(
            told.starts_with(
                "mine: canary generation 4 (bb) decides 5 % of the clients; generation 3 (aa)"
            ),
            "{told}"
        );
        answer["trial"]["mode"] = "shadow".into();
        answer["trial"]["by"] = "request".into();
        assert!(
            what_runs(&read(answer))
                .contains("shadow generation 4 (bb) is asked for 5 % of the requests")
        );
        let none = serde_json::json!({ "name": "mine", "state": "failed", "generation": 1 });
        assert!(
            what_runs(&read(none)).contains("no generation decides; generation 1 () is failed")
        );
    }

    #[test]
    fn a_trial_is_told_in_figures() {
        let trial = serde_json::json!({
            "mode": "shadow", "generation": 4, "percent": 100.0, "by": "request", "requests_compared": 2000,
            "faults": { "traps": 1, "deadlines": 0, "invalid": 2 }, "suspended_by_workers": 1,
            "hooks": { "selection": { "compared": 2000, "agreed": 1000,
                "active_time": { "mean_nanoseconds": 900, "p99_nanoseconds": 2000 },
                "shadow_time": { "mean_nanoseconds": 1200, "p99_nanoseconds": 4000 } } },
        });
        let trial: Trial = serde_json::from_value(trial).unwrap();
        let figures = trial_figures(&trial);
        for part in [
            "2,000 requests compared",
            "50.0 %",
            "900 ns",
            "4.0 us",
            "3 faults (1 trap, 0 missed",
            "suspended by 1 worker",
        ] {
            assert!(figures.contains(part), "{part}: {figures}");
        }
        let line = trial_line(&trial);
        assert!(
            !line.contains('\n') && line.contains("selection 1,000 of 2,000 agreed"),
            "{line}"
        );
    }
}
