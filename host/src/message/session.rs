//! The TLS session that a request came by, as its handshake showed it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// The TLS session of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSession {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The suite's name in the registry of IANA.
    pub cipher_suite: Cow<'static, str>,
    /// The host that the client asked for (SNI), in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocol that both sides agreed to (ALPN).
    pub protocol: Option<Box<str>>,
    /// The certificate that the client has proved to own, if it was asked for one.
    pub client: Option<Box<ClientCertificate>>,
}

/// A version of TLS that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    #[default]
    Tls13,
}

/// A certificate that was verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject's distinguished name as RFC 4514 writes it, such as
    /// `CN=client 7,O=Example,C=NL`.
    pub subject: Box<str>,
    /// The alternative names of the subject.
    pub names: Box<[SubjectName]>,
    /// The serial number: a whole number, the most significant byte first.
    pub serial_number: Box<[u8]>,
    /// When it expires, in milliseconds since 1970.
    pub expires: u64,
    /// The SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
}

/// An alternative name of a certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectName {
    /// A DNS name.
    Dns(Box<str>),
    /// A URI.
    Uri(Box<str>),
    /// An address of mail.
    Email(Box<str>),
    /// An IP address.
    Address(IpAddr),
}

impl TlsVersion {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// `TLSv1.2` or `TLSv1.3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

impl SubjectName {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        match kind {
            "DNS" => Some(Self::Dns(name.into())),
            "URI" => Some(Self::Uri(name.into())),
            "email" => Some(Self::Email(name.into())),
            "IP" => name.parse().ok().map(Self::Address),
            _ => None,
        }
    }
}

/// With its kind in front, as OpenSSL has it: `DNS:`, `URI:`, `email:` or `IP:`.
impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Email(address) => write!(f, "email:{address}"),
            Self::Address(address) => write!(f, "IP:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_read_as_they_are_written() {
        for text in [
            "DNS:a.test",
            "DNS:",
            "URI:spiffe://a.test/web?b:c",
            "email:a@b.test",
            "IP:192.0.2.1",
            "IP:2001:db8::1",
        ] {
            assert_eq!(SubjectName::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "DNS", "dns:a.test", "IP:a.test", "a.test"] {
            assert_eq!(SubjectName::parse(text), None, "{text}");
        }
        for version in TlsVersion::ALL {
            assert_eq!(TlsVersion::parse(version.as_str()), Some(version));
        }
        assert_eq!(TlsVersion::parse("TLSv1.1"), None);
    }
}
