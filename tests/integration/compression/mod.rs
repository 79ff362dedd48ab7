//! Responses that are compressed on their way: which, what their heads say, and that nothing is
//! lost, added or withheld. What arrives is decoded by decoders that know nothing of the proxy.

mod chosen;
mod ends;
mod heads;
mod kept;
mod pieces;

use std::io::Read;
use std::net::SocketAddr;

use crate::fixtures::{Received, Request, Response, TestProxy, TestUpstream, chunked, response};

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// A proxy that compresses what these backends answer, as the value of the key says.
fn compressing(backends: &[SocketAddr], compress: &str) -> TestProxy {
    by_pool(backends, "", compress)
}

/// The same with further lines of the pool.
fn by_pool(backends: &[SocketAddr], pool: &str, compress: &str) -> TestProxy {
    let list: Vec<_> = backends.iter().map(|a| format!("\"{a}\"")).collect();
    TestProxy::builder()
        .tables(&format!(
            "[pools.all]\nbackends = [{}]\n{pool}\n[[routes]]\npool = \"all\"\ncompress = {compress}",
            list.join(", ")
        ))
        .start()
}

/// Text that repeats itself, but not only.
fn text(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    let mut text = String::with_capacity(length + 32);
    while text.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push_str(&format!("<p class=\"row\">{}</p>\n", state >> 50));
    }
    text.into_bytes()[..length].to_vec()
}

/// Answers `/length/N` by N bytes of known length, `/chunked/N` in chunks.
fn of_any_length() -> TestUpstream {
    TestUpstream::replying(|request| {
        let (framing, n) = request.target()[1..].split_once('/').unwrap();
        let body = text(n.parse().unwrap());
        match framing {
            "length" => response("200 OK", &[("Content-Type", "text/html")], body),
            _ => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: \
                            chunked\r\n\r\n";
                let pieces = chunked(body.chunks(10_007));
                [head.as_bytes(), &pieces].concat()
            }
        }
    })
}

/// A request of a client that takes these codings.
fn accepting(path: &str, codings: &str) -> Request {
    Request::new("GET", path)
        .host("a.test")
        .field("Accept-Encoding", codings)
}

/// A reader of what this coding has encoded.
fn decoder<'a>(coding: &str, bytes: &'a [u8]) -> Box<dyn Read + 'a> {
    match coding {
        "zstd" => Box::new(zstd::Decoder::new(bytes).unwrap()),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        other => panic!("{other:?} is no coding"),
    }
}

/// All of a message, which has to be whole.
#[track_caller]
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let read = decoder(coding, bytes).read_to_end(&mut text);
    read.unwrap_or_else(|e| panic!("{coding}: {e} after {} bytes", text.len()));
    text
}

/// What can be decoded of the beginning of a message.
fn decoded_so_far(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let (mut decoder, mut all) = (decoder(coding, bytes), Vec::new());
    let mut piece = [0; 64];
    while let Ok(n @ 1..) = decoder.read(&mut piece) {
        all.extend_from_slice(&piece[..n]);
    }
    all
}

/// The content of a response, whatever its coding.
#[track_caller]
fn content(response: &Response) -> Vec<u8> {
    match response.value("content-encoding") {
        Some(coding) => decoded(&coding, &response.body),
        None => response.body.clone(),
    }
}

/// What a backend answers with this head, and a body that is worth it.
fn page(request: &Received, status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = response(status, fields, text(5_000));
    if request.method() == "HEAD" {
        bytes.truncate(bytes.len() - 5_000);
    }
    bytes
}
