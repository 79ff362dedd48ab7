//! CRC-32C (RFC 9260 appendix A): another polynomial than that of files.

/// The polynomial, reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Of the parts one after the other. Bit by bit: a header is short, and few have a checksum.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    let sum = bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (POLYNOMIAL & (sum & 1).wrapping_neg())
        })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_rfc_9260() {
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, sum) in [
            (&b"123456789"[..], 0xe306_9283_u32),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"", 0),
        ] {
            assert_eq!(crc32c(&[bytes]), sum);
            let (one, two) = bytes.split_at(bytes.len() / 2);
            assert_eq!(crc32c(&[one, two]), sum);
        }
    }
}
