//! Answers with a page while there is maintenance, but lets those pass who do it.
//!
//! Use it to close a site for an hour without touching its backends: deploy the policy, or set
//! `active`, and take it back. Who comes from a network of `allow`, brings the `bypass` field, or
//! asks for a path of `except` (a health check, a status page) is served as ever. Everybody else
//! gets 503 with `retry-after`, which search engines and clients understand.
//!
//! ```toml
//! [policies.closed.settings]
//! active = true                                        # true if left out
//! retry-after = 1800                                   # seconds; 600 if left out
//! page = "<h1>Back at noon</h1>"                       # HTML; a short sentence if left out
//! allow = ["192.0.2.0/24", "2001:db8::/32"]
//! bypass = { field = "x-maintenance", value = "let me in" }
//! except = ["/health"]                                 # these paths and all below them, but none with a dot segment
//! ```

use std::net::IpAddr;

use serde::Deserialize;
use waypost_policy::{Network, prelude::*};

const PAGE: &str = "<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>\n";

/// As much as a policy's answer may hold.
const LARGEST_PAGE: usize = 64 * 1024;

struct MaintenancePage {
    options: Options,
    allow: Vec<Network>,
    refused: Counter,
    let_in: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Options {
    active: bool,
    retry_after: u32,
    page: String,
    allow: Vec<String>,
    bypass: Option<Bypass>,
    except: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bypass {
    field: String,
    value: String,
}

impl Default for Options {
    fn default() -> Self {
        let (allow, except) = (Vec::new(), Vec::new());
        Options {
            active: true,
            retry_after: 600,
            page: PAGE.to_owned(),
            allow,
            bypass: None,
            except,
        }
    }
}

impl Configure for MaintenancePage {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if options.page.len() > LARGEST_PAGE {
            return Err(format!(
                "page: has {} bytes; {LARGEST_PAGE} is the most",
                options.page.len()
            ));
        }
        if options
            .bypass
            .as_ref()
            .is_some_and(|bypass| bypass.value.is_empty())
        {
            return Err(
                "bypass.value: is empty; a field without a value would let everybody in".to_owned(),
            );
        }
        if let Some(bypass) = &options.bypass {
            Headers::check_name("bypass.field", &bypass.field)?;
        }
        if let Some(path) = options.except.iter().find(|path| !path.starts_with('/')) {
            return Err(format!("except: \"{path}\" has to start with a slash"));
        }
        let allow = options
            .allow
            .iter()
            .map(|text| text.parse().map_err(|why| format!("allow: {why}")));
        let allow = allow.collect::<Result<Vec<Network>, String>>()?;
        let (refused, let_in) = (Counter::define("refused")?, Counter::define("let_in")?);
        Ok(MaintenancePage {
            options,
            allow,
            refused,
            let_in,
        })
    }
}

impl EditRequest for MaintenancePage {
    fn edit_request(&mut self, request: &Request, headers: &mut Headers) -> Result<(), Response> {
        if !self.options.active {
            return Ok(());
        }
        if self.may_pass(request) {
            self.let_in.count();
            if let Some(bypass) = &self.options.bypass {
                // The backend need not know the word. What `connection` names can't be removed, but
                // is not there either.
                let _ = headers.remove(&bypass.field);
            }
            return Ok(());
        }
        self.refused.count();
        let page = Response::new(503).field("retry-after", self.options.retry_after.to_string());
        Err(page
            .field("cache-control", "no-store")
            .html(self.options.page.as_str()))
    }
}

impl MaintenancePage {
    fn may_pass(&self, request: &Request) -> bool {
        let Options { except, bypass, .. } = &self.options;
        let asked = |bypass: &Bypass| {
            request
                .header(&bypass.field)
                .is_some_and(|value| value == bypass.value.as_bytes())
        };
        let path = request.path();
        let client = || request.client_address().parse::<IpAddr>();
        except.iter().any(|above| is_below(above, &path)) && !has_dot_segment(&path)
            || bypass.as_ref().is_some_and(asked)
            || !self.allow.is_empty()
                && client().is_ok_and(|client| self.allow.iter().any(|n| n.holds(client)))
    }
}

/// Whether this path is that one or below it: `/health/live` is below `/health`, `/healthy` is not.
fn is_below(above: &str, path: &str) -> bool {
    path.strip_prefix(above.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a backend might go up from where the path seems to lead. Backends differ in what they
/// take for `/`, and what for a dot.
fn has_dot_segment(path: &str) -> bool {
    let lower = path.to_ascii_lowercase().replace("%2e", ".");
    let plain = lower
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace('\\', "/")
        .replace("%3b", ";");
    plain
        .split('/')
        .any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

waypost_policy::export!(MaintenancePage: Configure, EditRequest);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    const SETTINGS: &str = r#"{"retry-after": 60, "page": "<p>later", "allow": ["198.51.100.0/24", "2001:db8::/32"],
        "bypass": {"field": "x-maintenance", "value": "secret"}, "except": ["/health"]}"#;

    #[test]
    fn everybody_gets_the_page_but_those_who_may_pass() {
        let host = Host::new();
        let mut policy = host.load::<MaintenancePage>(SETTINGS).unwrap();
        let refusal = policy.edit_request(&mut testing::get("/")).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.body.as_slice()),
            (503, &b"<p>later"[..])
        );
        assert_eq!(refusal.value("retry-after"), Some(&b"60"[..]));
        let secret = |value: &str| testing::get("/").field("x-maintenance", value);
        assert!(policy.edit_request(&mut secret("wrong")).is_err());
        let mut insider = secret("secret");
        for passes in [
            &mut insider,
            &mut testing::get("/health/live"),
            &mut testing::get("/").client("198.51.100.7"),
            &mut testing::get("/").client("2001:db8::7"),
        ] {
            assert_eq!(policy.edit_request(passes), Ok(()));
        }
        assert_eq!(
            insider.value("x-maintenance"),
            None,
            "the backend does not see the word"
        );
        assert_eq!((host.counted("refused"), host.counted("let_in")), (2, 4));
        let mut open = host
            .load::<MaintenancePage>(r#"{"active": false}"#)
            .unwrap();
        assert_eq!(open.edit_request(&mut testing::get("/")), Ok(()));
    }

    #[test]
    fn exceptions_are_whole_segments_and_never_go_up() {
        let mut policy = Host::new()
            .load::<MaintenancePage>(r#"{"except": ["/health", "/status/"]}"#)
            .unwrap();
        let mut passes = |path: &str| policy.edit_request(&mut testing::get(path)).is_ok();
        for path in [
            "/health",
            "/health/",
            "/health/a.b/..c",
            "/health?a=/../",
            "/status",
            "/status/now",
            "/health/...",
            "/health//x",
        ] {
            assert!(passes(path), "{path}");
        }
        for path in [
            "/healthsecret",
            "/health.html",
            "/Health",
            "/statusquo",
            "/health/../admin",
            "/health/..",
            "/health/./x",
            "/health/%2e%2E/admin",
            "/health/.%2e/admin",
            "/health/..%2Fadmin",
            "/health/%2e%2e%5cadmin",
            "/health/..\\admin",
            "/health/..;a=b/admin",
        ] {
            assert!(!passes(path), "{path}");
        }
        let mut all = Host::new()
            .load::<MaintenancePage>(r#"{"except": ["/"]}"#)
            .unwrap();
        assert_eq!(all.edit_request(&mut testing::get("/any")), Ok(()));
    }

    #[test]
    fn mistakes_are_told() {
        for (settings, expected) in [
            (
                r#"{"allow": ["198.51.100.1/24"]}"#.to_owned(),
                "allow: \"198.51.100.1/24\" is no network",
            ),
            (
                r#"{"bypass": {"field": "x", "value": ""}}"#.to_owned(),
                "bypass.value: is empty",
            ),
            (
                r#"{"bypass": {"field": "Host", "value": "x"}}"#.to_owned(),
                "bypass.field: \"Host\" belongs to the proxy",
            ),
            (
                r#"{"bypass": {"field": "x"}}"#.to_owned(),
                "bypass: missing field `value`",
            ),
            (
                r#"{"except": ["health"]}"#.to_owned(),
                "except: \"health\" has to start",
            ),
            (
                format!(r#"{{"page": "{}"}}"#, "x".repeat(65_537)),
                "page: has 65537 bytes",
            ),
        ] {
            let error = Host::new().load::<MaintenancePage>(settings).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
