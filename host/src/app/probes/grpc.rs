//! A probe by gRPC: `grpc.health.v1.Health/Check`. Its two messages are so small that they are
//! written and read by hand.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, TE};
use http::{Method, Response};

use super::bounded::Bounded;
use super::by_h2::{collect, exchange, request};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Of `ServingStatus`.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u64 = 1;
/// The flag of compression, and the length of the message.
const PREFIX: usize = 5;
/// Wire types of protocol buffers.
const VARINT: u64 = 0;
const BYTES: u64 = 2;

pub(super) async fn check(
    stream: Bounded,
    scheme: &str,
    host: &str,
    service: &str,
) -> Result<(), String> {
    let fields = [(CONTENT_TYPE, "application/grpc"), (TE, "trailers")];
    let request = request(Method::POST, scheme, host, PATH, &fields)?;
    exchange(stream, request, Some(message(service)), answer).await
}

async fn answer(answer: Response<h2::RecvStream>) -> Result<(), String> {
    let (head, body) = answer.into_parts();
    if head.status != 200 {
        return Err(format!(
            "it answered {PATH} with the status {}",
            head.status
        ));
    }
    let (message, trailers) = collect(body).await?;
    let code = |fields: &HeaderMap| Some(fields.get("grpc-status")?.to_str().ok()?.to_owned());
    match code(&trailers).or_else(|| code(&head.headers)).as_deref() {
        Some("0") => {}
        Some("5") => return Err("it does not know the service (NOT_FOUND)".to_owned()),
        Some("12") => {
            return Err("it does not implement grpc.health.v1.Health (UNIMPLEMENTED)".to_owned());
        }
        Some(code) => return Err(format!("it answered with grpc-status {code:?}")),
        None => return Err("its answer has no grpc-status".to_owned()),
    }
    match serving_status(&message) {
        Some(SERVING) => Ok(()),
        Some(status) => {
            let name = usize::try_from(status).ok().and_then(|n| STATUSES.get(n));
            Err(match name {
                Some(name) => format!("it says {name}"),
                None => format!("it says {status}, which is no status"),
            })
        }
        None => Err("its answer is not one of grpc.health.v1.Health".to_owned()),
    }
}

/// `HealthCheckRequest`, with its prefix.
fn message(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | BYTES as u8);
        put_varint(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut all = vec![0];
    all.extend_from_slice(&length.to_be_bytes());
    all.extend_from_slice(&message);
    all.into()
}

/// The `status` of a `HealthCheckResponse` with its prefix; `None` if it is not one.
fn serving_status(message: &[u8]) -> Option<u64> {
    let (prefix, mut rest) = message.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix.get(1..)?.try_into().ok()?);
    if prefix.first() != Some(&0) || rest.len() != usize::try_from(length).ok()? {
        return None;
    }
    // What is left out has its default.
    let mut status = 0;
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        match (tag >> 3, tag & 7) {
            (1, VARINT) => status = take_varint(&mut rest)?,
            (_, VARINT) => {
                take_varint(&mut rest)?;
            }
            (_, BYTES) => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

fn put_varint(mut n: u64, into: &mut Vec<u8>) {
    while n >= 0x80 {
        into.push(n as u8 | 0x80);
        n >>= 7;
    }
    into.push(n as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_asked_for_by_its_name() {
        assert_eq!(&message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = "x".repeat(300);
        assert_eq!(&message(&long)[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
    }

    #[test]
    fn a_status_is_read_from_what_is_one() {
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0), "the default");
        let unknown = [0, 0, 0, 0, 7, 0x12, 1, b'x', 0x18, 5, 8, 2];
        assert_eq!(serving_status(&unknown), Some(2), "fields that are unknown");
        for wrong in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 2, 8, 0x80],
            &[0, 0, 0, 0, 2, 0x12, 9],
            &[0, 0, 0, 0, 1, 0x0d],
        ] {
            assert_eq!(serving_status(wrong), None, "{wrong:?}");
        }
    }
}
