//! What the kernel says of the process, under the names that Prometheus' client libraries have for
//! it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::families::{Families, NANOSECONDS};
use crate::admin::process::Usage;

impl Collector for Usage {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families { encoder };
        out.seconds_counter(
            "process_cpu",
            "Total user and system CPU time spent in seconds",
            NANOSECONDS,
            self.cpu_nanoseconds.map(|n| ([], n)),
        )?;
        let gauges = [
            (
                "process_resident_memory",
                "Resident memory size in bytes",
                Some(&Unit::Bytes),
                self.resident_bytes,
            ),
            (
                "process_virtual_memory",
                "Virtual memory size in bytes",
                Some(&Unit::Bytes),
                self.virtual_bytes,
            ),
            (
                "process_open_fds",
                "Number of open file descriptors",
                None,
                self.open_fds,
            ),
            (
                "process_max_fds",
                "Maximum number of open file descriptors",
                None,
                self.max_fds,
            ),
            (
                "process_start_time",
                "Start time of the process since unix epoch in seconds",
                Some(&Unit::Seconds),
                self.started_unix,
            ),
        ];
        for (name, help, unit, value) in gauges {
            out.gauge(name, help, unit, value.map(|n| ([], n)))?;
        }
        Ok(())
    }
}
