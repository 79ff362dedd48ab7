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
    /// that a `CONNECT` has an authority alone, and every other request a scheme and a path.
    pub fn read(parts: &Parts) -> Self {
        let form = match parts.uri.scheme_str() {
            None if parts.method == Method::CONNECT => TargetForm::Authority,
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
