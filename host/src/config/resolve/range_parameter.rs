//! `range-parameter` of `[hosts]`.

use super::Table;
use crate::config::PolicySource;
use crate::document::At;

impl Table<'_> {
    /// `range-parameter` is a setting of the policy that checks ranges.
    pub(super) fn range_parameter(&mut self, counts: Option<At<bool>>) {
        let Some(counts) = counts else { return };
        let Some(policy) = self.policies.iter_mut().find(|p| p.name == "range") else {
            return;
        };
        let parameter = serde_json::Value::Bool(counts.value);
        let is_builtin = policy.source == PolicySource::Builtin("range".to_owned());
        match policy.settings.as_object_mut() {
            Some(settings)
                if is_builtin
                    && settings
                        .get("parameter")
                        .is_none_or(|set| *set == parameter) =>
            {
                settings.insert("parameter".to_owned(), parameter);
            }
            _ if !is_builtin => {
                let message = "is a setting of the built-in policy `range`, but `[policies.range]` \
                               is another policy; remove one of them";
                self.findings.error(&counts.place, message);
            }
            _ => {
                let message =
                    "contradicts `parameter` in `[policies.range.settings]`; remove one of them";
                self.findings.error(&counts.place, message);
            }
        }
    }
}
