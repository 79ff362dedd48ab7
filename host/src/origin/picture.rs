//! What do the users look like? Two pictures that a browser shows, drawn in code: a PNG and an SVG.

/// Width and height in pixels. With one byte per pixel the picture fits in one stored block (65,535
/// bytes at most).
const SIDE: i32 = 160;

/// Background, shoulders, hair, skin, eyes.
const PALETTE: [[u8; 3]; 5] = [
    [214, 232, 240],
    [37, 99, 122],
    [74, 48, 32],
    [240, 200, 168],
    [30, 30, 40],
];

/// The first user, as a PNG.
pub(super) fn user_one() -> Vec<u8> {
    let mut rows = Vec::with_capacity(((SIDE + 1) * SIDE) as usize);
    for y in 0..SIDE {
        // Each row begins with its filter: none.
        rows.push(0);
        rows.extend((0..SIDE).map(|x| shade(x, y)));
    }
    let mut header = Vec::new();
    header.extend_from_slice(&(SIDE as u32).to_be_bytes());
    header.extend_from_slice(&(SIDE as u32).to_be_bytes());
    // Eight bits per pixel, from a palette, deflated, standard filters, not interlaced.
    header.extend_from_slice(&[8, 3, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"PLTE", PALETTE.as_flattened());
    chunk(&mut png, *b"IDAT", &stored(&rows));
    chunk(&mut png, *b"IEND", &[]);
    png
}

/// The second user, as an SVG.
pub(super) const USER_TWO: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="160" height="160" viewBox="0 0 160 160" role="img" aria-label="user two">
<rect width="160" height="160" fill="#f3e3cf"/>
<path d="M16 160a64 52 0 0 1 128 0z" fill="#7a3b25"/>
<path d="M38 116V64a42 42 0 0 1 84 0v52z" fill="#2b2320"/>
<circle cx="80" cy="70" r="34" fill="#d9a47c"/>
<circle cx="68" cy="66" r="4" fill="#1e1e28"/><circle cx="92" cy="66" r="4" fill="#1e1e28"/>
<path d="M66 82a15 11 0 0 0 28 0" fill="none" stroke="#1e1e28" stroke-width="3" stroke-linecap="round"/>
</svg>
"##;

/// Which colour of the palette a pixel has: the frontmost shape that covers it.
fn shade(x: i32, y: i32) -> u8 {
    let within = |centre_x: i32, centre_y: i32, radius: i32| {
        (x - centre_x).pow(2) + (y - centre_y).pow(2) <= radius.pow(2)
    };
    let smile = within(80, 76, 16) && !within(80, 74, 15) && y > 80;
    if within(68, 66, 4) || within(92, 66, 4) || smile {
        4
    } else if within(80, 70, 34) && y > 50 {
        3
    } else if within(80, 66, 40) {
        2
    } else if within(80, 168, 60) {
        1
    } else {
        0
    }
}

/// A chunk: length, kind, data, and the check sum of the latter two (PNG specification, section
/// 5.3).
fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    png.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend_from_slice(&kind);
    png.extend_from_slice(data);
    let sum = crc(&png[start..]);
    png.extend_from_slice(&sum.to_be_bytes());
}

/// A zlib stream of one stored block (RFC 1950, RFC 1951 section 3.2.4).
fn stored(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend_from_slice(&length.to_le_bytes());
    stream.extend_from_slice(&(!length).to_le_bytes());
    stream.extend_from_slice(data);
    let (low, high) = data.iter().fold((1_u32, 0_u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    stream.extend_from_slice(&(high << 16 | low).to_be_bytes());
    stream
}

/// CRC-32 as in ISO 3309, a bit at a time: the pictures are drawn once.
fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xEDB8_8320
            } else {
                sum >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_png_is_made_of_whole_chunks_with_the_right_sums() {
        let png = user_one();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
        // The end chunk is the same in every PNG.
        assert!(png.ends_with(&[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82]));
        let mut rest = &png[8..];
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            kinds.push(rest[4..8].to_vec());
            assert_eq!(
                crc(&rest[4..8 + length]).to_be_bytes(),
                rest[8 + length..12 + length]
            );
            rest = &rest[12 + length..];
        }
        assert_eq!(kinds, [b"IHDR", b"PLTE", b"IDAT", b"IEND"]);
    }

    #[test]
    fn the_block_fits_and_its_sum_is_right() {
        const { assert!((SIDE + 1) * SIDE <= 65_535) };
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
        assert_eq!(stored(b"Wikipedia")[7 + 9..], 0x11E6_0398_u32.to_be_bytes());
    }

    #[test]
    fn every_colour_is_used() {
        let shades: std::collections::BTreeSet<u8> = (0..SIDE)
            .flat_map(|y| (0..SIDE).map(move |x| shade(x, y)))
            .collect();
        assert_eq!(shades.len(), PALETTE.len());
    }
}
