//! Lets in only clients whose certificate has an allowed name, and tells the backend which.
//!
//! Use it where services or devices prove their identity by certificates (mutual TLS). The listener
//! has to ask for them (`client-ca`); with `client-certificate = "optional"` other routes of it
//! stay open to all. A client without a certificate, or with another name, gets 403. The backend
//! gets the name in a field, and no client can write that. Set `on-failure = 403` for the policy,
//! or the proxy lets everybody in when it fails.
//!
//! ```toml
//! [policies.partners.settings]
//! field = "x-client-name"            # tells the backend; what a client sends in it is dropped
//! # A name with its kind in front: DNS, URI, email or IP, or subject for the whole subject. A * at
//! # the end stands for anything. Left out, every certificate that was verified is let in.
//! allow = ["DNS:billing.example.com", "URI:spiffe://example.com/web/*", "subject:CN=robot 7,O=Example"]
//! ```

use serde::Deserialize;
use waypost_policy::{client_certificate, prelude::*};

/// The kinds of names.
const KINDS: [&str; 5] = ["DNS", "URI", "email", "IP", "subject"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientCertificate {
    field: String,
    allow: Option<Vec<String>>,
}

impl Configure for ClientCertificate {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: ClientCertificate = settings.parse()?;
        Headers::check_name("field", &options.field)?;
        for name in options.allow.iter().flatten() {
            let kind = name.split_once(':').map(|(kind, _)| kind);
            if !kind.is_some_and(|kind| KINDS.contains(&kind)) {
                return Err(format!(
                    "allow: \"{name}\" has to begin with DNS:, URI:, email:, IP: or subject:"
                ));
            }
        }
        Ok(options)
    }
}

impl EditRequest for ClientCertificate {
    fn edit_request(&mut self, _request: &Request, headers: &mut Headers) -> Result<(), Response> {
        let refused = || Response::new(403).text("This needs another client certificate.\n");
        headers.remove(&self.field).map_err(|_| refused())?;
        let name = self.name().ok_or_else(refused)?;
        headers.set(&self.field, name).map_err(|_| refused())
    }
}

impl ClientCertificate {
    /// The name that lets the client in, if one does.
    fn name(&self) -> Option<String> {
        let subject = client_certificate::subject()?;
        let names = client_certificate::names().into_iter();
        let mut names = names
            .map(|name| name.to_string())
            .chain([format!("subject:{subject}")]);
        names.find(|name| self.allows(name))
    }

    fn allows(&self, name: &str) -> bool {
        let Some(allow) = &self.allow else {
            return true;
        };
        allow.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == allowed,
        })
    }
}

waypost_policy::export!(ClientCertificate: Configure, EditRequest);

#[cfg(test)]
mod tests {
    use waypost_policy::{
        SubjectName,
        testing::{self, Host, TestCertificate, TestRequest},
    };

    use super::*;

    fn from(certificate: TestCertificate) -> TestRequest {
        testing::get("/")
            .field("x-client-name", "URI:spiffe://example.com/web/admin")
            .certificate(certificate)
    }

    fn robot() -> TestCertificate {
        testing::certificate("CN=robot 7,O=Example")
            .name(SubjectName::Dns("other.example.com".to_owned()))
            .name(SubjectName::Uri("spiffe://example.com/web/7".to_owned()))
    }

    /// What the backend is told, or the status of the refusal.
    fn told(settings: &str, mut request: TestRequest) -> Result<String, u16> {
        let mut policy = Host::new().load::<ClientCertificate>(settings).unwrap();
        match policy.edit_request(&mut request) {
            Ok(()) => Ok(request.values("x-client-name").concat())
                .map(|name| String::from_utf8_lossy(&name).into_owned()),
            Err(refusal) => Err(refusal.status),
        }
    }

    fn allowing(names: &str) -> String {
        format!(r#"{{"field": "x-client-name", "allow": [{names}]}}"#)
    }

    #[test]
    fn the_first_allowed_name_goes_to_the_backend() {
        for (allow, name) in [
            (
                r#""URI:spiffe://example.com/web/*""#,
                "URI:spiffe://example.com/web/7",
            ),
            (
                r#""DNS:a.test", "DNS:other.example.com""#,
                "DNS:other.example.com",
            ),
            (
                r#""subject:CN=robot 7,O=Example""#,
                "subject:CN=robot 7,O=Example",
            ),
            (r#""DNS:*", "URI:*""#, "DNS:other.example.com"),
        ] {
            assert_eq!(told(&allowing(allow), from(robot())).as_deref(), Ok(name));
        }
        let any = r#"{"field": "x-client-name"}"#;
        assert_eq!(
            told(any, from(testing::certificate("CN=a"))).as_deref(),
            Ok("subject:CN=a")
        );
    }

    #[test]
    fn all_others_are_refused() {
        for allow in [
            "",
            r#""DNS:example.com""#,
            r#""URI:spiffe://example.com/web""#,
            r#""subject:CN=robot 7""#,
            r#""email:other.example.com""#,
        ] {
            assert_eq!(told(&allowing(allow), from(robot())), Err(403), "{allow}");
        }
        for settings in [r#"{"field": "x-client-name"}"#, &allowing(r#""DNS:*""#)] {
            assert_eq!(told(settings, testing::get("/")), Err(403));
            assert_eq!(told(settings, testing::get("/").https()), Err(403));
        }
        // A name that no field can carry.
        let newline = testing::certificate("").name(SubjectName::Dns("a\nb".to_owned()));
        assert_eq!(told(&allowing(r#""DNS:*""#), from(newline)), Err(403));
    }

    #[test]
    fn mistakes_are_told() {
        let host = Host::new();
        let error = |settings: &str| host.load::<ClientCertificate>(settings).unwrap_err();
        assert_eq!(
            error(&allowing(r#""example.com""#)),
            "allow: \"example.com\" has to begin with DNS:, URI:, email:, IP: or subject:"
        );
        assert!(error(r#"{"field": "a b"}"#).starts_with("field: "));
        assert!(error("{}").contains("field"));
    }
}
