//! The families of reloads.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::Families;

impl Snapshot {
    pub(super) fn reloads(&self, out: &mut Families<'_>) -> fmt::Result {
        let reload = &self.0.reload;
        out.counter(
            "config_reloads",
            "Reloads of the configuration, by what came of them",
            None,
            [
                ([("result", "succeeded")], reload.succeeded),
                ([("result", "refused")], reload.refused),
            ],
        )?;
        out.gauge(
            "config_last_reload_refused",
            "Whether the last reload of the configuration was refused",
            None,
            [([], u64::from(!reload.errors.is_empty()))],
        )?;
        out.gauge(
            "config_last_reload_timestamp",
            "When the last reload of the configuration ended, since 1970; 0 if there was none",
            Some(&Unit::Seconds),
            [([], reload.last_unix)],
        )
    }
}
