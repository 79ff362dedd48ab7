//! Canonical heads. Every byte that leaves the proxy in a head is written here or by
//! [`Fields::write_to`](crate::message::Fields::write_to).

use http::StatusCode;

use super::Framing;
use crate::message::{RequestHead, capitalise};

/// Writes a request head as a backend gets it: HTTP/1.1, one `host`, one framing field at most, the
/// fields, the empty line.
///
/// `host` is for clients that sent none.
pub fn write_request_head(head: &RequestHead, framing: Framing, host: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let (path, query) = head.forwarded_target();
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(query.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let capitals = head.fields.writes_spelling();
    write_name(b"host", capitals, out);
    out.extend_from_slice(head.forwarded_authority(host).as_bytes());
    out.extend_from_slice(b"\r\n");
    head.fields.write_to(out);
    write_framing(framing, capitals, out);
    out.extend_from_slice(b"\r\n");
}

/// Adds `expect: 100-continue` to a request head that was written.
#[cold]
pub fn write_expectation(capitals: bool, out: &mut Vec<u8>) {
    // In front of the empty line.
    out.truncate(out.len().saturating_sub(2));
    write_name(b"expect", capitals, out);
    out.extend_from_slice(b"100-continue\r\n\r\n");
}

/// Writes the name of a field and what follows it; with capitals where the other names are as they
/// were spelled.
pub fn write_name(name: &[u8], capitals: bool, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(name);
    if capitals {
        capitalise(&mut out[at..]);
    }
    out.extend_from_slice(b": ");
}

/// Writes the field that says how long the body is, if one is due.
fn write_framing(framing: Framing, capitals: bool, out: &mut Vec<u8>) {
    match framing {
        Framing::Length(n) => {
            write_name(b"content-length", capitals, out);
            write_number(n, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => {
            write_name(b"transfer-encoding", capitals, out);
            out.extend_from_slice(b"chunked\r\n");
        }
        Framing::None | Framing::UntilClose => {}
    }
}

/// Writes a status line. An empty reason becomes the registered one.
pub fn write_status_line(status: u16, reason: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(u64::from(status), out);
    out.push(b' ');
    if reason.is_empty() {
        let registered = StatusCode::from_u16(status)
            .ok()
            .and_then(|s| s.canonical_reason());
        out.extend_from_slice(registered.unwrap_or_default().as_bytes());
    } else {
        out.extend_from_slice(reason);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a decimal number.
pub fn write_number(mut n: u64, out: &mut Vec<u8>) {
    // 20 digits hold any 64-bit number.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes what ends the fields of a response to a client: framing and connection persistence, and
/// the empty line.
pub fn write_response_end(
    framing: Framing,
    connection: Option<&str>,
    capitals: bool,
    out: &mut Vec<u8>,
) {
    write_framing(framing, capitals, out);
    if let Some(option) = connection {
        write_name(b"connection", capitals, out);
        out.extend_from_slice(option.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
