//! IDX, the format of MNIST: a magic number, big-endian dimensions, bytes.

use super::folder::{MAX_BYTES, content, expect_end, read_exactly};
use crate::{Error, Result};

/// No IDX file of images or labels has more dimensions.
const MAX_RANK: u8 = 4;

/// The content of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The dimensions, the largest stride first.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub data: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes, plain or gzip; `what` names it in messages.
///
/// Memory stays in proportion to the content that is really there: a header may declare at most 1 GiB, and no
/// more is unpacked than it declares.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) for a wrong magic number, another type than unsigned bytes, more than 4
/// dimensions, too large dimensions, broken gzip, or bytes behind the end;
/// [`UnexpectedEnd`](Error::UnexpectedEnd) when the content is shorter than its header declares.
///
/// # Source
/// LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section "The IDX file format".
///
/// # Example
/// ```
/// use nnc_core::data::parse_idx;
/// let labels = parse_idx(&[0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4], "labels")?;
/// assert_eq!((labels.shape, labels.data), (vec![3], vec![5, 0, 4]));
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn parse_idx(bytes: &[u8], what: &str) -> Result<Idx> {
    let reader = &mut *content(bytes);
    let magic = read_exactly(reader, 0, 4, what)?;
    let rank = match magic[..] {
        [0, 0, 8, rank] if (1..=MAX_RANK).contains(&rank) => u64::from(rank),
        _ => {
            let why = format!(
                "magic number is {magic:02x?}, expected [00, 00, 08, 01..=04]: IDX of unsigned bytes"
            );
            return Err(Error::corrupt(what, why));
        }
    };
    let dims = read_exactly(reader, 4, 4 * rank, what)?;
    let dims: Vec<u32> = dims.as_chunks().0.iter().map(|&dim: &[u8; 4]| u32::from_be_bytes(dim)).collect();
    let size = dims.iter().try_fold(1_u64, |n, &dim| n.checked_mul(u64::from(dim)));
    let size = size.filter(|&n| n <= MAX_BYTES).ok_or_else(|| {
        Error::corrupt(what, format!("dimensions {dims:?} are more than {MAX_BYTES} bytes"))
    })?;
    let data = read_exactly(reader, 4 + 4 * rank, size, what)?;
    expect_end(reader, what)?;
    Ok(Idx { shape: dims.into_iter().map(|dim| dim as usize).collect(), data })
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers of the test's own making")]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn plain(shape: &[u32], data: &[u8]) -> Vec<u8> {
        let rank = u8::try_from(shape.len()).unwrap();
        let dims = shape.iter().flat_map(|dim| dim.to_be_bytes());
        [0, 0, 8, rank].into_iter().chain(dims).chain(data.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn small() -> Vec<u8> {
        plain(&[3, 2, 2], &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254])
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = small();
        for len in 0..bytes.len() {
            let error = parse_idx(&bytes[..len], "small").unwrap_err();
            assert!(matches!(error, Error::UnexpectedEnd { got, .. } if got == len as u64), "{len}: {error}");
        }
        let packed = gzip(&bytes);
        for len in 0..packed.len() {
            assert!(parse_idx(&packed[..len], "small.gz").is_err(), "{len}");
        }
    }

    #[test]
    fn every_bit_flip_of_the_header_is_an_error() {
        let bytes = small();
        for bit in 0..8 * 16 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_idx(&broken, "small").is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_bit_flip_of_a_gzip_file_is_an_error_or_changes_nothing() {
        let packed = gzip(&small());
        let right = parse_idx(&packed, "small.gz").unwrap();
        for bit in 0..8 * packed.len() {
            let mut broken = packed.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            // The time stamp and the system's number in gzip's header carry no data and are not covered by its
            // sums.
            if let Ok(read) = parse_idx(&broken, "small.gz") {
                assert_eq!(read, right, "bit {bit}");
            }
        }
    }

    #[test]
    fn bytes_behind_the_end_are_an_error() {
        let mut bytes = small();
        bytes.push(0);
        assert!(parse_idx(&bytes, "small").unwrap_err().to_string().contains("more bytes"));
        assert!(parse_idx(&gzip(&bytes), "small.gz").unwrap_err().to_string().contains("more bytes"));
        let mut packed = gzip(&small());
        packed.extend_from_slice(b"tail");
        assert!(parse_idx(&packed, "small.gz").is_err());
    }

    #[test]
    fn absurd_dimensions_are_refused_before_anything_is_read() {
        for shape in [&[u32::MAX, u32::MAX, u32::MAX, u32::MAX][..], &[1 << 31][..], &[1 << 20, 1 << 11][..]]
        {
            let error = parse_idx(&plain(shape, &[0; 8]), "absurd").unwrap_err();
            assert!(error.to_string().contains("dimensions"), "{error}");
        }
        // A declaration within the limit earns no memory either: what is missing is noticed at the end of the
        // bytes.
        let error = parse_idx(&plain(&[1 << 30], &[0; 8]), "short").unwrap_err();
        assert!(
            matches!(error, Error::UnexpectedEnd { expected, got: 16, .. } if expected == 8 + (1 << 30)),
            "{error}"
        );
    }

    #[test]
    fn a_gzip_bomb_is_unpacked_no_further_than_its_header_declares() {
        let mut bomb = plain(&[2], &[1, 2]);
        bomb.resize(bomb.len() + (64 << 20), 0);
        let error = parse_idx(&gzip(&bomb), "bomb").unwrap_err();
        assert!(error.to_string().contains("more bytes"), "{error}");
    }

    #[test]
    fn other_types_are_named_in_the_error() {
        // 0x0d: IDX of floats.
        let error = parse_idx(&[0, 0, 0x0d, 1, 0, 0, 0, 0], "floats").unwrap_err();
        assert!(error.to_string().contains("magic number is [00, 00, 0d, 01]"), "{error}");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(shape in prop::collection::vec(0_u32..6, 1..5), fill in any::<u8>()) {
            let size = shape.iter().product::<u32>() as usize;
            let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8 ^ fill).collect();
            let bytes = plain(&shape, &data);
            let expected = Idx { shape: shape.iter().map(|&dim| dim as usize).collect(), data };
            prop_assert_eq!(&parse_idx(&bytes, "plain").unwrap(), &expected);
            prop_assert_eq!(&parse_idx(&gzip(&bytes), "gzip").unwrap(), &expected);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), as_gzip in any::<bool>()) {
            let bytes = if as_gzip { [&[0x1f, 0x8b, 8, 0][..], &bytes].concat() } else { bytes };
            let _ = parse_idx(&bytes, "noise");
        }
    }
}
