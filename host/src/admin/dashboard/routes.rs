//! The routes.

use maud::{Markup, html};

use super::parts::Column::Text;
use super::parts::{Shown, more, none, table};
use crate::admin::routes::RouteStatus;

/// Routes of one page.
const SHOWN: usize = 100;

pub(super) fn routes(shown: &Shown<'_>) -> Markup {
    let all = &shown.moment.picture.routes;
    let wanted: Vec<&RouteStatus> = all.iter().filter(|r| wants(shown, r)).collect();
    if wanted.is_empty() {
        return none(shown.view, "routes");
    }
    let rows: Vec<Markup> = wanted.iter().take(SHOWN).map(|route| row(route)).collect();
    html! {
        (table("Routes", &[Text("host"), Text("path"), Text("goes to"), Text("policies")], &rows))
        (more(wanted.len().saturating_sub(SHOWN), "routes"))
    }
}

fn wants(shown: &Shown<'_>, route: &RouteStatus) -> bool {
    let pools = route.pools.iter().map(|(name, _)| name.as_str());
    let own = [route.host.as_str(), route.path.as_str()].into_iter();
    let policies = route.policies.iter().map(String::as_str);
    shown.view.wants(own.chain(pools).chain(policies))
}

fn row(route: &RouteStatus) -> Markup {
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
        }
    }
}
