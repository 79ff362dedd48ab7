//! `waypost backends`: the pools of a running proxy and their backends.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::RemoteError;
use super::client::{Answer, CHANGE, Client, segment};
use super::figures::columns;
use super::options::{Backends, Said};
use crate::units::counted;

/// `GET /pools`
#[derive(Debug, Clone, Default, Deserialize)]
struct Pools {
    pools: Vec<Brief>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Brief {
    name: String,
    endpoints: u64,
    healthy: u64,
    file: Option<File>,
}

/// `GET /pools/NAME`, and the answer to every change.
#[derive(Debug, Clone, Default, Deserialize)]
struct Pool {
    name: String,
    #[serde(default)]
    file: Option<File>,
    endpoints: Vec<Endpoint>,
    #[serde(default)]
    adopted: Option<bool>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct File {
    path: String,
    refused: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    address: String,
    source: String,
    weight: u64,
    state: String,
    reason: Option<String>,
    requests: u64,
    failures: u64,
    in_flight: u64,
}

/// Sends the command, and returns the answer and what it says.
pub(super) async fn ask(
    client: &Client,
    command: Backends,
) -> Result<(Answer, fn(&Answer) -> Result<String, RemoteError>), RemoteError> {
    let (pool, addresses, method, below, body) = match command {
        Backends::List { pool: None } => return Ok((client.read("/pools").await?, all)),
        Backends::List { pool: Some(pool) } => {
            return Ok((client.read(&path(&pool)).await?, one));
        }
        Backends::Add {
            pool,
            addresses,
            weight,
            labels,
        } => {
            let body = entry(weight, labels);
            (pool, addresses, Method::PUT, String::new(), body)
        }
        Backends::Remove { pool, addresses } => {
            (pool, addresses, Method::DELETE, String::new(), Bytes::new())
        }
        Backends::Say {
            pool,
            addresses,
            said,
        } => (pool, addresses, Method::POST, below(said), Bytes::new()),
    };
    // In one request, so that all are changed or none.
    let addresses = segment(&addresses.join(","));
    let target = format!("{}/backends/{addresses}{below}", path(&pool));
    let answer = client.send(method, &target, body, CHANGE).await?;
    Ok((answer, one))
}

fn path(pool: &str) -> String {
    format!("/pools/{}", segment(pool))
}

fn below(said: Said) -> String {
    match said {
        Said::Drain => "/drain".to_owned(),
        Said::Up => "/up".to_owned(),
        Said::Down => "/down".to_owned(),
        Said::Weight(Some(weight)) => format!("/weight?value={weight}"),
        Said::Weight(None) => "/weight?value=configured".to_owned(),
    }
}

fn entry(weight: Option<u32>, labels: Vec<(String, String)>) -> Bytes {
    let mut entry = Map::new();
    entry.extend(weight.map(|weight| ("weight".to_owned(), weight.into())));
    if !labels.is_empty() {
        let labels: Map<String, Value> = labels.into_iter().map(|(n, v)| (n, v.into())).collect();
        entry.insert("labels".to_owned(), labels.into());
    }
    json!(entry).to_string().into()
}

/// All pools, one line each.
fn all(answer: &Answer) -> Result<String, RemoteError> {
    Ok(table(&answer.read::<Pools>()?))
}

fn table(pools: &Pools) -> String {
    if pools.pools.is_empty() {
        return "no pools\n".to_owned();
    }
    let mut rows = vec![
        ["POOL", "BACKENDS", "HEALTHY", "FILE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for pool in &pools.pools {
        rows.push(vec![
            pool.name.clone(),
            pool.endpoints.to_string(),
            pool.healthy.to_string(),
            pool.file
                .as_ref()
                .map_or_else(|| "-".to_owned(), File::shown),
        ]);
    }
    columns(&rows, "")
}

/// One pool, a line for each backend.
fn one(answer: &Answer) -> Result<String, RemoteError> {
    Ok(details(&answer.read::<Pool>()?))
}

fn details(pool: &Pool) -> String {
    let count = pool.endpoints.len() as u64;
    let mut text = format!("pool {}: {}\n", pool.name, counted(count, "backend"));
    if let Some(file) = &pool.file {
        text.push_str(&format!("file: {}\n", file.shown()));
    }
    let head = [
        "ADDRESS",
        "SOURCE",
        "WEIGHT",
        "STATE",
        "REQUESTS",
        "FAILURES",
        "IN FLIGHT",
        "REASON",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for endpoint in &pool.endpoints {
        rows.push(vec![
            endpoint.address.clone(),
            endpoint.source.clone(),
            endpoint.weight.to_string(),
            endpoint.state.clone(),
            endpoint.requests.to_string(),
            endpoint.failures.to_string(),
            endpoint.in_flight.to_string(),
            endpoint.reason.clone().unwrap_or_default(),
        ]);
    }
    if count > 0 {
        text.push_str(&columns(&rows, "  "));
    }
    if pool.adopted == Some(false) {
        text.push_str("a worker does not follow yet; its log may say why\n");
    }
    for warning in &pool.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

impl File {
    fn shown(&self) -> String {
        match &self.refused {
            None => self.path.clone(),
            Some(reason) => format!("{} (not used as it is now: {reason})", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_a_table_of_its_backends() {
        let pool = json!({
            "name": "web", "file": { "path": "b.json", "refused": "it is empty" },
            "endpoints": [
                { "address": "10.0.0.1:80", "source": "configuration", "weight": 1,
                  "state": "healthy", "requests": 7 },
                { "address": "10.0.0.2:80", "source": "api", "weight": 20, "state": "draining",
                  "reason": "an operator said so", "in_flight": 1 },
            ],
            "adopted": false, "warnings": ["look"],
        });
        let text = details(&serde_json::from_value(pool).unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "pool web: 2 backends");
        assert_eq!(
            lines[1],
            "file: b.json (not used as it is now: it is empty)"
        );
        assert!(
            lines[2].starts_with("  ADDRESS      SOURCE         WEIGHT  STATE"),
            "{text}"
        );
        assert!(lines[4].ends_with("an operator said so"), "{text}");
        assert_eq!(
            lines[5..],
            [
                "a worker does not follow yet; its log may say why",
                "warning: look"
            ]
        );
        let none =
            details(&serde_json::from_value(json!({ "name": "web", "endpoints": [] })).unwrap());
        assert_eq!(none, "pool web: 0 backends\n");
    }

    #[test]
    fn pools_are_a_table() {
        let pools = json!({ "pools": [
            { "name": "web", "endpoints": 12, "healthy": 11 },
            { "name": "b", "file": { "path": "b.json" } },
        ]});
        let text = table(&serde_json::from_value(pools).unwrap());
        assert_eq!(
            text,
            "POOL  BACKENDS  HEALTHY  FILE\n\
             web         12       11  -\n\
             b            0        0  b.json\n"
        );
        assert_eq!(table(&Pools::default()), "no pools\n");
    }

    #[test]
    fn an_entry_has_what_was_given() {
        assert_eq!(entry(None, Vec::new()), "{}");
        let labels = vec![("zone".to_owned(), "b".to_owned())];
        assert_eq!(
            entry(Some(0), labels),
            r#"{"labels":{"zone":"b"},"weight":0}"#
        );
    }
}
