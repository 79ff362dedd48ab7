//! What was deployed, and what is on trial.

use maud::{Markup, html};

use super::parts::Column::{Number, Text};
use super::parts::{Column, Shown, Tone, button, more, none, state, table};
use super::policies::wanted;
use super::trial::trial;
use crate::admin::control::{PolicyDetails, PolicyStatus};
use crate::admin::times::timestamp;
use crate::rollout::{Event, GenerationEntry, State};
use crate::units::size;

/// Policies of one page.
const SHOWN: usize = 20;
const GENERATIONS: [Column; 5] = [
    Text("generation"),
    Text("state"),
    Number("since"),
    Text("source"),
    Text("digest"),
];
/// Generations and events of each.
const HISTORY: usize = 10;

pub(super) fn deployments(shown: &Shown<'_>) -> Markup {
    let wanted = wanted(shown);
    if wanted.is_empty() {
        return none(shown.view, "policies");
    }
    html! {
        @for policy in wanted.iter().take(SHOWN) { (section(shown, &policy.details)) }
        (more(wanted.len().saturating_sub(SHOWN), "policies"))
    }
}

fn section(shown: &Shown<'_>, details: &PolicyDetails) -> Markup {
    let status = &details.status;
    let generations: Vec<Markup> = details
        .generations
        .iter()
        .take(HISTORY)
        .map(entry)
        .collect();
    let events: Vec<Markup> = details.history.iter().take(HISTORY).map(event).collect();
    html! {
        section.policy data-key=(status.name) {
            h3 { (status.name) }
            (summary(status))
            @if let Some(report) = &details.trial { (trial(&status.name, report)) }
            (buttons(shown, details))
            details {
                summary { "Generations and history of " (status.name) }
                (table(
                    &format!("Generations of {}", status.name),
                    &GENERATIONS,
                    &generations,
                ))
                (table(
                    &format!("History of {}", status.name),
                    &[Text("time"), Number("generation"), Text("state"), Text("why")],
                    &events,
                ))
            }
        }
    }
}

fn summary(status: &PolicyStatus) -> Markup {
    html! {
        p {
            "Generation " (status.generation) ", " (status.state) ", of " (status.source)
            @if let Some(loaded) = status.loaded_at { ", loaded " (timestamp(loaded)) }
            ", " (size(status.size_bytes))
            ". Hooks: " (status.hooks.join(", ")) ". If it fails: " (status.on_failure) "."
        }
        @if let Some(error) = &status.last_error {
            p { (state(Tone::Bad, "the last deployment failed")) span.reason { (error) } }
        }
    }
}

/// What may be changed now. Each button names the generation that its page shows, so that a page
/// that is old changes nothing else.
fn buttons(shown: &Shown<'_>, details: &PolicyDetails) -> Markup {
    let name = details.status.name.as_str();
    let act = |label: &str, action: &str, generation: u64, extra: &str| {
        let generation = generation.to_string();
        let fields = [
            ("do", action),
            ("policy", name),
            ("generation", generation.as_str()),
            ("mode", extra),
        ];
        let what = format!("generation {generation} of policy {name}");
        button(shown, label, &what, &fields)
    };
    html! {
        div.buttons {
            @if let Some(trial) = &details.status.on_trial {
                (act("Promote", "promote", trial.generation, trial.mode))
                (act("Withdraw", "withdraw", trial.generation, trial.mode))
            } @else if details.former_generation.is_some() {
                (act("Roll back", "rollback", details.status.generation, ""))
            }
        }
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::Active => Tone::Good,
        State::Failed => Tone::Bad,
        State::Shadow | State::Canary | State::Loading => Tone::Warn,
        State::Retired => Tone::Quiet,
    }
}

fn entry(entry: &GenerationEntry) -> Markup {
    html! {
        tr {
            th scope="row" { (entry.generation) }
            td.text { (state(tone(entry.state), &entry.state.to_string())) }
            td { (timestamp(entry.since)) }
            td.text { (entry.source) }
            td.text { code { (entry.digest) } }
        }
    }
}

fn event(event: &Event) -> Markup {
    html! {
        tr {
            th scope="row" { (timestamp(event.time)) }
            td { (event.generation) }
            td.text { (state(tone(event.state), &event.state.to_string())) }
            td.text { (event.reason) }
        }
    }
}
