//! The last sampled requests, each with why it went where it went.

use maud::{Markup, html};

use super::parts::Column::{Number, Text};
use super::parts::{Shown, Tone, state, table};
use crate::observe::sample::{Candidate, Sample, SampledAttempt, SampledCall, SampledChoice};
use crate::text::plain;
use crate::units::{counted, microseconds, nanoseconds, number};

/// Samples that are shown.
const SHOWN: usize = 20;

pub(super) fn requests(shown: &Shown<'_>) -> Markup {
    let (sampled, last) = shown.moment.samples;
    let wanted = last.iter().filter(|(_, sample)| wants(shown, sample));
    let rows: Vec<Markup> = wanted
        .take(SHOWN)
        .map(|(number, sample)| row(*number, sample))
        .collect();
    let head = [
        Text("time"),
        Text("request"),
        Number("status"),
        Text("backend"),
        Number("took"),
        Text("why"),
    ];
    html! {
        p.dim {
            @match (sampled, rows.is_empty()) {
                (_, false) => {
                    "The last that were sampled, newest first; at most 5 a second of each worker."
                }
                (true, true) => { "None of the last that were sampled matches; `waypost tap` filters all." }
                (false, true) => { "Requests are sampled while a page with its script is open." }
            }
        }
        @if !rows.is_empty() { (table("Requests", &head, &rows)) }
    }
}

fn wants(shown: &Shown<'_>, sample: &Sample) -> bool {
    let texts = [&sample.host, &sample.path, &sample.route, &sample.pool];
    let backend = sample.backend.iter();
    shown
        .view
        .wants(texts.into_iter().chain(backend).map(|text| &**text))
}

fn row(number: u64, sample: &Sample) -> Markup {
    let place = crate::text::place(&sample.host, &sample.path);
    html! {
        tr data-key=(format!("request {number}")) {
            th scope="row" { (clock(&sample.time)) }
            td.text.asked { (sample.method) " " (plain(&place)) }
            td { (status(sample)) }
            td.text {
                @match &sample.backend {
                    Some(backend) => { (backend) }
                    None => { span.dim { "none" } }
                }
            }
            td { (microseconds(sample.microseconds)) }
            td.text { (why(sample)) }
        }
    }
}

/// The time of the day, to the millisecond.
fn clock(time: &str) -> &str {
    time.get(11..23).unwrap_or(time)
}

fn status(sample: &Sample) -> Markup {
    match sample.status {
        0 => state(Tone::Warn, "none"),
        status @ 500.. => state(Tone::Bad, &status.to_string()),
        status => html! { (status) },
    }
}

fn why(sample: &Sample) -> Markup {
    html! {
        details {
            summary { "Why" }
            @if let Some(reason) = &sample.reason { p { (plain(reason)) } }
            p {
                "route " (or_none(&sample.route)) ", pool " (or_none(&sample.pool))
                @if !sample.id.is_empty() { ", id " (plain(&sample.id)) }
            }
            ol {
                @for call in &sample.policies { li { (asked(call)) } }
                @for choice in &sample.choices { li { (chosen(choice)) } }
                @for attempt in &sample.attempts { li { (tried(attempt)) } }
            }
            @if sample.left_out > 0 { p { (number(sample.left_out.into())) " more left out" } }
        }
    }
}

fn or_none(name: &str) -> &str {
    if name.is_empty() { "none" } else { name }
}

fn asked(call: &SampledCall) -> Markup {
    html! {
        (call.hook) ": " (call.policy) " (generation " (call.generation)
        @if let Some(role) = call.role { ", " (role) }
        ") "
        @if call.failed { (state(Tone::Bad, &call.decision)) } @else { (plain(&call.decision)) }
        ", " (nanoseconds(call.nanoseconds))
    }
}

fn chosen(choice: &SampledChoice) -> Markup {
    html! {
        "attempt " (choice.attempt) ": "
        @match &choice.policy {
            Some(policy) => { "policy " (policy) }
            None => { "the host" }
        }
        " chose " (backend(&choice.chosen)) " of "
        (counted(choice.candidates, "candidate")) " (" (choice.because) ")"
        @if !choice.others.is_empty() {
            ul { @for other in &choice.others { li { "not " (backend(other)) } } }
        }
    }
}

fn backend(of: &Candidate) -> Markup {
    let latency = match of.latency_microseconds {
        0 => "not measured".to_owned(),
        time => microseconds(time),
    };
    html! {
        (of.backend) ", " (of.state) ", " (number(of.in_flight.into())) " in flight, latency "
        (latency) ", weight " (of.weight)
    }
}

fn tried(attempt: &SampledAttempt) -> Markup {
    html! {
        "attempt at " (attempt.backend) ": " (attempt.outcome)
        @if attempt.status > 0 { ", status " (attempt.status) }
        ", " (microseconds(attempt.microseconds))
    }
}
