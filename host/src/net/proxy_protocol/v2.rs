//! Version 2: binary, with extensions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc::crc32c;
use super::{Announced, HeaderError, LONGEST, announced};

/// No line of HTTP begins so.
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, and the length of the rest.
const FIXED: usize = 16;
/// An extension's kind and its length.
const EXTENSION: usize = 3;
/// The checksum of the whole header.
const CRC32C: u8 = 0x03;

/// The header for a connection of TCP; of this proxy's own where the client has no address.
pub(super) fn write(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((source, destination)) = addresses else {
        header.extend([0x20, 0x00, 0, 0]);
        return header;
    };
    let (family, length) = match source.ip() {
        IpAddr::V4(_) => (0x11, Family::V4.len()),
        IpAddr::V6(_) => (0x21, Family::V6.len()),
    };
    header.extend([0x21, family, 0, length as u8]);
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => header.extend(ip.octets()),
            IpAddr::V6(ip) => header.extend(ip.octets()),
        }
    }
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header
}

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Announced, usize)>, HeaderError> {
    let Some(&[version, family, long, short]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return match bytes.get(SIGNATURE.len()) {
            Some(version) if version >> 4 != 2 => Err(HeaderError::Version),
            _ => Ok(None),
        };
    };
    let is_local = match (version >> 4, version & 0xf) {
        (2, 0) => true,
        (2, 1) => false,
        (2, _) => return Err(HeaderError::Command),
        _ => return Err(HeaderError::Version),
    };
    let family = Family::of(family);
    // Of a connection that the sender itself has made, the rest means nothing.
    if family.is_none() && !is_local {
        return Err(HeaderError::Family);
    }
    let end = FIXED + usize::from(u16::from_be_bytes([long, short]));
    if end > LONGEST {
        return Err(HeaderError::TooLarge);
    }
    if let (Some(family), false) = (&family, is_local)
        && end - FIXED < family.len()
    {
        return Err(HeaderError::TooShort);
    }
    let Some(header) = bytes.get(..end) else {
        return Ok(None);
    };
    let announced = match family {
        Some(family) if is_local => family.ignore(header)?,
        Some(family) => family.read(header)?,
        None => Announced::Nothing,
    };
    Ok(Some((announced, end)))
}

/// What kind of addresses there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

impl Family {
    fn of(byte: u8) -> Option<Self> {
        // The lower half is the transport: a stream or datagrams.
        match byte {
            0x00 => Some(Self::Unspecified),
            0x11 | 0x12 => Some(Self::V4),
            0x21 | 0x22 => Some(Self::V6),
            0x31 | 0x32 => Some(Self::Unix),
            _ => None,
        }
    }

    /// The length of both addresses, and of both ports.
    fn len(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Unix => 216,
        }
    }

    /// Of a connection that the sender itself has made, only a checksum that is wrong counts.
    fn ignore(self, header: &[u8]) -> Result<Announced, HeaderError> {
        let extensions = FIXED + self.len();
        match header.len() >= extensions && check(header, extensions) == Err(HeaderError::Checksum)
        {
            true => Err(HeaderError::Checksum),
            false => Ok(Announced::Nothing),
        }
    }

    fn read(self, header: &[u8]) -> Result<Announced, HeaderError> {
        let (fixed, extensions) = (FIXED, FIXED + self.len());
        let extended = check(header, extensions);
        let addresses = &header[fixed..extensions];
        match self {
            // Without a family, what follows need not be extensions.
            Self::Unspecified if extended != Err(HeaderError::Checksum) => Ok(Announced::Nothing),
            Self::V4 => extended.map(|()| pair::<4>(addresses)),
            Self::V6 => extended.map(|()| pair::<16>(addresses)),
            _ => extended.map(|()| Announced::Nothing),
        }
    }
}

/// Two addresses of so many bytes, and their ports.
fn pair<const N: usize>(bytes: &[u8]) -> Announced
where
    [u8; N]: Into<Address>,
{
    let address = |at: usize| -> IpAddr {
        let mut octets = [0; N];
        octets.copy_from_slice(&bytes[at..at + N]);
        let Address(address) = octets.into();
        address
    };
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    announced(
        SocketAddr::new(address(0), port(2 * N)),
        SocketAddr::new(address(N), port(2 * N + 2)),
    )
}

struct Address(IpAddr);

impl From<[u8; 4]> for Address {
    fn from(octets: [u8; 4]) -> Self {
        Self(IpAddr::V4(Ipv4Addr::from(octets)))
    }
}

impl From<[u8; 16]> for Address {
    fn from(octets: [u8; 16]) -> Self {
        Self(IpAddr::V6(Ipv6Addr::from(octets)))
    }
}

/// Skips the extensions from `at` on. A checksum among them must be right.
fn check(header: &[u8], mut at: usize) -> Result<(), HeaderError> {
    let mut checksum = Ok(());
    while at < header.len() {
        let Some(&[kind, long, short]) = header.get(at..at + EXTENSION) else {
            return checksum.and(Err(HeaderError::Extension));
        };
        let begin = at + EXTENSION;
        let end = begin + usize::from(u16::from_be_bytes([long, short]));
        let Some(value) = header.get(begin..end) else {
            return checksum.and(Err(HeaderError::Extension));
        };
        if kind == CRC32C && !is_checksum(header, begin, value) {
            checksum = Err(HeaderError::Checksum);
        }
        at = end;
    }
    checksum
}

/// Whether the value at `at` is the checksum of the header in which it is zero.
fn is_checksum(header: &[u8], at: usize, value: &[u8]) -> bool {
    let Ok(written) = <[u8; 4]>::try_from(value) else {
        return false;
    };
    let parts = [&header[..at], &[0; 4], &header[at + 4..]];
    crc32c(&parts) == u32::from_be_bytes(written)
}
