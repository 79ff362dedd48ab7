//! The connection of a request, as it is recorded.

use serde::{Deserialize, Serialize};

use crate::message::{self, SubjectName, TlsSession, TlsVersion};
use crate::units::{hex, parse_hex};

/// The TLS session of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// The cipher suite.
    pub cipher_suite: String,
    /// The name that the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The protocol that was agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_protocol: Option<String>,
    /// The client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
}

/// A client's certificate that was verified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// The subject's distinguished name.
    pub subject: String,
    /// The alternative names, each with its kind in front.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// In hexadecimal.
    pub serial_number: String,
    /// In hexadecimal.
    pub fingerprint: String,
    /// In milliseconds since 1970.
    pub expires: u64,
}

impl Tls {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let texts = [&self.server_name, &self.application_protocol];
        let texts = texts.into_iter().flatten().map(String::len);
        let certificate = self.client_certificate.as_ref().map_or(0, |own| {
            let names = own.names.iter();
            let names = names.map(|name| size_of::<String>() + name.len());
            own.subject.len()
                + own.serial_number.len()
                + own.fingerprint.len()
                + names.sum::<usize>()
        });
        self.version.len() + self.cipher_suite.len() + texts.sum::<usize>() + certificate
    }

    /// The session that was recorded.
    ///
    /// # Errors
    ///
    /// What no proxy records.
    pub fn session(&self) -> Result<TlsSession, String> {
        let wrong = || format!("{:?} is not a version of TLS", self.version);
        let client = self.client_certificate.as_ref();
        let client = client.map(ClientCertificate::certificate).transpose()?;
        Ok(TlsSession {
            version: TlsVersion::parse(&self.version).ok_or_else(wrong)?,
            cipher_suite: self.cipher_suite.clone().into(),
            server_name: self.server_name.as_deref().map(Into::into),
            protocol: self.application_protocol.as_deref().map(Into::into),
            client: client.map(Box::new),
        })
    }
}

impl ClientCertificate {
    fn certificate(&self) -> Result<message::ClientCertificate, String> {
        let name = |text: &String| {
            SubjectName::parse(text).ok_or_else(|| format!("{text:?} is not an alternative name"))
        };
        let digits = |text: &str| {
            parse_hex(text).ok_or_else(|| format!("{text:?} is not a hexadecimal number"))
        };
        let names: Result<Vec<_>, String> = self.names.iter().map(name).collect();
        let fingerprint = digits(&self.fingerprint)?;
        Ok(message::ClientCertificate {
            subject: self.subject.as_str().into(),
            names: names?.into(),
            serial_number: digits(&self.serial_number)?.into(),
            expires: self.expires,
            fingerprint: fingerprint
                .try_into()
                .map_err(|_| format!("{:?} is not a fingerprint", self.fingerprint))?,
        })
    }
}

impl From<&TlsSession> for Tls {
    fn from(session: &TlsSession) -> Self {
        Self {
            version: session.version.as_str().to_owned(),
            cipher_suite: session.cipher_suite.to_string(),
            server_name: session.server_name.as_deref().map(str::to_owned),
            application_protocol: session.protocol.as_deref().map(str::to_owned),
            client_certificate: session.client.as_deref().map(Into::into),
        }
    }
}

impl From<&message::ClientCertificate> for ClientCertificate {
    fn from(certificate: &message::ClientCertificate) -> Self {
        Self {
            subject: certificate.subject.to_string(),
            names: certificate.names.iter().map(ToString::to_string).collect(),
            serial_number: hex(&certificate.serial_number),
            fingerprint: hex(&certificate.fingerprint),
            expires: certificate.expires,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> TlsSession {
        let names = ["DNS:a.test", "URI:spiffe://a.test/web", "IP:2001:db8::1"];
        let names = names.map(|name| SubjectName::parse(name).unwrap());
        TlsSession {
            version: TlsVersion::Tls12,
            cipher_suite: "TLS_AES_128_GCM_SHA256".into(),
            server_name: Some("edge.test".into()),
            protocol: Some("h2".into()),
            client: Some(Box::new(message::ClientCertificate {
                subject: "CN=client 7".into(),
                names: names.into(),
                serial_number: [0x80, 1].into(),
                expires: 1_800_000_000_000,
                fingerprint: [7; 32],
            })),
        }
    }

    #[test]
    fn a_session_is_read_as_it_was_recorded() {
        let mut bare = session();
        (bare.server_name, bare.protocol, bare.client) = (None, None, None);
        for session in [session(), bare] {
            let json = serde_json::to_string(&Tls::from(&session)).unwrap();
            let read: Tls = serde_json::from_str(&json).unwrap();
            assert_eq!(read.session(), Ok(session), "{json}");
        }
    }

    #[test]
    fn what_no_proxy_records_is_named() {
        let changed = |change: &dyn Fn(&mut Tls, &mut ClientCertificate)| {
            let mut tls = Tls::from(&session());
            let mut certificate = tls.client_certificate.take().unwrap();
            change(&mut tls, &mut certificate);
            tls.client_certificate = Some(certificate);
            tls.session().unwrap_err()
        };
        for (reason, expected) in [
            (
                changed(&|tls, _| tls.version = "SSLv3".to_owned()),
                "\"SSLv3\" is not a version of TLS",
            ),
            (
                changed(&|_, own| own.names.push("a.test".to_owned())),
                "\"a.test\" is not an alternative name",
            ),
            (
                changed(&|_, own| own.serial_number.push('z')),
                "\"8001z\" is not a hexadecimal number",
            ),
            (
                changed(&|_, own| own.fingerprint = "07".to_owned()),
                "\"07\" is not a fingerprint",
            ),
        ] {
            assert_eq!(reason, expected);
        }
    }
}
