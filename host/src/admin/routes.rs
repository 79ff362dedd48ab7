//! The routes that run.

/// One route, in words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteStatus {
    /// What it is called where it is counted.
    pub name: String,
    /// The hosts that it matches; of connections that are passed on, what they are called.
    pub host: String,
    /// The paths, and what else a request must have.
    pub path: String,
    /// Its pools with their shares in percent, or none if the route answers itself.
    pub pools: Vec<(String, f64)>,
    /// Its own answer, in words.
    pub answer: Option<String>,
    /// The pool that gets copies of its requests.
    pub mirror: Option<String>,
    /// In the order of their calls.
    pub policies: Vec<String>,
}
