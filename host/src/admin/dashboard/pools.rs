//! The pools with their endpoints.

use maud::{Markup, html};

use super::chart::{rate, time, times, traffic};
use super::parts::Column::{Number, Text};
use super::parts::{Shown, Tone, button, more, none, state, table};
use crate::admin::live::{EndpointPicture, PoolPicture, Rates};
use crate::units::{microseconds, number};

/// Pools and endpoints of one page: what one push of news can grow to is bounded by them.
const POOLS: usize = 50;
const ENDPOINTS: usize = 100;
/// Labels of an endpoint.
const LABELS: usize = 8;

pub(super) fn pools(shown: &Shown<'_>) -> Markup {
    let mut room = ENDPOINTS;
    let mut sections = Vec::new();
    let (mut pools_left_out, mut endpoints_left_out) = (0, 0);
    for pool in &shown.moment.picture.pools {
        let wanted = wanted(shown, pool, room);
        let named = shown.view.wants([pool.name.as_str()]);
        if wanted.is_empty() && !named {
            continue;
        }
        if sections.len() == POOLS {
            pools_left_out += 1;
            continue;
        }
        let fit = wanted.len().min(room);
        room -= fit;
        endpoints_left_out += wanted.len() - fit;
        sections.push(section(shown, pool, &wanted[..fit]));
    }
    if sections.is_empty() {
        return none(shown.view, "pools");
    }
    html! {
        @for section in &sections { (section) }
        (more(endpoints_left_out, "endpoints"))
        (more(pools_left_out, "pools"))
    }
}

/// Those that the filter lets through. If not all of them fit, the unwell ones come first; else
/// they stay where they are, so that no button changes its place under a hand.
fn wanted<'p>(shown: &Shown<'_>, pool: &'p PoolPicture, room: usize) -> Vec<&'p EndpointPicture> {
    let whole = shown.view.wants([pool.name.as_str()]);
    let wants = |e: &&EndpointPicture| {
        let labels = e.said.labels.iter().map(|(k, v)| format!("{k}={v}"));
        let labels: Vec<String> = labels.collect();
        let own = [e.said.address.as_str(), e.state].into_iter();
        whole
            || shown
                .view
                .wants(own.chain(labels.iter().map(String::as_str)))
    };
    let mut all: Vec<&EndpointPicture> = pool.endpoints.iter().filter(wants).collect();
    if all.len() > room {
        all.sort_by_key(|e| match tone(e.state) {
            Tone::Bad => 0,
            Tone::Warn => 1,
            Tone::Quiet | Tone::Good => 2,
        });
    }
    all
}

fn section(shown: &Shown<'_>, pool: &PoolPicture, endpoints: &[&EndpointPicture]) -> Markup {
    let rates = shown.moment.pool(&pool.name);
    let head = [
        Text("endpoint"),
        Text("state"),
        Number("weight"),
        Number("in flight"),
        Number("requests/s"),
        Number("errors/s"),
        Number("median"),
        Number("99 %"),
        Number("requests, errors dashed"),
        Number("time, 99 % dashed"),
        Text("change"),
    ];
    let rows: Vec<Markup> = endpoints.iter().map(|e| row(shown, pool, e)).collect();
    html! {
        section.pool data-key=(pool.name) {
            h3 { (pool.name) }
            p {
                (health(pool))
                @if let Some(series) = rates {
                    " \u{b7} " (rate(series.now.per_second)) " requests/s, "
                    (rate(series.now.errors_per_second)) " errors/s, median "
                    (time(series.now.p50, microseconds)) ", 99 % "
                    (time(series.now.p99, microseconds))
                }
            }
            @if let Some(series) = rates {
                p.charts {
                    (traffic(series, &format!("requests of pool {}", pool.name))) " "
                    (times(series, &format!("pool {}", pool.name), microseconds))
                }
            }
            @if let Some(refused) = pool.file.as_ref().and_then(|file| file.refused.as_ref()) {
                p { (state(Tone::Bad, refused)) }
            }
            @if !rows.is_empty() {
                (table(&format!("Endpoints of pool {}", pool.name), &head, &rows))
            }
        }
    }
}

fn health(pool: &PoolPicture) -> Markup {
    let (all, healthy) = (pool.endpoints.len(), pool.healthy());
    let words = format!(
        "{} of {} healthy",
        number(healthy as u64),
        number(all as u64)
    );
    let unwell = pool.endpoints.iter().any(|e| tone(e.state) == Tone::Bad);
    match pool.usable() {
        0 => state(Tone::Bad, "no endpoint that works"),
        _ if unwell || healthy == 0 => state(Tone::Warn, &words),
        _ => state(Tone::Good, &words),
    }
}

/// What a state means. One that is not known here is not good.
fn tone(state: &str) -> Tone {
    match state {
        "healthy" => Tone::Good,
        "unproven" | "draining" => Tone::Quiet,
        "degraded" => Tone::Warn,
        _ => Tone::Bad,
    }
}

fn row(shown: &Shown<'_>, pool: &PoolPicture, e: &EndpointPicture) -> Markup {
    let rates = shown.moment.endpoint(&e.said.label);
    html! {
        tr data-key=(e.said.address) {
            th scope="row" {
                (e.said.address)
                @for (name, value) in e.said.labels.iter().take(LABELS) {
                    " " span.label { (name) "=" (value) }
                }
            }
            td.text {
                (state(tone(e.state), e.state))
                @if let Some(reason) = &e.reason { span.reason { (reason) } }
            }
            td { (e.said.weight) }
            td { (number(e.in_flight)) }
            (numbers(rates))
            td { (button_of(shown, pool, e)) }
        }
    }
}

fn numbers(rates: Rates<'_>) -> Markup {
    html! {
        @if let Some(series) = rates {
            td { (rate(series.now.per_second)) }
            td { (rate(series.now.errors_per_second)) }
            td { (time(series.now.p50, microseconds)) }
            td { (time(series.now.p99, microseconds)) }
            td { (traffic(series, "requests")) }
            td { (times(series, "requests", microseconds)) }
        } @else {
            @for _ in 0..6 { td { "\u{2013}" } }
        }
    }
}

fn button_of(shown: &Shown<'_>, pool: &PoolPicture, e: &EndpointPicture) -> Markup {
    let (label, action) = match e.said.admin {
        "up" => ("Drain", "drain"),
        _ => ("Take back", "up"),
    };
    let fields = [
        ("do", action),
        ("pool", pool.name.as_str()),
        ("address", e.said.address.as_str()),
    ];
    let what = format!("{} of pool {}", e.said.address, pool.name);
    button(shown, label, &what, &fields)
}
