//! The checksum of an archive: CRC-32 as in gzip and PNG.
//!
//! It finds every burst of up to 32 flipped bits, so every single flipped byte, wherever it is. Missing and spare bytes
//! are found by the lengths in the file as well.
//!
//! # Source
//! ISO 3309 and RFC 1952, §8: polynomial 0xEDB88320 (reflected), start and final exclusive or 0xFFFFFFFF. Eight bytes at a
//! time ("slicing by 8"): Kounavis and Berry, "A Systematic Approach to Building High Performance Software-based CRC
//! Generators", ISCC 2005.

const POLYNOMIAL: u32 = 0xedb8_8320;

/// `TABLES[k][b]` is the remainder of the byte `b` with `k` zero bytes behind it.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "less than 256")]
        let mut remainder = byte as u32;
        let mut n_shifts = 0;
        while n_shifts < 64 {
            remainder = if remainder & 1 == 1 { remainder >> 1 ^ POLYNOMIAL } else { remainder >> 1 };
            n_shifts += 1;
            if n_shifts % 8 == 0 {
                tables[n_shifts / 8 - 1][byte] = remainder;
            }
        }
        byte += 1;
    }
    tables
}

/// The CRC-32 of `bytes`.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let (blocks, tail) = bytes.as_chunks::<8>();
    for block in blocks {
        let mut block = *block;
        block.iter_mut().zip(crc.to_le_bytes()).for_each(|(byte, crc)| *byte ^= crc);
        let shares = block.iter().zip(TABLES.iter().rev()).map(|(&byte, table)| table[usize::from(byte)]);
        crc = shares.fold(0, |all, share| all ^ share);
    }
    for &byte in tail {
        crc = crc >> 8 ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bit by bit, as the division is defined.
    fn reference(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn check_values_of_the_standard_hold() {
        assert_eq!(crc32(b""), 0);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        // zlib.crc32 of Python 3.
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }

    proptest! {
        #[test]
        fn slicing_by_eight_equals_the_plain_division(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
            prop_assert_eq!(crc32(&bytes), reference(&bytes));
        }
    }
}
