//! The routes.

use std::time::{Duration, UNIX_EPOCH};

use maud::{Markup, html};

use super::chart::rate;
use super::parts::Column::{Number, Text};
use super::parts::{Shown, more, none, table};
use crate::admin::routes::RouteStatus;
use crate::admin::times::timestamp;
use crate::stats::{COUNTED_ROUTES, OTHER_ROUTES};
use crate::units::number;

/// Routes of one page.
const SHOWN: usize = 100;

pub(super) fn routes(shown: &Shown<'_>) -> Markup {
    let all = &shown.moment.picture.routes;
    let wanted: Vec<&RouteStatus> = all.iter().filter(|r| wants(shown, r)).collect();
    if wanted.is_empty() {
        return none(shown.view, "routes");
    }
    let rows = wanted.iter().take(SHOWN).map(|route| row(shown, route));
    let rows: Vec<Markup> = rows.collect();
    let head = [
        Text("host"),
        Text("path"),
        Text("goes to"),
        Text("policies"),
        Number("requests a second"),
        Number("errors a second"),
        Number("requests"),
        Number("errors"),
        Text("last request"),
    ];
    html! {
        (table("Routes", &head, &rows))
        (others(shown))
        (more(wanted.len().saturating_sub(SHOWN), "routes"))
    }
}

fn wants(shown: &Shown<'_>, route: &RouteStatus) -> bool {
    let pools = route.pools.iter().map(|(name, _)| name.as_str());
    let own = [route.host.as_str(), route.path.as_str()].into_iter();
    let policies = route.policies.iter().map(String::as_str);
    shown.view.wants(own.chain(pools).chain(policies))
}

/// Those that are not counted by themselves, if any was asked for.
fn others(shown: &Shown<'_>) -> Markup {
    let others = shown.moment.picture.counted_routes.get(OTHER_ROUTES);
    html! {
        @if let Some(others) = others {
            p {
                "The first " (number(COUNTED_ROUTES as u64)) " routes are counted one by one; all "
                "others together had " (number(others.requests)) " requests and "
                (number(others.errors)) " errors."
            }
        }
    }
}

fn row(shown: &Shown<'_>, route: &RouteStatus) -> Markup {
    html! {
        tr {
            th scope="row" { (route.host) }
            td.text { (route.path) }
            td.text {
                @for (at, (pool, share)) in route.pools.iter().enumerate() {
                    @if at > 0 { ", " }
                    (pool)
                    @if route.pools.len() > 1 { " " (format!("{share:.1}")) " %" }
                }
                @if let Some(answer) = &route.answer { (answer) }
                @if let Some(mirror) = &route.mirror { "; copies to " (mirror) }
            }
            td.text {
                @if route.policies.is_empty() { span.dim { "none" } }
                (route.policies.join(", "))
            }
            (counts(shown, &route.name))
        }
    }
}

/// What was counted of a route, if it is by itself.
fn counts(shown: &Shown<'_>, name: &str) -> Markup {
    let Some(counted) = shown.moment.picture.counted_routes.get(name) else {
        return html! { td colspan="5" { span.dim { "not counted by itself" } } };
    };
    let now = shown.moment.route(name).map(|series| series.now);
    let now = now.unwrap_or_default();
    html! {
        td { (rate(now.per_second)) }
        td { (rate(now.errors_per_second)) }
        td { (number(counted.requests)) }
        td { (number(counted.errors)) }
        td.text {
            @match counted.last_unix {
                0 => { span.dim { "never" } }
                at => { (timestamp(UNIX_EPOCH + Duration::from_secs(at))) }
            }
        }
    }
}
