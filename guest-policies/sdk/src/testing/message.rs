//! Requests and responses in a test.

use std::time::Duration;

use super::{
    TestPool,
    fields::Fields,
    state::{Incoming, Tls},
};
use crate::{HttpVersion, SubjectName, TlsVersion};

/// A request with this method for a path in normal form and perhaps a query.
///
/// The host is `example.com`, the client `192.0.2.1`, the pool the first of the host's.
pub fn request(method: &str, target: &str) -> TestRequest {
    let (path, query) = split(target);
    TestRequest {
        incoming: Incoming {
            method: method.to_owned(),
            scheme: "http",
            host: "example.com".to_owned(),
            path: path.to_owned(),
            raw_path: path.to_owned(),
            query: query.map(str::to_owned),
            client: "192.0.2.1".to_owned(),
            protocol: HttpVersion::Http11,
            tls: None,
            pool: 0,
            pools: None,
            time_left: None,
            fields: Fields::default(),
        },
    }
}

/// The path, and the query without its `?`.
pub(super) fn split(target: &str) -> (&str, Option<&str>) {
    target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)))
}

/// A GET request for a path and perhaps a query.
pub fn get(target: &str) -> TestRequest {
    request("GET", target)
}

/// A response of the first backend of the pool.
pub fn response(status: u16) -> TestResponse {
    TestResponse {
        status,
        backend: 0,
        fields: Fields::default(),
    }
}

/// A request on its way through the policy.
#[derive(Debug, Clone)]
pub struct TestRequest {
    pub(super) incoming: Incoming,
}

impl TestRequest {
    /// With one more field; a value need not be UTF-8.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.incoming.fields.append(name, value.as_ref());
        self
    }

    /// Received with this path, of which the request's is the normal form.
    #[must_use]
    pub fn raw_path(mut self, path: &str) -> Self {
        self.incoming.raw_path = path.to_owned();
        self
    }

    /// From a client with this IP address.
    #[must_use]
    pub fn client(mut self, address: &str) -> Self {
        self.incoming.client = address.to_owned();
        self
    }

    /// For this host.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.incoming.host = name.to_owned();
        self
    }

    /// By https.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.incoming.scheme = "https";
        self
    }

    /// In this version of HTTP.
    #[must_use]
    pub fn protocol(mut self, version: HttpVersion) -> Self {
        self.incoming.protocol = version;
        self
    }

    /// By a connection that is encrypted with this version of TLS, and so by https.
    #[must_use]
    pub fn tls(mut self, version: TlsVersion) -> Self {
        self.session().version = version;
        self
    }

    /// By an encrypted connection with this cipher suite.
    #[must_use]
    pub fn cipher_suite(mut self, name: &str) -> Self {
        self.session().cipher_suite = name.to_owned();
        self
    }

    /// By an encrypted connection for which the client asked for this name (SNI).
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.session().server_name = Some(name.to_owned());
        self
    }

    /// By an encrypted connection on which this protocol was agreed to (ALPN).
    #[must_use]
    pub fn application_protocol(mut self, name: &str) -> Self {
        self.session().application_protocol = Some(name.to_owned());
        self
    }

    /// From a client that has proved to own this certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: TestCertificate) -> Self {
        self.session().certificate = Some(certificate);
        self
    }

    fn session(&mut self) -> &mut Tls {
        self.incoming.scheme = "https";
        self.incoming.tls.get_or_insert_default()
    }

    /// On a route that leads to this pool.
    #[must_use]
    pub fn pool(mut self, pool: &TestPool) -> Self {
        self.incoming.pool = pool.id;
        self
    }

    /// On a route with these pools, or in a forward proxy with them.
    #[must_use]
    pub fn pools<'a>(mut self, pools: impl IntoIterator<Item = &'a TestPool>) -> Self {
        let ids = pools.into_iter().map(TestPool::id).collect();
        self.incoming.pools = Some(ids);
        self
    }

    /// How long the client still waits.
    pub fn time_left(mut self, time: Duration) -> Self {
        self.incoming.time_left = Some(time);
        self
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.incoming.fields.first(name)
    }

    /// The value of the first field of this name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.value(name)?).ok()
    }

    /// The values of all fields of this name.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        self.incoming.fields.values(name).collect()
    }
}

/// A client's certificate for this subject, as RFC 4514 writes it. It has no alternative names and
/// expires at the end of 2036.
pub fn certificate(subject: &str) -> TestCertificate {
    TestCertificate {
        subject: subject.to_owned(),
        names: Vec::new(),
        serial_number: "01".to_owned(),
        fingerprint: "00".repeat(32),
        expires_milliseconds: 2_114_380_799_000,
    }
}

/// A client's certificate that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCertificate {
    pub(super) subject: String,
    pub(super) names: Vec<SubjectName>,
    pub(super) serial_number: String,
    pub(super) fingerprint: String,
    pub(super) expires_milliseconds: u64,
}

impl TestCertificate {
    /// With one more alternative name.
    #[must_use]
    pub fn name(mut self, name: SubjectName) -> Self {
        self.names.push(name);
        self
    }

    /// With this serial number, in hexadecimal.
    #[must_use]
    pub fn serial_number(mut self, digits: &str) -> Self {
        self.serial_number = digits.to_owned();
        self
    }

    /// With this SHA-256, in hexadecimal.
    #[must_use]
    pub fn fingerprint(mut self, digits: &str) -> Self {
        self.fingerprint = digits.to_owned();
        self
    }

    /// Expires at this time, in milliseconds since 1970.
    #[must_use]
    pub fn expires_milliseconds(mut self, time: u64) -> Self {
        self.expires_milliseconds = time;
        self
    }
}

/// The head of a backend's response on its way through the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResponse {
    pub(super) status: u16,
    pub(super) backend: u32,
    pub(super) fields: Fields,
}

impl TestResponse {
    /// From the backend with this index; of no matter for a response that no backend has made.
    #[must_use]
    pub fn from_backend(mut self, backend: u32) -> Self {
        self.backend = backend;
        self
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.append(name, value.as_ref());
        self
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.fields.first(name)
    }

    /// The value of the first field of this name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.value(name)?).ok()
    }

    /// The values of all fields of this name.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        self.fields.values(name).collect()
    }
}
