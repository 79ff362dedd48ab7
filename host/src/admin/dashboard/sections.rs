//! The sections of the page, in their order.

use maud::Markup;

use super::deployments::deployments;
use super::overview::overview;
use super::parts::Shown;
use super::policies::policies;
use super::pools::pools;
use super::requests::requests;
use super::routes::routes;

/// An identifier, a title, and what makes the section.
type Section = (&'static str, &'static str, fn(&Shown<'_>) -> Markup);

pub(super) const SECTIONS: [Section; 6] = [
    ("overview", "Overview", overview),
    ("pools", "Pools", pools),
    ("policies", "Policies", policies),
    ("deployments", "Deployments", deployments),
    ("routes", "Routes", routes),
    ("requests", "Requests", requests),
];
