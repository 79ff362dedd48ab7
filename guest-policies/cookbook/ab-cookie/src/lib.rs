//! Divides clients into the variants of an experiment, and keeps them there by a cookie.
//!
//! Use it to compare versions of a page or of a whole service. A client without the cookie draws a
//! variant, by the shares of the settings. The request carries it to the backend in a field, so
//! that one backend can serve all variants; backends that carry a label serve only their own. The
//! response sets the cookie.
//!
//! ```toml
//! [policies.experiment.settings]
//! cookie = "checkout"                    # required: a name for each experiment
//! variants = { old = 90, new = 10 }      # required: shares, of their sum
//! field = "x-variant"                    # tells the backend; what a client sends in it is dropped
//! label = "variant"
//! max-age = 2592000                      # seconds; 30 days if left out
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use waypost_policy::{cookie, prelude::*, random};

struct AbCookie {
    options: Options,
    total: u32,
    drawn: Counter,
    groups: Pools<Groups>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    cookie: String,
    variants: BTreeMap<String, u32>,
    #[serde(default = "field")]
    field: String,
    #[serde(default = "label")]
    label: String,
    #[serde(default = "max_age")]
    max_age: u32,
}

fn field() -> String {
    "x-variant".to_owned()
}

fn label() -> String {
    "variant".to_owned()
}

fn max_age() -> u32 {
    30 * 24 * 3600
}

impl Configure for AbCookie {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if let Some(name) = [&options.cookie]
            .into_iter()
            .chain(options.variants.keys())
            .find(|name| !cookie::is_name(name))
        {
            return Err(format!(
                "\"{name}\": names of cookies and variants are letters, digits, - and _"
            ));
        }
        Headers::check_name("field", &options.field)?;
        let total = options
            .variants
            .values()
            .try_fold(0_u32, |sum, share| sum.checked_add(*share));
        match total.filter(|total| *total > 0) {
            None => {
                Err("variants: the sum of the shares has to be from 1 to 4294967295".to_owned())
            }
            Some(total) => Ok(AbCookie {
                options,
                total,
                drawn: Counter::define("drawn")?,
                groups: Pools::default(),
            }),
        }
    }
}

impl Topology for AbCookie {
    fn backends_changed(&mut self, pool: &Pool, backends: &[Backend]) {
        self.groups
            .keep(pool.id, Groups::by_label(backends, &self.options.label));
    }
}

impl AbCookie {
    fn kept(&self, request: &Request) -> Option<String> {
        let value = String::from_utf8(request.cookie(&self.options.cookie)?).ok()?;
        self.options.variants.contains_key(&value).then_some(value)
    }

    fn draw(&self) -> Option<String> {
        self.drawn.count();
        let mut point = random::below(self.total);
        let mut variants = self.options.variants.iter();
        let drawn = variants.find(|(_, share)| {
            let found = point < **share;
            point = point.saturating_sub(**share);
            found
        });
        drawn.map(|(name, _)| name.clone())
    }
}

impl EditRequest for AbCookie {
    fn edit_request(&mut self, request: &Request, headers: &mut Headers) -> Result<(), Response> {
        // The field carries the variant to the other hooks as well: other requests are served
        // between them.
        let variant = self
            .kept(request)
            .or_else(|| self.draw())
            .unwrap_or_default();
        if let Err(error) = headers.set(&self.options.field, variant) {
            log::warn(format!(
                "field: {} was not written: {error}",
                self.options.field
            ));
        }
        Ok(())
    }
}

impl Select for AbCookie {
    fn select(&mut self, request: &Request, attempt: &Attempt) -> Decision {
        let variant = request.header_text(&self.options.field).unwrap_or_default();
        let own = self
            .groups
            .at(attempt.pool)
            .map(|groups| groups.named(&variant))
            .unwrap_or_default();
        attempt.least_busy(own).into()
    }
}

impl EditResponse for AbCookie {
    fn edit_response(
        &mut self,
        request: &Request,
        _: u16,
        _: u32,
        headers: &mut Headers,
    ) -> Result<(), Response> {
        let Options {
            cookie,
            field,
            max_age,
            ..
        } = &self.options;
        let variant = request.header_text(field).unwrap_or_default();
        if self.kept(request).as_ref() != Some(&variant)
            && self.options.variants.contains_key(&variant)
        {
            let written = format!("{cookie}={variant}; Path=/; Max-Age={max_age}; SameSite=Lax");
            if let Err(error) = headers.append("set-cookie", written) {
                log::warn(format!("the cookie was not written: {error}"));
            }
        }
        Ok(())
    }
}

waypost_policy::export!(AbCookie: Configure, Topology, Select, EditRequest, EditResponse);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    const SETTINGS: &str = r#"{"cookie": "exp", "variants": {"new": 10, "old": 90}}"#;

    #[test]
    fn a_client_draws_once_and_keeps_its_variant() {
        let host = Host::new();
        let pool = host.pool(
            "web",
            [
                Backend::new("10.0.0.1:80"),
                Backend::new("10.0.0.2:80").with_label("variant", "new"),
            ],
        );
        let mut policy = host.load::<AbCookie>(SETTINGS).unwrap();
        host.draws([9, 10]);
        let mut first = testing::get("/").field("x-variant", "mine");
        policy.edit_request(&mut first).unwrap();
        assert_eq!(first.values("x-variant"), [b"new"]);
        assert_eq!(policy.select(&first), Decision::Backend(1));
        let mut response = testing::response(200);
        policy.edit_response(&first, &mut response).unwrap();
        assert_eq!(
            response.text("set-cookie"),
            Some("exp=new; Path=/; Max-Age=2592000; SameSite=Lax")
        );

        let mut again = testing::get("/").field("cookie", "a=b; exp=new");
        policy.edit_request(&mut again).unwrap();
        assert_eq!(again.text("x-variant"), Some("new"));
        let mut response = testing::response(200);
        policy.edit_response(&again, &mut response).unwrap();
        assert_eq!(response.text("set-cookie"), None);

        let mut unknown = testing::get("/").field("cookie", "exp=gone");
        policy.edit_request(&mut unknown).unwrap();
        assert_eq!(unknown.text("x-variant"), Some("old"));
        assert_eq!(
            policy.select(&unknown),
            Decision::Pass,
            "no backend is only for it"
        );
        pool.set_healthy(1, false);
        assert_eq!(policy.select(&again), Decision::Pass);
        assert_eq!(host.counted("drawn"), 2);
    }

    #[test]
    fn mistakes_are_told() {
        let error = |settings: &str| Host::new().load::<AbCookie>(settings).unwrap_err();
        assert!(error(r#"{"cookie": "a b", "variants": {"a": 1}}"#).starts_with("\"a b\": names"));
        assert!(error(r#"{"cookie": "a", "variants": {"a;": 1}}"#).starts_with("\"a;\": names"));
        assert!(error(r#"{"cookie": "a", "variants": {"a": 0}}"#).starts_with("variants: the sum"));
        let field = |name: &str| {
            error(&format!(
                r#"{{"cookie": "a", "variants": {{"a": 1}}, "field": "{name}"}}"#
            ))
        };
        assert_eq!(
            field("host"),
            "field: \"host\" belongs to the proxy, not to a policy"
        );
        assert_eq!(field("a b"), "field: \"a b\" is not a field name");
        assert!(error(r#"{"cookie": "a"}"#).contains("missing field `variants`"));
    }
}
