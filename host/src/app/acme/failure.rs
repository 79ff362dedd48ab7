//! Why an order has failed, in one line.

use std::fmt;

use instant_acme::Error;

/// An authority may write more than anyone reads.
const LONGEST: usize = 400;

/// A reason for an operator.
#[derive(Debug)]
pub(super) struct Failure {
    reason: String,
    /// The authority does not know the account.
    pub is_of_account: bool,
}

impl Failure {
    /// Whatever the text holds, the reason is one line.
    pub(super) fn new(text: &str) -> Self {
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        Self {
            reason: text.chars().map(shown).take(LONGEST).collect(),
            is_of_account: false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Api(problem) => problem.r#type.as_deref().unwrap_or_default(),
            _ => "",
        };
        let reason = match &error {
            // It is JSON, or was refused before.
            Error::Json(e) => {
                format!("it answered with JSON that an ACME server does not send: {e}")
            }
            other => other.to_string(),
        };
        Self {
            is_of_account: kind.ends_with(":accountDoesNotExist"),
            ..Self::new(&reason)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}
