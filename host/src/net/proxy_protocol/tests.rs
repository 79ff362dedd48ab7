//! Every header that the text has, and what only looks like one.

use super::crc::crc32c;
use super::*;

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = v2::SIGNATURE.to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut extension = vec![kind];
    extension.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    extension.extend(value);
    extension
}

/// 192.0.2.7:4660 to 198.51.100.1:443.
fn addresses_of_ipv4() -> Vec<u8> {
    vec![192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0x01, 0xbb]
}

fn addresses_of_ipv6() -> Vec<u8> {
    let mut bytes = "2001:db8::7"
        .parse::<std::net::Ipv6Addr>()
        .unwrap()
        .octets()
        .to_vec();
    bytes.extend(
        "2001:db8::1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    bytes.extend([0x12, 0x34, 0x01, 0xbb]);
    bytes
}

/// With the right checksum, or one that is off by this.
fn with_checksum(mut rest: Vec<u8>, off: u32) -> Vec<u8> {
    let at = 16 + rest.len() + 3;
    rest.extend(extension(3, &[0; 4]));
    rest.extend(extension(4, b"padding"));
    let mut header = v2(1, 0x11, &rest);
    let sum = crc32c(&[&header]).wrapping_add(off);
    header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    header
}

/// The same of a connection that the sender itself has made.
fn local_with_checksum(off: u32) -> Vec<u8> {
    let at = 16 + 12 + 3;
    let rest = [addresses_of_ipv4(), extension(3, &[0; 4])].concat();
    let mut header = v2(0, 0x11, &rest);
    let sum = crc32c(&[&header]).wrapping_add(off);
    header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    header
}

fn addresses(source: &str, destination: &str) -> Announced {
    Announced::Addresses {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

/// Each with what it says.
fn taken() -> Vec<(Vec<u8>, Announced)> {
    let v4 = addresses("192.0.2.7:4660", "198.51.100.1:443");
    let v6 = addresses("[2001:db8::7]:4660", "[2001:db8::1]:443");
    let line = |text: &str, says| (format!("PROXY {text}\r\n").into_bytes(), says);
    let mut extended = addresses_of_ipv4();
    extended.extend(extension(1, b"h2"));
    extended.extend(extension(0x20, &[1; 300]));
    extended.extend(extension(0xee, b""));
    let mut longest = addresses_of_ipv4();
    longest.extend(extension(0x21, &vec![0; LONGEST - 16 - 12 - 3]));
    vec![
        line("TCP4 192.0.2.7 198.51.100.1 4660 443", v4),
        line("TCP6 2001:db8::7 2001:db8::1 4660 443", v6),
        line(
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            addresses("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        line(
            "TCP6 ::ffff:192.0.2.7 ::1 0 1",
            addresses("[::ffff:192.0.2.7]:0", "[::1]:1"),
        ),
        line("TCP4 0.0.0.0 0.0.0.0 0 0", Announced::Nothing),
        line("UNKNOWN", Announced::Nothing),
        line("UNKNOWN ", Announced::Nothing),
        line(
            "UNKNOWN ffff:f:f:f:ffff:f:f:ffff ffff:f:f:f:ffff:f:f:ffff 65535 65535",
            Announced::Nothing,
        ),
        line("UNKNOWN 1.2.3.4", Announced::Nothing),
        (v2(1, 0x11, &addresses_of_ipv4()), v4),
        (v2(1, 0x12, &addresses_of_ipv4()), v4),
        (v2(1, 0x21, &addresses_of_ipv6()), v6),
        (v2(1, 0x22, &addresses_of_ipv6()), v6),
        (v2(1, 0x31, &[b'a'; 216]), Announced::Nothing),
        (v2(1, 0x32, &[b'a'; 216]), Announced::Nothing),
        (v2(1, 0x11, &extended), v4),
        (v2(1, 0x11, &longest), v4),
        (with_checksum(addresses_of_ipv4(), 0), v4),
        (v2(1, 0x00, &[]), Announced::Nothing),
        (v2(1, 0x00, &[9; 12]), Announced::Nothing),
        (v2(1, 0x00, &extension(4, b"x")), Announced::Nothing),
        (v2(0, 0x00, &[]), Announced::Nothing),
        (v2(0, 0x00, &[7; 40]), Announced::Nothing),
        (v2(0, 0x11, &addresses_of_ipv4()), Announced::Nothing),
        (v2(0, 0x11, &[]), Announced::Nothing),
        (v2(0, 0xff, &[1, 2, 3]), Announced::Nothing),
    ]
}

fn refused() -> Vec<(Vec<u8>, HeaderError)> {
    use HeaderError as E;
    let line = |text: &str, why| (format!("PROXY {text}\r\n").into_bytes(), why);
    let mut broken = addresses_of_ipv4();
    broken.extend([1, 0, 9, 0]);
    let mut half = addresses_of_ipv4();
    half.extend([1, 0]);
    let mut wrong_length = addresses_of_ipv4();
    wrong_length.extend(extension(3, &[0; 3]));
    let sixteen = |at: usize, byte: u8| {
        let mut header = v2(1, 0x11, &addresses_of_ipv4());
        header[at] = byte;
        header
    };
    vec![
        line("TCP4 999.1.1.1 1.1.1.1 1 1", E::Line),
        line("TCP4 1.1.1.1 1.1.1.1 70000 1", E::Line),
        line("TCP4 1.1.1.1 1.1.1.1 1 70000", E::Line),
        line("TCP4 2001:db8::7 2001:db8::1 1 1", E::Line),
        line("TCP6 192.0.2.7 192.0.2.8 1 1", E::Line),
        line("TCP4 01.2.3.4 1.1.1.1 1 1", E::Line),
        line("TCP4 1.2.3.4 1.1.1.1 01 1", E::Line),
        line("TCP4 1.2.3.4 1.1.1.1 +1 1", E::Line),
        line("TCP4 1.2.3.4 1.1.1.1 -1 1", E::Line),
        line("TCP4 1.2.3.4 1.1.1.1  1", E::Line),
        line("TCP4  1.2.3.4 1.1.1.1 1 1", E::Line),
        line("TCP4 1.2.3.4 1.1.1.1 1", E::Line),
        line("TCP4 1.2.3.4 1.1.1.1 1 1 1", E::Line),
        line("TCP4 1.2.3.4 1.1.1.1 1 1 ", E::Line),
        line("TCP4\t1.2.3.4 1.1.1.1 1 1", E::Line),
        line("TCP6 fe80::1%eth0 ::1 1 1", E::Line),
        line("TCP6 [::1] [::1] 1 1", E::Line),
        line("TCP5 1.2.3.4 1.1.1.1 1 1", E::Line),
        line("UDP4 1.2.3.4 1.1.1.1 1 1", E::Line),
        line("tcp4 1.2.3.4 1.1.1.1 1 1", E::Line),
        line("UNKNOWNX", E::Line),
        line("", E::Line),
        (b"PROXY TCP4 1.2.3.4 1.1.1.1 1 1\rX".to_vec(), E::Line),
        (b"PROXY TCP4 1.2.3.4 1.1.1.1 1 1\n\r\n".to_vec(), E::Line),
        (b"PROXY UNKNOWN\xff \r\n".to_vec(), E::Line),
        ([&b"PROXY UNKNOWN "[..], &[b'x'; 93]].concat(), E::TooLong),
        (
            [&b"PROXY UNKNOWN "[..], &[b'x'; 92], b"\r\n"].concat(),
            E::TooLong,
        ),
        (b"GET / HTTP/1.1\r\n".to_vec(), E::Missing),
        (b"proxy TCP4".to_vec(), E::Missing),
        (b"\x16\x03\x01".to_vec(), E::Missing),
        (b"PROXY\tTCP4".to_vec(), E::Missing),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), E::Missing),
        (sixteen(12, 0x11), E::Version),
        (sixteen(12, 0x31), E::Version),
        (
            v2::SIGNATURE.iter().copied().chain([0x01]).collect(),
            E::Version,
        ),
        (sixteen(12, 0x22), E::Command),
        (sixteen(12, 0x2f), E::Command),
        (sixteen(13, 0x10), E::Family),
        (sixteen(13, 0x13), E::Family),
        (sixteen(13, 0x41), E::Family),
        (sixteen(13, 0x01), E::Family),
        (sixteen(15, 0), E::TooShort),
        (sixteen(15, 11), E::TooShort),
        (v2(1, 0x21, &addresses_of_ipv4()), E::TooShort),
        (v2(1, 0x31, &[0; 215]), E::TooShort),
        (sixteen(14, 0x10), E::TooLarge),
        (v2(0, 0, &vec![0; LONGEST - 15]), E::TooLarge),
        (v2(1, 0x11, &broken), E::Extension),
        (v2(1, 0x11, &half), E::Extension),
        (v2(1, 0x11, &wrong_length), E::Checksum),
        (with_checksum(addresses_of_ipv4(), 1), E::Checksum),
        (v2(1, 0x00, &extension(3, &[1; 4])), E::Checksum),
        (v2(0, 0x00, &extension(3, &[1; 4])), E::Checksum),
        (local_with_checksum(1), E::Checksum),
    ]
}

#[test]
fn a_header_is_read_once_it_is_whole_and_ends_where_it_ends() {
    for (header, says) in taken() {
        for n in 0..header.len() {
            assert_eq!(parse(&header[..n]), Ok(None), "{n} of {header:02x?}");
        }
        let expected = Ok(Some((says, header.len())));
        assert_eq!(parse(&header), expected, "{header:02x?}");
        for next in [&b"GET / HTTP/1.1\r\n\r\n"[..], &header, b"\r\n", &[0; 9]] {
            let followed = [&header, next].concat();
            assert_eq!(parse(&followed), expected, "{followed:02x?}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused_and_never_once_it_goes_on() {
    for (header, why) in refused() {
        let first = (0..=header.len()).find_map(|n| parse(&header[..n]).err());
        assert_eq!(first, Some(why), "{header:02x?} {}", header.escape_ascii());
        assert_eq!(parse(&header), Err(why), "{}", header.escape_ascii());
        let followed = [&header[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert!(parse(&followed).is_err(), "{}", header.escape_ascii());
    }
}

#[test]
fn a_byte_that_changes_changes_nothing_but_what_it_says() {
    for (header, _) in taken() {
        for at in 0..header.len().min(64) {
            for byte in [0, b' ', b'\r', b'\n', 0xff, header[at].wrapping_add(1)] {
                let mut changed = header.clone();
                changed[at] = byte;
                if let Ok(Some((_, end))) = parse(&changed) {
                    assert!(end <= changed.len());
                }
            }
        }
    }
}
