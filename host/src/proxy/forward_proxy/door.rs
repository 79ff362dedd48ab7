//! Who a client of a forward proxy is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::rules::ForwardRules;
use crate::proxy::exchange::Exchange;
use crate::proxy::refusal::{ForwardRefusal, LocalReply};
use crate::proxy::worker::Worker;
use crate::upstream::network;
use crate::users::{Credentials, Verdict};

impl Exchange<'_> {
    /// The user, by the value of `Proxy-Authorization`; `None` if clients need not say who they
    /// are.
    pub(super) async fn enter(
        &self,
        worker: &Worker,
        rules: &ForwardRules,
        authorization: Option<&[u8]>,
    ) -> Result<Option<String>, Box<LocalReply>> {
        let Some(authentication) = &rules.config.authentication else {
            return Ok(None);
        };
        let unauthorised = |wrong| ForwardRefusal::Unauthorised {
            challenge: rules.challenge.clone(),
            wrong,
        };
        let Some(given) = authorization.and_then(credentials) else {
            return Err(unauthorised(authorization.is_some()).into());
        };
        let user = given.user.clone();
        let client = network(self.scratch.head.client);
        let door = &worker.shared.door;
        match door.ask(&authentication.file, given, client).await {
            Verdict::Right => Ok(Some(user)),
            Verdict::Wrong => Err(unauthorised(true).into()),
            Verdict::TooMany => Err(ForwardRefusal::TooManyPasswords.into()),
            Verdict::Busy => Err(ForwardRefusal::Busy.into()),
        }
    }
}

/// The credentials of the scheme `Basic` (RFC 7617).
fn credentials(value: &[u8]) -> Option<Credentials> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim_ascii()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_a_name_and_a_password() {
        let read = |value: &str| {
            let given = credentials(value.as_bytes())?;
            Some((given.user, given.password))
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic YW5uOnNlOmNyZXQ="), pair("ann", "se:cret"));
        assert_eq!(read("bAsIc   YW5uOg=="), pair("ann", ""));
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic YW5u",
            "Basic *",
            "Bearer YW5uOg==",
            "YW5uOg==",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
