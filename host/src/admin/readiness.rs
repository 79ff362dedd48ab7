//! Readiness in words.

use super::control::Readiness;

/// Why clients should not be sent here, as a sentence; `None` if they should.
pub(super) fn unready(readiness: &Readiness) -> Option<String> {
    Some(match readiness {
        Readiness::Ready => return None,
        Readiness::Refused(policies) => format!(
            "policies were refused and have no other generation: {}; GET /policies/NAME says why, \
             PUT /policies/NAME deploys another component",
            policies.join(", ")
        ),
        Readiness::Loading(policies) => {
            format!("policies are still being loaded: {}", policies.join(", "))
        }
        Readiness::Hanging(workers) => {
            let workers: Vec<String> = workers.iter().map(ToString::to_string).collect();
            format!(
                "these workers hang, and their clients get no answer: {}",
                workers.join(", ")
            )
        }
        Readiness::Failed(sentence) => format!("{sentence}; the process is ending"),
        Readiness::Starting => "starting: the listeners are not open yet".to_owned(),
        Readiness::Leaving => {
            "stopping: requests are still served, and the listeners close in a moment".to_owned()
        }
        Readiness::Draining => {
            "draining: the listeners are closed, requests in flight are being finished".to_owned()
        }
    })
}
