//! What `policy deploy` sends, and what its operator should know about what runs then.

use std::fmt::Write as _;
use std::path::Path;

use super::RemoteError;
use super::answers::Details;
use crate::policy::{builtin, builtin_names};
use crate::text::is_unseen;

/// The component of a built-in policy for `builtin:NAME`; `None` for a path.
pub(super) fn built_in(path: &Path) -> Option<Result<Vec<u8>, RemoteError>> {
    let name = path.to_str()?.strip_prefix("builtin:")?;
    Some(match builtin(name) {
        Some(component) => Ok(component.to_vec()),
        None => Err(RemoteError::File {
            path: path.to_owned(),
            reason: format!(
                "no built-in policy has this name; there are {}",
                builtin_names().collect::<Vec<_>>().join(", ")
            ),
        }),
    })
}

/// Characters of a source, as many as the proxy takes.
const SOURCE: usize = 200;

/// How the proxy's history names the file: a built-in policy as such, any other by its last part,
/// because folders of the operator's machine say nothing there.
pub(super) fn source(file: &Path) -> String {
    if let Some(built_in) = file.to_str().filter(|path| path.starts_with("builtin:")) {
        return built_in.replacen("builtin:", "built-in ", 1);
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let shown: String = name
        .chars()
        .filter(|c| !is_unseen(*c))
        .take(SOURCE)
        .collect();
    match shown.is_empty() {
        true => "a file".to_owned(),
        false => shown,
    }
}

/// What may not be meant by a deployment of the component with this digest that was accepted, a
/// line each. `before` is what ran.
pub(super) fn warnings(before: &Details, after: &Details, digest: &str) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let mut warn = |sentence: String| _ = writeln!(text, "warning: {sentence}");
    let was_active = before.status.state == "active";
    if was_active && before.status.digest == digest {
        warn(format!(
            "this component is the one that decided already, as generation {}",
            before.status.generation
        ));
    }
    let exports = match &after.trial {
        Some(trial) => trial.exports.as_ref(),
        None => Some(&after.status.hooks),
    };
    if let Some(exports) = exports.filter(|_| was_active) {
        let old = before.status.generation;
        for hook in before.status.hooks.iter().filter(|h| !exports.contains(h)) {
            warn(format!(
                "generation {old} exports `{hook}` and this component does not: it is not asked \
                 there"
            ));
        }
    }
    if after.survives_restart == Some(false) {
        warn(
            "what is deployed is gone after a restart: the proxy has no `state-dir`, and loads \
             what its configuration names"
                .to_owned(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(json: serde_json::Value) -> Details {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_file_is_named_by_its_last_part() {
        let sources = [
            ("built/mine.wasm", "mine.wasm"),
            ("builtin:random", "built-in random"),
            ("a\u{1b}[31mb.wasm", "a[31mb.wasm"),
            ("\u{202e}", "a file"),
            ("..", "a file"),
        ];
        for (path, shown) in sources {
            assert_eq!(source(Path::new(path)), shown);
        }
        let long = "ä".repeat(300);
        assert_eq!(source(Path::new(&long)).chars().count(), SOURCE);
    }

    #[test]
    fn what_may_not_be_meant_is_a_line() {
        let before = details(serde_json::json!({
            "name": "mine", "state": "active", "generation": 3, "digest": "d3",
            "hooks": ["selection", "range"], "survives_restart": true,
        }));
        let mut after = serde_json::json!({
            "name": "mine", "state": "active", "generation": 4, "digest": "d4",
            "hooks": ["selection", "range", "routing"], "survives_restart": true,
        });
        assert_eq!(warnings(&before, &details(after.clone()), "d4"), "");
        // An older proxy says less.
        after["survives_restart"] = serde_json::Value::Null;
        after["trial"] = serde_json::json!({ "mode": "shadow", "generation": 5 });
        assert_eq!(warnings(&before, &details(after.clone()), "d5"), "");
        after["trial"]["exports"] = serde_json::json!(["range"]);
        after["survives_restart"] = false.into();
        let told = warnings(&before, &details(after), "d3");
        let parts = [
            "as generation 3",
            "`selection` and this component does not",
            "no `state-dir`",
        ];
        assert_eq!(told.lines().count(), parts.len(), "{told}");
        for (line, part) in told.lines().zip(parts) {
            assert!(
                line.starts_with("warning: ") && line.contains(part),
                "{line}"
            );
        }
    }
}
