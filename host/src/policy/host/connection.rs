//! What a guest can read of the connection that its request came by.

use super::super::bindings::waypost::policy::client_certificate::{self, SubjectName};
use super::super::bindings::waypost::policy::connection::{self, HttpVersion, TlsVersion};
use super::State;
use crate::message::{self, ClientCertificate, TlsSession, Version};
use crate::units::hex;

impl connection::Host for State {
    fn protocol(&mut self) -> HttpVersion {
        match self.context.request.version {
            Version::Http10 => HttpVersion::Http10,
            Version::Http11 => HttpVersion::Http11,
            Version::Http2 => HttpVersion::Http2,
        }
    }

    fn tls(&mut self) -> Option<TlsVersion> {
        self.session().map(|session| match session.version {
            message::TlsVersion::Tls12 => TlsVersion::Tls12,
            message::TlsVersion::Tls13 => TlsVersion::Tls13,
        })
    }

    fn cipher_suite(&mut self) -> Option<String> {
        self.session()
            .map(|session| session.cipher_suite.to_string())
    }

    fn server_name(&mut self) -> Option<String> {
        text(self.session()?.server_name.as_deref())
    }

    fn application_protocol(&mut self) -> Option<String> {
        text(self.session()?.protocol.as_deref())
    }
}

impl client_certificate::Host for State {
    fn subject(&mut self) -> Option<String> {
        text(Some(&*self.certificate()?.subject))
    }

    fn names(&mut self) -> Vec<SubjectName> {
        let certificate = self.certificate();
        let names = certificate.map_or(&[][..], |certificate| &certificate.names);
        names.iter().map(SubjectName::from).collect()
    }

    fn serial_number(&mut self) -> Option<String> {
        self.certificate().map(|own| hex(&own.serial_number))
    }

    fn fingerprint(&mut self) -> Option<String> {
        self.certificate().map(|own| hex(&own.fingerprint))
    }

    fn expires_milliseconds(&mut self) -> Option<u64> {
        self.certificate().map(|own| own.expires)
    }
}

impl State {
    fn session(&self) -> Option<&TlsSession> {
        self.context.request.tls.as_deref()
    }

    fn certificate(&self) -> Option<&ClientCertificate> {
        self.session()?.client.as_deref()
    }
}

fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

impl From<&message::SubjectName> for SubjectName {
    fn from(name: &message::SubjectName) -> Self {
        match name {
            message::SubjectName::Dns(name) => Self::Dns(name.to_string()),
            message::SubjectName::Uri(uri) => Self::Uri(uri.to_string()),
            message::SubjectName::Email(mail) => Self::Email(mail.to_string()),
            message::SubjectName::Address(address) => Self::Address(address.to_string()),
        }
    }
}
