use proptest::prelude::*;

use super::*;

/// Decodes a whole body that arrives in pieces of `step` bytes, as `proxy` does.
pub(super) fn decode(body: &[u8], step: usize) -> Result<(Vec<u8>, usize), Malformed> {
    let mut decoder = ChunkedDecoder::default();
    let (mut trailers, mut content) = (Fields::new(), Vec::new());
    let (mut start, mut end) = (0, 0);
    loop {
        match decoder.decode(&body[start..end], LIMITS, &mut trailers)? {
            Decoded::End(n) => return Ok((content, start + n)),
            Decoded::Data { skip, data } => {
                content.extend_from_slice(&body[start + skip..start + skip + data]);
                start += skip + data;
                if data == 0 {
                    if end == body.len() {
                        return Err(Malformed::Chunk);
                    }
                    end = (end + step).min(body.len());
                }
            }
        }
    }
}

#[test]
fn chunks_that_are_not() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5 \n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "\r\n",
        ";a\r\n",
        "11111111111111111\r\n",
        "5;a\x0b\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\nx y: z\r\n\r\n",
        "0\r\n x: z\r\n\r\n",
        "0\r\nx: z\n\r\n",
    ] {
        assert!(decode(body.as_bytes(), 64).is_err(), "{body:?}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), step in 1usize..50) {
        let mut body = Vec::new();
        for piece in &pieces {
            write_chunk_size(piece.len(), &mut body);
            body.extend_from_slice(piece);
            body.extend_from_slice(b"\r\n");
        }
        write_last_chunk(&Fields::new(), &mut body);
        let len = body.len();
        body.extend_from_slice(b"NEXT");
        prop_assert_eq!(decode(&body, step), Ok((pieces.concat(), len)));
    }
}

#[test]
fn trailers_say_nothing_that_a_head_may_not_say() {
    let mut trailers = Fields::new();
    let body = b"0\r\nX-Forwarded-For: 1\r\nX-Real-IP: 1\r\nX-Waypost-Trace: 1\r\nProxy-X: 1\r\nVia: 1\r\nHost: a\r\nx-sum: 2\r\n\r\n";
    ChunkedDecoder::default()
        .decode(body, LIMITS, &mut trailers)
        .unwrap();
    assert_eq!(
        trailers.iter().collect::<Vec<_>>(),
        [(&b"x-sum"[..], &b"2"[..])]
    );
}

/// A backend that is silent between two chunks owes nothing: an event stream may be.
#[test]
fn a_chunked_body_owes_the_bytes_that_it_announced() {
    for (body, owes) in [
        ("", false),
        ("5", true),
        ("5\r\n", true),
        ("5\r\nhel", true),
        ("5\r\nhello", true),
        ("5\r\nhello\r\n", false),
        ("5\r\nhello\r\n0", true),
        ("5\r\nhello\r\n0\r\n", true),
    ] {
        let (mut decoder, mut at) = (ChunkedDecoder::default(), 0);
        while let Ok(Decoded::Data { skip, data }) =
            decoder.decode(&body.as_bytes()[at..], LIMITS, &mut Fields::new())
            && skip + data > 0
        {
            at += skip + data;
        }
        assert_eq!(decoder.owes(), owes, "{body:?}");
    }
}

#[test]
fn trailers_without_an_end_are_refused_as_soon_as_they_are_too_many_bytes() {
    for (length, refused) in [(1024, false), (1025, true)] {
        let text = format!("0\r\nx: {}", "a".repeat(length - 3));
        let decoded = ChunkedDecoder::default().decode(text.as_bytes(), LIMITS, &mut Fields::new());
        assert_eq!(
            decoded == Err(Malformed::HeadTooLarge),
            refused,
            "{length} bytes: {decoded:?}"
        );
    }
}
