//! The message of a recorded call, as its policy saw it.

use std::sync::Arc;

use http::Method;

use super::super::RehearsalError;
use super::log::RecordedCall;
use crate::document::brief;
use crate::message::{Fields, RequestHead, Scheme, Version, syntax};
use crate::recording::{Field, Target, Tls};

/// Longer than any name that the proxy takes.
const LONGEST_NAME: usize = u16::MAX as usize;

/// The request before the call.
pub(super) fn head(recorded: &RecordedCall<'_>) -> Result<RequestHead, RehearsalError> {
    let request = recorded.request;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| broken(recorded, &format!("{:?} is not a method", request.method)))?;
    let target = match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let version = match request.protocol.as_str() {
        "" => Version::default(),
        written => Version::parse(written)
            .ok_or_else(|| broken(recorded, &format!("{written:?} is not a version of HTTP")))?,
    };
    let tls = request.tls.as_ref().map(Tls::session).transpose();
    let tls = tls.map_err(|wrong| broken(recorded, &wrong))?;
    let mut head = RequestHead {
        method,
        authority: request.host.clone(),
        host: request.host.clone(),
        scheme: Scheme::parse(request.scheme.as_bytes()).unwrap_or_default(),
        client: request.client,
        version,
        tls: tls.map(Arc::new),
        fields: fields(recorded, recorded.fields)?,
        ..RequestHead::default()
    };
    head.set_target(&target);
    let by_route = recorded.call.target.as_ref().map(Target::by_route);
    head.by_route = by_route.map(Box::new);
    Ok(head)
}

/// Recorded fields, if a proxy can have recorded them.
pub(super) fn fields(
    recorded: &RecordedCall<'_>,
    list: &[Field],
) -> Result<Fields, RehearsalError> {
    let mut fields = Fields::new();
    for Field(name, value) in list {
        if !syntax::is_token(name.as_bytes()) || name.len() > LONGEST_NAME {
            return Err(broken(recorded, &format!("{name:?} is not a field's name")));
        }
        fields.append(name.as_bytes(), &value.0);
    }
    Ok(fields)
}

/// The error for a record that no proxy writes.
pub(super) fn broken(recorded: &RecordedCall<'_>, what: &str) -> RehearsalError {
    RehearsalError::Recording(format!(
        "line {}: {}; no proxy records that, so the line was changed; remove it",
        recorded.line,
        brief(what)
    ))
}
