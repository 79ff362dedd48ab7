//! What a client's certificate says, once it was verified.
//!
//! Policies decide by it, so it is taken whole or not at all: a certificate that says more than is
//! kept, or something that can't be read, is refused like one that does not verify.

use std::fmt::Write as _;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{Any, FromDer, Tag, ToDer};
use x509_parser::extensions::GeneralName;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::certificate::{address, parsed};
use crate::message::{ClientCertificate, SubjectName};
use crate::text::is_unseen;

/// The longest subject.
const SUBJECT: usize = 4096;
/// The most alternative names.
const NAMES: usize = 256;
/// The bytes of all of them together.
const NAME_BYTES: usize = 16 * 1024;

/// Why a certificate is refused that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientCertificateError {
    /// It has no form.
    #[error("the client's certificate can't be read")]
    Malformed,
    /// The subject's distinguished name.
    #[error("the subject of the client's certificate is longer than {SUBJECT} bytes")]
    Subject,
    /// A name that no party would write.
    #[error(
        "an alternative name of the client's certificate has a character that such a name can't \
         have, such as a line break"
    )]
    Characters,
    /// The alternative names.
    #[error(
        "the client's certificate has more than {NAMES} alternative names, or more than \
         {NAME_BYTES} bytes of them"
    )]
    Names,
}

/// Reads a certificate.
pub(super) fn read(der: &CertificateDer<'_>) -> Result<ClientCertificate, ClientCertificateError> {
    let malformed = |_| ClientCertificateError::Malformed;
    let certificate = parsed(der).map_err(|_| ClientCertificateError::Malformed)?;
    let alternative = certificate.subject_alternative_name().map_err(malformed)?;
    let names = alternative.map(|names| names.value.general_names.as_slice());
    let serial = certificate.raw_serial();
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    let expires = certificate.validity().not_after.timestamp();
    Ok(ClientCertificate {
        subject: distinguished_name(certificate.subject())?.into(),
        names: alternative_names(names.unwrap_or_default())?,
        // The first of the bytes is there for the sign alone.
        serial_number: serial[zeros.min(serial.len().saturating_sub(1))..].into(),
        expires: u64::try_from(expires)
            .unwrap_or_default()
            .saturating_mul(1000),
        fingerprint: Sha256::digest(der).into(),
    })
}

fn alternative_names(
    names: &[GeneralName<'_>],
) -> Result<Box<[SubjectName]>, ClientCertificateError> {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for name in names {
        let name = match name {
            GeneralName::DNSName(name) => SubjectName::Dns(plain(name, false)?),
            GeneralName::URI(uri) => SubjectName::Uri(plain(uri, false)?),
            GeneralName::RFC822Name(mail) => SubjectName::Email(plain(mail, true)?),
            GeneralName::IPAddress(octets) => {
                SubjectName::Address(address(octets).ok_or(ClientCertificateError::Malformed)?)
            }
            GeneralName::Invalid(..) => return Err(ClientCertificateError::Malformed),
            _ => continue,
        };
        bytes += match &name {
            SubjectName::Dns(text) | SubjectName::Uri(text) | SubjectName::Email(text) => {
                text.len()
            }
            SubjectName::Address(_) => size_of::<IpAddr>(),
        };
        if kept.len() == NAMES || bytes > NAME_BYTES {
            return Err(ClientCertificateError::Names);
        }
        kept.push(name);
    }
    Ok(kept.into())
}

/// A name of visible characters of ASCII, as all of these are (RFC 5280 section 4.2.1.6); a quoted
/// part of an address of mail may have spaces. With a NUL or a line break a name can look like
/// another one to what it is passed to.
fn plain(name: &str, spaces: bool) -> Result<Box<str>, ClientCertificateError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() || spaces && byte == b' ';
    match name.bytes().all(is_plain) {
        true => Ok(name.into()),
        false => Err(ClientCertificateError::Characters),
    }
}

/// As RFC 4514 section 2 writes it: the last part of the sequence first, and everything escaped
/// that means something, so that no value can look like two.
pub(super) fn distinguished_name(name: &X509Name<'_>) -> Result<String, ClientCertificateError> {
    if attributes(name.as_raw()) != Some(name.iter_attributes().count()) {
        return Err(ClientCertificateError::Malformed);
    }
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (at, part) in parts.into_iter().rev().enumerate() {
        if at > 0 {
            text.push(',');
        }
        for (at, attribute) in part.iter().enumerate() {
            if at > 0 {
                text.push('+');
            }
            write_attribute(attribute, &mut text).ok_or(ClientCertificateError::Malformed)?;
            if text.len() > SUBJECT {
                return Err(ClientCertificateError::Subject);
            }
        }
    }
    Ok(text)
}

/// How many attributes a name has (RFC 5280 section 4.1.2.4); `None` if it has another form. The
/// parser reads a name up to the first part that it does not understand, and says nothing of the
/// rest.
fn attributes(name: &[u8]) -> Option<usize> {
    let [name] = items(name, Tag::Sequence)?[..] else {
        return None;
    };
    let mut count = 0;
    for part in items(name, Tag::Set)? {
        let found = items(part, Tag::Sequence)?;
        if found.is_empty() {
            return None;
        }
        for attribute in &found {
            let (value, kind) = Any::from_der(attribute).ok()?;
            let (rest, _) = Any::from_der(value).ok()?;
            if kind.tag() != Tag::Oid || !rest.is_empty() {
                return None;
            }
        }
        count += found.len();
    }
    Some(count)
}

/// The contents of values that follow each other, if they are all of this kind and nothing else
/// follows.
fn items(mut der: &[u8], tag: Tag) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (rest, item) = Any::from_der(der).ok()?;
        if item.tag() != tag {
            return None;
        }
        found.push(item.data);
        der = rest;
    }
    Some(found)
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, text: &mut String) -> Option<()> {
    let identifier = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let known = short_name(&identifier);
    text.push_str(known.unwrap_or(&identifier));
    text.push('=');
    match characters(value).filter(|_| known.is_some()) {
        Some(characters) => escape(&characters, text),
        None => {
            text.push('#');
            let der = value.to_der_vec().ok()?;
            der.iter()
                .try_for_each(|byte| write!(text, "{byte:02x}").ok())?;
        }
    }
    Some(())
}

/// The registered name of an attribute's type (RFC 4514 section 3); the last two are not in that
/// table, and everybody writes them like this.
fn short_name(identifier: &str) -> Option<&'static str> {
    Some(match identifier {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        "2.5.4.5" => "serialNumber",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// The characters of a value, if it is a string in one of the usual encodings.
fn characters(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::NumericString | Tag::Ia5String => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        Tag::BmpString if value.data.len().is_multiple_of(2) => {
            let units: Vec<u16> = value
                .data
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

/// RFC 4514 section 2.4. What is not seen is escaped as well, byte by byte.
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            c if is_unseen(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing into memory can't fail.
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyPair, SanType,
        SerialNumber,
    };

    fn certificate(
        subject: DistinguishedName,
        names: Vec<SanType>,
    ) -> Result<ClientCertificate, ClientCertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = names;
        params.serial_number = Some(SerialNumber::from_slice(&[0x80, 0, 1]));
        issued(&params)
    }

    fn issued(params: &CertificateParams) -> Result<ClientCertificate, ClientCertificateError> {
        let key = KeyPair::generate().unwrap();
        read(params.self_signed(&key).unwrap().der())
    }

    fn subject(parts: &[(DnType, &str)]) -> String {
        let mut subject = DistinguishedName::new();
        for (kind, value) in parts {
            subject.push(kind.clone(), *value);
        }
        certificate(subject, Vec::new()).unwrap().subject.into()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    #[test]
    fn a_subject_is_written_backwards_and_no_value_can_look_like_two() {
        use DnType::{CommonName, CountryName, CustomDnType, OrganizationName};
        assert_eq!(
            subject(&[
                (CountryName, "NL"),
                (OrganizationName, "Example"),
                (CommonName, "client 7"),
            ]),
            "CN=client 7,O=Example,C=NL"
        );
        for (value, written) in [
            ("a,CN=admin", "a\\,CN=admin"),
            ("a+b\\c", "a\\+b\\\\c"),
            ("\"a\";<b>", "\\\"a\\\"\\;\\<b\\>"),
            ("#1 # ", "\\#1 #\\ "),
            (" ", "\\ "),
            ("a\n\0b\u{85}", "a\\0a\\00b\\c2\\85"),
            ("a\u{202e}b", "a\\e2\\80\\aeb"),
            ("Zoë=1", "Zoë=1"),
        ] {
            assert_eq!(subject(&[(CommonName, value)]), format!("CN={written}"));
        }
        assert_eq!(subject(&[]), "");
        let mail = CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        assert_eq!(subject(&[(mail, "a@b.test")]), "emailAddress=a@b.test");
        assert_eq!(
            subject(&[(CustomDnType(vec![1, 3, 6, 1, 9]), "ab")]),
            "1.3.6.1.9=#0c026162"
        );
        let mut two_bytes = DistinguishedName::new();
        let value = rcgen::string::BmpString::try_from("Zoë").unwrap();
        two_bytes.push(CommonName, DnValue::BmpString(value));
        assert_eq!(
            &*certificate(two_bytes, Vec::new()).unwrap().subject,
            "CN=Zoë"
        );
    }

    #[test]
    fn names_serial_number_expiry_and_fingerprint_are_those_of_the_certificate() {
        let names = vec![
            dns("*.a.test"),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::URI("spiffe://a.test/web".try_into().unwrap()),
            SanType::Rfc822Name("a@b.test".try_into().unwrap()),
        ];
        let read = certificate(DistinguishedName::new(), names).unwrap();
        let names: Vec<String> = read.names.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "DNS:*.a.test",
                "IP:2001:db8::1",
                "URI:spiffe://a.test/web",
                "email:a@b.test"
            ]
        );
        assert_eq!(*read.serial_number, [0x80, 0, 1]);
        // rcgen's default: the last second of the year 4095.
        assert_eq!(read.expires % 1000, 0);
        assert!(read.expires > 60_000_000_000_000, "{}", read.expires);
        assert_ne!(read.fingerprint, [0; 32]);
    }

    #[test]
    fn a_certificate_that_says_too_much_is_refused() {
        let mut long = DistinguishedName::new();
        long.push(DnType::CommonName, "x".repeat(SUBJECT - 3));
        assert!(certificate(long.clone(), Vec::new()).is_ok());
        long.push(DnType::OrganizationName, "");
        let refused = certificate(long, Vec::new());
        assert_eq!(refused, Err(ClientCertificateError::Subject));

        let names = |count: usize, length: usize| {
            let names = (0..count).map(|_| dns(&"n".repeat(length))).collect();
            certificate(DistinguishedName::new(), names).map(|read| read.names.len())
        };
        assert_eq!(names(NAMES, 64), Ok(NAMES));
        assert_eq!(names(NAMES + 1, 1), Err(ClientCertificateError::Names));
        assert_eq!(names(NAMES, 65), Err(ClientCertificateError::Names));
    }

    #[test]
    fn a_certificate_with_names_that_can_not_be_read_is_refused() {
        let alternative = |content: &[u8]| {
            let mut params = CertificateParams::default();
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec());
            params.custom_extensions = vec![extension];
            issued(&params).map(|read| read.names.len())
        };
        // A DNS name, one that is no text, and an address of three bytes.
        assert_eq!(alternative(b"\x30\x03\x82\x01a"), Ok(1));
        let malformed = Err(ClientCertificateError::Malformed);
        assert_eq!(alternative(b"\x30\x03\x82\x01\xff"), malformed);
        assert_eq!(alternative(b"\x30\x05\x87\x03abc"), malformed);
        for odd in [
            &b"\x30\x05\x82\x03a\x00b"[..],
            b"\x30\x05\x82\x03a\nb",
            b"\x30\x05\x82\x03a b",
            b"\x30\x05\x86\x03a\x7fb",
            b"\x30\x05\x86\x03a b",
            b"\x30\x05\x81\x03a\rb",
        ] {
            assert_eq!(alternative(odd), Err(ClientCertificateError::Characters));
        }
        assert_eq!(alternative(b"\x30\x05\x81\x03a b"), Ok(1));
        // Another kind of name is passed over.
        assert_eq!(alternative(b"\x30\x05\x88\x03\x2a\x03\x04"), Ok(0));
    }

    #[test]
    fn a_name_is_read_to_its_end_or_not_at_all() {
        let set = |content: &[u8]| [&[0x31, content.len() as u8], content].concat();
        let sequence = |content: &[u8]| [&[0x30, content.len() as u8], content].concat();
        let common_name = |value: &[u8]| {
            let value = [&[0x0c, value.len() as u8], value].concat();
            sequence(&[&[0x06, 3, 0x55, 4, 3], &value[..]].concat())
        };
        let (admin, other) = (common_name(b"admin"), common_name(b"b"));
        let name = |parts: &[&[u8]]| sequence(&parts.concat());
        assert_eq!(attributes(&name(&[])), Some(0));
        assert_eq!(attributes(&name(&[&set(&admin), &set(&other)])), Some(2));
        assert_eq!(
            attributes(&name(&[&set(&[&admin[..], &other].concat())])),
            Some(2)
        );
        for wrong in [
            name(&[&set(&admin), &set(&[]), &set(&other)]),
            name(&[&set(&admin), &other]),
            name(&[&set(&[&admin[..], &sequence(&[])].concat())]),
            name(&[&set(&sequence(
                &[&[0x06, 3, 0x55, 4, 3], &b"\x0c\x01a\x0c\x01b"[..]].concat(),
            ))]),
            name(&[&set(&admin), &[0]]),
            [name(&[]), name(&[])].concat(),
            name(&[&set(&admin)])[..10].to_vec(),
        ] {
            assert_eq!(attributes(&wrong), None, "{wrong:02x?}");
        }
    }
}
