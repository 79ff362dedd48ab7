//! Between the generated bindings and this crate's own types; used by [`export!`](crate::export)
//! only.

pub use crate::bindings::{
    completion as completion_world, configuration as configuration_world,
    imports::waypost::policy::types::{Headers, Request, Response, Target},
    local_response as local_response_world, topology as topology_world,
};
pub use crate::bindings::{
    completion::{export_completion, exports::waypost::policy::completion},
    configuration::{export_configuration, exports::waypost::policy::configuration},
    destination::{export_destination, exports::waypost::policy::destination},
    local_response::{export_local_response, exports::waypost::policy::local_response},
    range::{export_range, exports::waypost::policy::range},
    request_headers::{export_request_headers, exports::waypost::policy::request_headers},
    request_target::{export_request_target, exports::waypost::policy::request_target},
    response_headers::{export_response_headers, exports::waypost::policy::response_headers},
    routing::{export_routing, exports::waypost::policy::routing},
    selection::{export_selection, exports::waypost::policy::selection},
    topology::{export_topology, exports::waypost::policy::topology},
};
pub use crate::deferred::{
    destination as destination_world, range as range_world,
    request_headers as request_headers_world, request_target as request_target_world,
    response_headers as response_headers_world, routing as routing_world,
    selection as selection_world,
};
pub use crate::panics::report_panics;

use std::time::Duration;

use crate::{
    Backend, ByteRange, Decision, Failure, HeaderError, HttpVersion, Outcome, Pool, PoolDecision,
    RangeVerdict, RequestFailure, ResponseSource, StoreError, SubjectName, TargetError, TlsVersion,
    bindings::imports::waypost::policy::{attempts, client_certificate, connection, store, types},
};

/// What `backends-changed` is told.
pub fn told(
    pool: topology::Pool,
    generation: u64,
    backends: Vec<topology::Backend>,
) -> (Pool, Vec<Backend>) {
    let backend = |told: topology::Backend| Backend {
        address: told.address,
        weight: told.weight,
        labels: told.labels,
    };
    (
        Pool {
            id: pool.id,
            name: pool.name,
            generation,
        },
        backends.into_iter().map(backend).collect(),
    )
}

impl From<completion::Outcome> for Outcome {
    #[inline]
    fn from(told: completion::Outcome) -> Self {
        Outcome {
            pool: told.pool,
            backend: told.backend.into(),
            status: told.status,
            failure: told.failure.map(Into::into),
            attempts: told.attempts,
            first_byte: told.first_byte_microseconds.map(Duration::from_micros),
            latency: told.latency_microseconds.map(Duration::from_micros),
            duration: Duration::from_micros(told.duration_microseconds),
            request_bytes: told.request_bytes,
            response_bytes: told.response_bytes,
        }
    }
}

impl From<completion::Failure> for RequestFailure {
    #[inline]
    fn from(failure: completion::Failure) -> Self {
        match failure {
            completion::Failure::Client => RequestFailure::Client,
            completion::Failure::Policy => RequestFailure::Policy,
            completion::Failure::Refused => RequestFailure::Refused,
            completion::Failure::Backend => RequestFailure::Backend,
            completion::Failure::Timeout => RequestFailure::Timeout,
            completion::Failure::Cancelled => RequestFailure::Cancelled,
        }
    }
}

impl From<crate::Response> for Response {
    #[inline]
    fn from(response: crate::Response) -> Self {
        Response {
            status: response.status,
            headers: response.fields,
            body: response.body,
        }
    }
}

impl From<Decision> for Result<Option<u32>, Response> {
    #[inline(always)]
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Backend(backend) => Ok(Some(backend)),
            Decision::Pass => Ok(None),
            Decision::Answer(response) => Err(response.into()),
        }
    }
}

impl From<PoolDecision> for Result<Option<u32>, Response> {
    #[inline(always)]
    fn from(decision: PoolDecision) -> Self {
        match decision {
            PoolDecision::Pool(index) => Ok(Some(index)),
            PoolDecision::Pass => Ok(None),
            PoolDecision::Answer(response) => Err(response.into()),
        }
    }
}

impl From<local_response::Source> for ResponseSource {
    #[inline]
    fn from(source: local_response::Source) -> Self {
        match source {
            local_response::Source::Proxy => ResponseSource::Proxy,
            local_response::Source::Policy => ResponseSource::Policy,
        }
    }
}

impl From<RangeVerdict> for Result<Option<Vec<range::ByteRange>>, Response> {
    #[inline]
    fn from(verdict: RangeVerdict) -> Self {
        match verdict {
            RangeVerdict::Untouched => Ok(None),
            RangeVerdict::Ignore => Ok(Some(Vec::new())),
            RangeVerdict::Ranges(ranges) => Ok(Some(ranges.into_iter().map(byte_range).collect())),
            RangeVerdict::Answer(response) => Err(response.into()),
        }
    }
}

fn byte_range(range: ByteRange) -> range::ByteRange {
    let (first, last) = match range {
        ByteRange::Between(first, last) => (Some(first), Some(last)),
        ByteRange::From(first) => (Some(first), None),
        ByteRange::Final(length) => (None, Some(length)),
    };
    range::ByteRange { first, last }
}

impl From<types::HeaderError> for HeaderError {
    #[inline]
    fn from(error: types::HeaderError) -> Self {
        match error {
            types::HeaderError::InvalidName => HeaderError::InvalidName,
            types::HeaderError::InvalidValue => HeaderError::InvalidValue,
            types::HeaderError::Forbidden => HeaderError::Forbidden,
            types::HeaderError::TooMany => HeaderError::TooMany,
        }
    }
}

impl From<types::TargetError> for TargetError {
    #[inline]
    fn from(error: types::TargetError) -> Self {
        match error {
            types::TargetError::NotAllowed => TargetError::NotAllowed,
            types::TargetError::Invalid => TargetError::Invalid,
            types::TargetError::TooMany => TargetError::TooMany,
        }
    }
}

impl From<store::StoreError> for StoreError {
    #[inline]
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::KeyTooLong => StoreError::KeyTooLong,
            store::StoreError::ValueTooLong => StoreError::ValueTooLong,
            store::StoreError::NoRoom => StoreError::NoRoom,
        }
    }
}

impl From<connection::HttpVersion> for HttpVersion {
    #[inline]
    fn from(version: connection::HttpVersion) -> Self {
        match version {
            connection::HttpVersion::Http10 => HttpVersion::Http10,
            connection::HttpVersion::Http11 => HttpVersion::Http11,
            connection::HttpVersion::Http2 => HttpVersion::Http2,
        }
    }
}

impl From<connection::TlsVersion> for TlsVersion {
    #[inline]
    fn from(version: connection::TlsVersion) -> Self {
        match version {
            connection::TlsVersion::Tls12 => TlsVersion::Tls12,
            connection::TlsVersion::Tls13 => TlsVersion::Tls13,
        }
    }
}

impl From<client_certificate::SubjectName> for SubjectName {
    #[inline]
    fn from(name: client_certificate::SubjectName) -> Self {
        match name {
            client_certificate::SubjectName::Dns(name) => SubjectName::Dns(name),
            client_certificate::SubjectName::Uri(uri) => SubjectName::Uri(uri),
            client_certificate::SubjectName::Email(mail) => SubjectName::Email(mail),
            client_certificate::SubjectName::Address(address) => SubjectName::Address(address),
        }
    }
}

impl From<attempts::Failure> for Failure {
    #[inline]
    fn from(failure: attempts::Failure) -> Self {
        match failure {
            attempts::Failure::Connect => Failure::Connect,
            attempts::Failure::ConnectTimeout => Failure::ConnectTimeout,
            attempts::Failure::Closed => Failure::Closed,
            attempts::Failure::Other => Failure::Other,
        }
    }
}
