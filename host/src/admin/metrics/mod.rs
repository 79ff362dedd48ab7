//! The report as Prometheus text.

mod backends;
mod certificates;
mod compression;
mod exemplars;
mod families;
mod forward;
mod layer4;
mod names;
mod policies;
mod pools;
mod reload;
mod routes;
mod traces;
mod traffic;
mod usage;

use std::fmt::{self, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use self::families::Families;
use super::accept::prefers;
use super::process::Usage;
use super::report::{Report, StatsView};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The body of `GET /metrics` and its content type: OpenMetrics for a client that prefers it
/// (Prometheus does), the older text format for others. `ready` is what `GET /readyz` says.
pub fn metrics_page(
    view: &StatsView<'_>,
    ready: bool,
    accept: Option<&[u8]>,
) -> (&'static str, Vec<u8>) {
    let mut registry = Registry::with_prefix("waypost");
    registry.register_collector(Box::new(Ready(ready)));
    registry.register_collector(Box::new(Snapshot(Report::new(view))));
    // Theirs are the names that Prometheus' client libraries have.
    let mut of_process = Registry::default();
    of_process.register_collector(Box::new(Usage::now()));
    let mut text = String::new();
    let written = encode_registry(&mut text, &registry)
        .and_then(|()| encode_registry(&mut text, &of_process))
        .and_then(|()| encode_eof(&mut text));
    if written.is_err() {
        // Writing to a string can't fail; an empty exposition would be valid.
        text = "# EOF\n".to_owned();
    }
    if prefers(accept, "application/openmetrics-text", "text/plain") {
        let text = exemplars::added(text, &exemplars::of_requests(view.stats));
        (OPEN_METRICS, text.into_bytes())
    } else {
        (PLAIN, plain(&text).into_bytes())
    }
}

/// The older format: `# HELP` and `# TYPE` name a counter with `_total`, as its samples do; the
/// type `info`, `# UNIT` and `# EOF` don't exist.
fn plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(help) = line.strip_prefix("# HELP ") else {
            if !line.starts_with("# ") {
                out.push_str(line);
                out.push('\n');
            }
            continue;
        };
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        let kind = lines
            .next_if(|l| l.starts_with("# TYPE "))
            .and_then(|l| l.rsplit(' ').next())
            .unwrap_or("untyped");
        let (suffix, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            other => ("", other),
        };
        // Writing to a string can't fail.
        let _ = writeln!(
            out,
            "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"
        );
    }
    out
}

#[derive(Debug)]
struct Ready(bool);

impl Collector for Ready {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        Families { encoder }.gauge(
            "ready",
            "1 if the process is ready for requests, as GET /readyz says",
            None,
            [([], self.0.into())],
        )
    }
}

#[derive(Debug)]
struct Snapshot(Report);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families { encoder };
        self.process(&mut out)?;
        self.reloads(&mut out)?;
        self.requests(&mut out)?;
        self.connections(&mut out)?;
        self.forward(&mut out)?;
        self.layer4(&mut out)?;
        self.losses(&mut out)?;
        self.compression(&mut out)?;
        self.recording(&mut out)?;
        self.traces(&mut out)?;
        self.backends(&mut out)?;
        self.pools(&mut out)?;
        self.routes(&mut out)?;
        self.mirrors(&mut out)?;
        self.topology(&mut out)?;
        self.names(&mut out)?;
        self.certificates(&mut out)?;
        self.policies(&mut out)
    }
}
