//! Answers as text for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::answers::{
    Changes, Details, Difference, Entry, Event, Fault, Policies, Reloaded, Status, Token, Upgraded,
};
use super::figures::{columns, short};
use super::trial::{faults, samples, share, suspended, trial_figures, trial_head};
use crate::units::{counted, duration, exact_duration, number, size};

/// The characters of an error in a table.
const BRIEF: usize = 80;
/// How many events and generations are shown; `--json` has all.
const RECENT: usize = 20;

/// All policies, one line each.
pub(super) fn table(policies: &Policies) -> String {
    if policies.policies.is_empty() {
        return "no policies: no route names one\n".to_owned();
    }
    let head = [
        "NAME",
        "STATE",
        "GENERATION",
        "DIGEST",
        "CALLS",
        "FAULTS",
        "ON TRIAL",
        "SUSPENDED",
        "LAST ERROR OR FAULT",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for policy in &policies.policies {
        let trial = policy.on_trial.as_ref();
        rows.push(vec![
            policy.name.clone(),
            policy.state.clone(),
            policy.generation.to_string(),
            short(&policy.digest).to_owned(),
            policy.counts.map_or_else(dash, |c| number(c.calls)),
            policy.counts.map_or_else(dash, |c| number(c.faults.all())),
            trial.map_or_else(dash, |t| {
                format!("{} {}, {} %", t.mode, t.generation, t.percent)
            }),
            suspended(policy.suspended_by_workers).unwrap_or_else(dash),
            last_trouble(policy).map_or_else(dash, brief),
        ]);
    }
    columns(&rows, "")
}

/// Why its last component was not loaded, or else why its last call failed.
fn last_trouble(policy: &Status) -> Option<&str> {
    let fault = policy.last_fault.as_ref();
    let fault = fault.map(|fault| fault.message.as_str());
    policy.last_error.as_deref().or(fault)
}

/// One policy with its trial, its generations and its history.
pub(super) fn details(details: &Details) -> String {
    let mut text = what_runs(details);
    text.push_str(&columns(&facts(&details.status), "  "));
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
    let rows: Vec<_> = generations.map(generation).collect();
    text.push_str(&columns(&rows, "  "));
    text.push_str("\nhistory\n");
    let events = details.history.iter().take(RECENT);
    let rows: Vec<_> = events.map(event).collect();
    text.push_str(&columns(&rows, "  "));
    text
}

/// What is known of the generation that decides, each with its name.
fn facts(status: &Status) -> Vec<Vec<String>> {
    let source = format!("{}, {}", status.source, size(status.size_bytes));
    let loaded = status
        .loaded_at
        .clone()
        .unwrap_or_else(|| "not yet".to_owned());
    let mut facts = vec![
        ("digest", status.digest.clone()),
        ("source", source),
        ("loaded", loaded),
        ("hooks", status.hooks.join(", ")),
        ("limits", limits(status)),
    ];
    if let Some(counts) = status.counts {
        let calls = counted(counts.calls, "call");
        facts.push(("called", format!("{calls}, {}", faults(counts.faults))));
    }
    if let Some(fault) = &status.last_fault {
        let Fault {
            time,
            generation,
            message,
        } = fault;
        facts.push((
            "last fault",
            format!("{time}, generation {generation}: {message}"),
        ));
    }
    if let Some(by) = suspended(status.suspended_by_workers) {
        facts.push((
            "suspended",
            format!("{by}, because faults of many clients cost too much"),
        ));
    }
    if let Some(error) = &status.last_error {
        facts.push(("last error", error.clone()));
    }
    let row = |(name, fact): (&str, String)| vec![name.to_owned(), fact];
    facts.into_iter().map(row).collect()
}

fn generation(entry: &Entry) -> Vec<String> {
    vec![
        entry.generation.to_string(),
        entry.state.clone(),
        short(&entry.digest).to_owned(),
        entry.since.clone(),
        entry.source.clone(),
    ]
}

fn event(event: &Event) -> Vec<String> {
    vec![
        event.time.clone(),
        event.generation.to_string(),
        event.state.clone(),
        event.reason.clone(),
    ]
}

/// Which generation decides, in one line.
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
                "{active} decides all requests; {} sees {}",
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

/// What an upgrade has come to.
pub(super) fn upgraded(upgraded: &Upgraded) -> String {
    format!(
        "process {} serves, from {}; the one before finishes its requests and ends\n",
        upgraded.pid, upgraded.binary
    )
}

/// What a reload has changed, or would change.
pub(super) fn reloaded(reloaded: &Reloaded) -> String {
    let Changes {
        listeners,
        routes,
        pools,
        policies,
        settings,
    } = &reloaded.changes;
    let mut text = String::new();
    for warning in &reloaded.warnings {
        text += &format!("warning: {warning}\n");
    }
    let kinds = [
        ("listener", listeners),
        ("route", routes),
        ("pool", pools),
        ("policy", policies),
    ];
    for (kind, difference) in kinds {
        let Difference {
            added,
            changed,
            removed,
        } = difference;
        for (sign, names) in [('+', added), ('~', changed), ('-', removed)] {
            for name in names {
                text += &format!("{sign} {kind} {name}\n");
            }
        }
    }
    for key in settings {
        text += &format!("~ {key}\n");
    }
    text += match (reloaded.published, reloaded.changes == Changes::default()) {
        (true, _) => "reloaded\n",
        (false, true) => "nothing has changed\n",
        (false, false) => "nothing was done: this is what a reload would change\n",
    };
    text
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
        "{token}\n\nValid for {valid}. Replace the address by the one where clients connect:\n\n  \
         curl -si -H '{request_field}: {token}' http://127.0.0.1:8080/ \
         | grep -i '^{response_field}:'\n"
    )
}

fn limits(status: &Status) -> String {
    let deadline = exact_duration(Duration::from_micros(status.deadline_microseconds));
    let absent = match &status.while_absent {
        Some(absent) if *absent != status.on_failure => format!(", while none is loaded {absent}"),
        _ => String::new(),
    };
    format!(
        "deadline {deadline}, memory {}, one instance per {}, on failure {}{absent}",
        size(status.memory_limit_bytes),
        status.isolation,
        status.on_failure
    )
}

fn dash() -> String {
    "-".to_owned()
}

fn brief(text: &str) -> String {
    if text.chars().count() <= BRIEF {
        return text.to_owned();
    }
    text.chars().take(BRIEF - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Details {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_table_has_a_line_for_each_policy() {
        let policies = serde_json::json!({ "policies": [
            { "name": "random", "state": "active", "generation": 1,
              "digest": "sha256:0123456789abcdef" },
            { "name": "mine", "state": "active", "generation": 12,
              "digest": "sha256:ff", "suspended_by_workers": 2,
              "on_trial": { "mode": "canary", "generation": 13, "percent": 2.5 },
              "last_error": "x".repeat(200) },
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
            "name": "mine", "state": "active", "generation": 3,
            "digest": "sha256:aa", "former_generation": 2,
        });
        let told = what_runs(&read(answer.clone()));
        assert_eq!(
            told,
            "mine: generation 3 (aa) decides all requests; generation 2 is kept for a rollback\n"
        );
        answer["trial"] = serde_json::json!({
            "mode": "canary", "generation": 4,
            "digest": "sha256:bb", "percent": 5.0, "by": "client",
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
            what_runs(&read(answer)).contains("shadow generation 4 (bb) sees 5 % of the requests")
        );
        let none = serde_json::json!({ "name": "mine", "state": "failed", "generation": 1 });
        assert!(
            what_runs(&read(none)).contains("no generation decides; generation 1 () is failed")
        );
    }
}
