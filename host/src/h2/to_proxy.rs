//! What a request says to the forward proxy that it is sent to, beside what goes on.

use http::header::PROXY_AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, Method};

use crate::message::{TargetForm, ToProxy};

/// The same, for as long as the request is served.
#[derive(Debug)]
pub struct KeptToProxy {
    form: TargetForm,
    authorization: Option<HeaderValue>,
}

impl KeptToProxy {
    /// Reads it out of a head that [`super::read_request`] has accepted. The engine has seen to it
    /// that a `CONNECT` has neither scheme nor path, and every other request has both. A `host`
    /// does not stand in the place of `:authority` (RFC 9113 section 8.5).
    pub fn read(parts: &Parts) -> Self {
        let has_authority = parts.uri.authority().is_some();
        let form = match parts.uri.scheme_str() {
            None if parts.method == Method::CONNECT && has_authority => TargetForm::Authority,
            Some("http") => TargetForm::Absolute { https: false },
            Some("https") => TargetForm::Absolute { https: true },
            _ => TargetForm::Origin,
        };
        let mut all = parts.headers.get_all(PROXY_AUTHORIZATION).iter();
        let authorization = all.next().filter(|_| all.next().is_none());
        Self {
            form,
            authorization: authorization.cloned(),
        }
    }

    /// What it says.
    pub fn said(&self) -> ToProxy<'_> {
        ToProxy {
            form: self.form,
            authorization: self.authorization.as_ref().map(HeaderValue::as_bytes),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::*;

    #[test]
    fn a_connect_names_its_destination_by_authority() {
        let form = |uri: &str| {
            let connect = http::Request::builder().method(Method::CONNECT).uri(uri);
            let connect = connect.header("host", "a.test:443").body(()).unwrap();
            KeptToProxy::read(&connect.into_parts().0).form
        };
        assert_eq!(form("a.test:443"), TargetForm::Authority);
        assert_eq!(form("/"), TargetForm::Origin);
    }
}
