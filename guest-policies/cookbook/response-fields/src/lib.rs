//! Sets the same header fields in every response: of backends, of the proxy, and of other policies.
//!
//! Use it for fields that browsers want to see on errors as well, such as
//! `strict-transport-security`: without them on a 429 or a 502, a page that may not read the answer
//! is told that the network has failed. Name it first in the route's `policies`, so that it has the
//! last word.
//!
//! ```toml
//! [policies.everywhere.settings]
//! replace = true                # false leaves a field as it is where the response has one; true if left out
//!
//! [policies.everywhere.settings.fields]
//! strict-transport-security = "max-age=63072000"
//! x-content-type-options = "nosniff"
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use waypost_policy::{HeaderError, prelude::*};

struct ResponseFields {
    options: Options,
    refused: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "yes")]
    replace: bool,
    fields: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

impl Configure for ResponseFields {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        for (name, value) in &options.fields {
            Headers::check_name("fields", name)?;
            if value.bytes().any(|byte| byte.is_ascii_control()) {
                return Err(format!("fields.{name}: has a control character"));
            }
        }
        let refused = Counter::define("refused")?;
        Ok(ResponseFields { options, refused })
    }
}

impl EditResponse for ResponseFields {
    fn edit_response(
        &mut self,
        _request: &Request,
        _status: u16,
        _backend: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        self.set(headers);
        Ok(())
    }
}

impl EditLocalResponse for ResponseFields {
    fn edit_local_response(
        &mut self,
        _request: &Request,
        _status: u16,
        _source: ResponseSource,
        headers: &mut Headers,
    ) {
        self.set(headers);
    }
}

impl ResponseFields {
    fn set(&self, headers: &mut Headers) {
        for (name, value) in &self.options.fields {
            if !self.options.replace && headers.first(name).is_some() {
                continue;
            }
            let done: Result<(), HeaderError> = headers.set(name, value);
            if done.is_err() {
                self.refused.count();
            }
        }
    }
}

waypost_policy::export!(ResponseFields: Configure, EditResponse, EditLocalResponse);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn every_response_has_the_fields() {
        let host = Host::new();
        let settings = r#"{"fields": {"x-frame-options": "DENY", "x-a": "1"}}"#;
        let mut policy = host.load::<ResponseFields>(settings).unwrap();
        let mut of_backend = testing::response(200).field("x-a", "0");
        let request = testing::get("/");
        policy.edit_response(&request, &mut of_backend).unwrap();
        let mut of_proxy = testing::response(502);
        policy.edit_local_response(&request, ResponseSource::Proxy, &mut of_proxy);
        for response in [of_backend, of_proxy] {
            assert_eq!(response.text("x-frame-options"), Some("DENY"));
            assert_eq!(response.values("x-a"), [b"1"]);
        }
    }

    #[test]
    fn what_is_there_may_stay() {
        let settings = r#"{"replace": false, "fields": {"x-a": "1"}}"#;
        let mut policy = Host::new().load::<ResponseFields>(settings).unwrap();
        let mut response = testing::response(429).field("X-A", "0");
        policy.edit_local_response(&testing::get("/"), ResponseSource::Policy, &mut response);
        assert_eq!(response.values("x-a"), [b"0"]);
    }

    #[test]
    fn mistakes_are_told() {
        let error = |settings: &str| Host::new().load::<ResponseFields>(settings).unwrap_err();
        let owned = "fields: \"date-\u{e4}\" is not a field name";
        assert_eq!(error("{\"fields\": {\"date-\u{e4}\": \"x\"}}"), owned);
        assert_eq!(
            error(r#"{"fields": {"x": "a\nb"}}"#),
            "fields.x: has a control character"
        );
        assert!(error("{}").contains("fields"));
    }
}
