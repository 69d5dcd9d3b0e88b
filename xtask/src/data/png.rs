//! Reads a PNG of 8 bits a channel in three colours, not interlaced.
//!
//! # Source
//! PNG specification, third edition: §5 (chunks), §7.3 and §9 (filters), §10 (deflate). Of the checks the one over the
//! pixels is made (zlib's), not those of the chunks.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::ZlibDecoder;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Bytes of a pixel.
const PIXEL: usize = 3;

/// The pixels of a picture of exactly `width` × `height`: red, green and blue of one after the other, row by row.
///
/// # Errors
/// When the bytes are no such picture.
pub(super) fn decode_rgb8(bytes: &[u8], width: usize, height: usize) -> Result<Vec<u8>> {
    let mut rest = bytes.strip_prefix(SIGNATURE).context("not a PNG")?;
    let header = chunk(&mut rest, *b"IHDR")?.context("a PNG without header")?;
    let size =
        |at: usize| header.get(at..at + 4).map(|n| u32::from_be_bytes(n.try_into().expect("four bytes")));
    let found = (size(0), size(4), header.get(8..));
    // Depth 8, colour type 2 (RGB), deflate, the five filters, no interlacing.
    let wanted = (u32::try_from(width).ok(), u32::try_from(height).ok(), Some(&[8, 2, 0, 0, 0][..]));
    ensure!(found == wanted, "expected a PNG of {width} x {height} in RGB of 8 bits, found {header:?}");
    let mut packed = Vec::new();
    while let Some(data) = chunk(&mut rest, *b"IDAT")? {
        packed.extend_from_slice(data);
    }
    let row = width * PIXEL;
    let mut filtered = Vec::new();
    let n_bytes = height * (1 + row);
    ZlibDecoder::new(packed.as_slice())
        .take(n_bytes as u64 + 1)
        .read_to_end(&mut filtered)
        .context("the pixels of a PNG")?;
    ensure!(
        filtered.len() == n_bytes,
        "expected {n_bytes} bytes of pixels and filters, found {}",
        filtered.len()
    );
    unfilter(&filtered, row)
}

/// The data of the next chunk called `kind`, passing over others; none when there is no more of them.
fn chunk<'a>(rest: &mut &'a [u8], kind: [u8; 4]) -> Result<Option<&'a [u8]>> {
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let len = u32::from_be_bytes(head[..4].try_into().expect("four bytes"));
        let len = usize::try_from(len).context("a chunk longer than memory")?;
        // Behind the data come four bytes of checksum.
        let data = behind.get(..len).context("a PNG that breaks off")?;
        *rest = behind.get(len + 4..).context("a PNG that breaks off")?;
        if head[4..] == kind {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Takes the filters off: each row comes with a byte that says how it was predicted from what is left and above.
fn unfilter(filtered: &[u8], row: usize) -> Result<Vec<u8>> {
    let mut pixels: Vec<u8> = Vec::with_capacity(filtered.len());
    let mut above = vec![0; row];
    for line in filtered.chunks_exact(1 + row) {
        let mut current = line[1..].to_vec();
        for i in 0..row {
            let left = if i < PIXEL { 0 } else { current[i - PIXEL] };
            let above_left = if i < PIXEL { 0 } else { above[i - PIXEL] };
            let predicted = match line[0] {
                0 => 0,
                1 => left,
                2 => above[i],
                3 => left.midpoint(above[i]),
                4 => paeth(left, above[i], above_left),
                other => bail!("expected a filter from 0 to 4, found {other}"),
            };
            current[i] = current[i].wrapping_add(predicted);
        }
        pixels.extend_from_slice(&current);
        above = current;
    }
    Ok(pixels)
}

/// Whichever of the three is nearest to `left + above - above_left`; of equals the first.
fn paeth(left: u8, above: u8, above_left: u8) -> u8 {
    let guess = i16::from(left) + i16::from(above) - i16::from(above_left);
    [left, above, above_left].into_iter().min_by_key(|&x| (guess - i16::from(x)).abs()).expect("three")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn push_chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
        png.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        png.extend(kind);
        png.extend(data);
        png.extend([0; 4]);
    }

    /// A PNG of these filtered rows, its pixels in two chunks with another between.
    fn png(width: u32, height: u32, filtered: &[u8]) -> Vec<u8> {
        let mut png = SIGNATURE.to_vec();
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        push_chunk(&mut png, b"IHDR", &header);
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
        packer.write_all(filtered).unwrap();
        let packed = packer.finish().unwrap();
        let (first, second) = packed.split_at(packed.len() / 2);
        push_chunk(&mut png, b"IDAT", first);
        push_chunk(&mut png, b"tEXt", b"between");
        push_chunk(&mut png, b"IDAT", second);
        push_chunk(&mut png, b"IEND", b"");
        png
    }

    #[test]
    fn each_filter_predicts_as_the_specification_says() {
        // Two pixels a row. Expected by hand, one row a filter.
        let filtered: [[u8; 7]; 5] = [
            [0, 10, 20, 30, 40, 50, 60],
            [1, 5, 5, 5, 250, 1, 2],
            [2, 1, 1, 1, 1, 1, 1],
            [3, 0, 0, 0, 0, 0, 0],
            [4, 1, 1, 1, 1, 1, 1],
        ];
        let expected: [[u8; 6]; 5] = [
            [10, 20, 30, 40, 50, 60],
            [5, 5, 5, 255, 6, 7],
            [6, 6, 6, 0, 7, 8],
            [3, 3, 3, 1, 5, 5],
            [4, 4, 4, 2, 6, 6],
        ];
        assert_eq!(decode_rgb8(&png(2, 5, &filtered.concat()), 2, 5).unwrap(), expected.concat());
    }

    #[test]
    fn the_nearest_of_three_predicts() {
        for ((left, above, above_left), expected) in [
            ((5, 5, 5), 5),
            ((10, 20, 10), 20),
            ((10, 20, 20), 10),
            ((0, 255, 128), 128),
            ((255, 255, 0), 255),
        ] {
            assert_eq!(paeth(left, above, above_left), expected);
        }
    }

    #[test]
    fn broken_pictures_are_errors() {
        let right = png(1, 2, &[0, 1, 2, 3, 0, 4, 5, 6]);
        assert!(decode_rgb8(&right, 1, 2).is_ok());
        assert!(decode_rgb8(&right, 2, 1).is_err());
        assert!(decode_rgb8(&png(1, 2, &[0; 7]), 1, 2).is_err());
        assert!(decode_rgb8(&png(1, 2, &[0; 9]), 1, 2).is_err());
        assert!(decode_rgb8(&png(1, 1, &[5, 1, 2, 3]), 1, 1).unwrap_err().to_string().contains("found 5"));
        for len in 0..right.len() {
            let _ = decode_rgb8(&right[..len], 1, 2);
            for bit in 0..8 {
                let mut flipped = right.clone();
                flipped[len] ^= 1 << bit;
                let _ = decode_rgb8(&flipped, 1, 2);
            }
        }
    }
}
