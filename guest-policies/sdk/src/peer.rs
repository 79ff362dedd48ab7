//! The connection that the current request came by.

use std::fmt;

/// The connection that the current request came by: the client's own, or, behind another proxy,
/// the one that this proxy has made. Outside a request's hooks there is none.
pub mod connection {
    use super::{HttpVersion, TlsVersion};
    use crate::contract::connection;

    /// The version of HTTP in which the client has sent the request.
    #[inline]
    pub fn protocol() -> HttpVersion {
        connection::protocol().into()
    }

    /// The version of TLS; `None` if the connection is not encrypted.
    #[inline]
    pub fn tls() -> Option<TlsVersion> {
        connection::tls().map(TlsVersion::from)
    }

    /// The cipher suite by its name in IANA's registry.
    #[inline]
    pub fn cipher_suite() -> Option<String> {
        connection::cipher_suite()
    }

    /// The name that the client asked for in the handshake (SNI), in lower case.
    #[inline]
    pub fn server_name() -> Option<String> {
        connection::server_name()
    }

    /// The protocol that was agreed to in the handshake (ALPN), such as `h2`.
    #[inline]
    pub fn application_protocol() -> Option<String> {
        connection::application_protocol()
    }
}

/// The certificate by which the client of the current request has proved its identity: only where
/// the listener asks for one, and only if it was verified. Behind another proxy it is that proxy's.
pub mod client_certificate {
    use super::SubjectName;
    use crate::contract::client_certificate;

    /// The subject's distinguished name as RFC 4514 writes it, such as
    /// `CN=client 7,O=Example,C=NL`.
    #[inline]
    pub fn subject() -> Option<String> {
        client_certificate::subject()
    }

    /// The subject's alternative names in the order of the certificate.
    #[inline]
    pub fn names() -> Vec<SubjectName> {
        let names = client_certificate::names().into_iter();
        names.map(SubjectName::from).collect()
    }

    /// The serial number in hexadecimal, lower case.
    #[inline]
    pub fn serial_number() -> Option<String> {
        client_certificate::serial_number()
    }

    /// The SHA-256 of the certificate in hexadecimal, lower case.
    #[inline]
    pub fn fingerprint() -> Option<String> {
        client_certificate::fingerprint()
    }

    /// When it expires, in milliseconds since 1970.
    #[inline]
    pub fn expires_milliseconds() -> Option<u64> {
        client_certificate::expires_milliseconds()
    }
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2, over TLS or without it.
    Http2,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// An alternative name of a certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectName {
    /// A DNS name as the certificate has it, such as `web.example.com` or `*.example.com`.
    Dns(String),
    /// A URI, such as `spiffe://example.com/web`.
    Uri(String),
    /// An address of mail.
    Email(String),
    /// An IP address.
    Address(String),
}

/// With its kind in front, as OpenSSL has it: `DNS:`, `URI:`, `email:` or `IP:`.
impl fmt::Display for SubjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let (kind, name) = match self {
            SubjectName::Dns(name) => ("DNS", name),
            SubjectName::Uri(uri) => ("URI", uri),
            SubjectName::Email(mail) => ("email", mail),
            SubjectName::Address(address) => ("IP", address),
        };
        formatter.write_str(kind)?;
        formatter.write_str(":")?;
        formatter.write_str(name)
    }
}
