//! Blocks of short lines, read from an image into columns and added back.
//!
//! Feature maps have lines of 4 to 64 floats. A line of N to 2N floats is moved as two overlapping blocks of N, so that
//! every width takes two loads and two stores, and no loop.
#![allow(unsafe_code, reason = "calls functions compiled for the instruction set that the processor has")]

use super::isa::kernel;

/// Where lines lie: `rows` of `width` floats, every `pitch` floats in one place and every `packed` floats in the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// Floats from line to line in the image.
    pub(crate) pitch: usize,
    /// Floats from line to line in the columns.
    pub(crate) packed: usize,
}

macro_rules! by_width {
    ($width:expr, $function:ident($($arg:expr),*)) => {
        match $width {
            1 => $function::<1>($($arg),*),
            2..4 => $function::<2>($($arg),*),
            4..8 => $function::<4>($($arg),*),
            8..16 => $function::<8>($($arg),*),
            16..32 => $function::<16>($($arg),*),
            32..64 => $function::<32>($($arg),*),
            _ => $function::<64>($($arg),*),
        }
    };
}

kernel! {
    /// Copies the lines of `image` to `columns`.
    pub(crate) fn copy(columns: &mut [f32], image: &[f32], lines: Lines) {
        if lines.width > 0 {
            by_width!(lines.width, copy_lines(columns, image, lines));
        }
    }
}

kernel! {
    /// Adds the lines of `columns` to `image`.
    pub(crate) fn add(image: &mut [f32], columns: &[f32], lines: Lines) {
        if lines.width > 0 {
            by_width!(lines.width, add_lines(image, columns, lines));
        }
    }
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn copy_lines<const N: usize>(columns: &mut [f32], image: &[f32], lines: Lines) {
    let width = lines.width;
    for row in 0..lines.rows {
        let out = &mut columns[row * lines.packed..][..width];
        let source = &image[row * lines.pitch..][..width];
        if width > 2 * N {
            out.copy_from_slice(source);
        } else if width == N {
            *block_mut::<N>(out, 0) = *block(source, 0);
        } else {
            let (first, last) = (*block::<N>(source, 0), *block::<N>(source, width - N));
            *block_mut(out, 0) = first;
            *block_mut(out, width - N) = last;
        }
    }
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn add_lines<const N: usize>(image: &mut [f32], columns: &[f32], lines: Lines) {
    let width = lines.width;
    for row in 0..lines.rows {
        let out = &mut image[row * lines.pitch..][..width];
        let source = &columns[row * lines.packed..][..width];
        if width > 2 * N {
            out.iter_mut().zip(source).for_each(|(out, source)| *out += *source);
        } else if width == N {
            *block_mut(out, 0) = sum(block::<N>(out, 0), block(source, 0));
        } else {
            // Both sums before the first store: where the blocks overlap, both hold the same sum.
            let first = sum(block::<N>(out, 0), block(source, 0));
            let last = sum(block::<N>(out, width - N), block(source, width - N));
            *block_mut(out, 0) = first;
            *block_mut(out, width - N) = last;
        }
    }
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn block<const N: usize>(values: &[f32], at: usize) -> &[f32; N] {
    values[at..].first_chunk().expect("a line has at least N floats")
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn block_mut<const N: usize>(values: &mut [f32], at: usize) -> &mut [f32; N] {
    values[at..].first_chunk_mut().expect("a line has at least N floats")
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn sum<const N: usize>(a: &[f32; N], b: &[f32; N]) -> [f32; N] {
    let mut out = *a;
    for i in 0..N {
        out[i] += b[i];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::isa::for_each_isa;
    use super::*;

    #[test]
    fn lines_of_every_width_are_copied_and_added() {
        for width in (0..40).chain([63, 64, 65, 127, 128, 129, 300]) {
            let lines = Lines { rows: 3, width, pitch: width + 5, packed: width + 2 };
            let image: Vec<f32> =
                (0..3 * (width + 5)).map(|i| f32::from(u16::try_from(i).unwrap())).collect();
            for_each_isa(|| {
                let mut columns = vec![-1.0; 3 * (width + 2)];
                copy(&mut columns, &image, lines);
                for (row, line) in columns.chunks(width + 2).enumerate() {
                    assert_eq!(line[..width], image[row * (width + 5)..][..width]);
                    assert_eq!(line[width..], [-1.0; 2]);
                }
                let mut doubled = image.clone();
                add(&mut doubled, &columns, lines);
                for (i, (doubled, value)) in doubled.iter().zip(&image).enumerate() {
                    let factor = if i % (width + 5) < width { 2.0 } else { 1.0 };
                    assert_eq!(*doubled, factor * value);
                }
            });
        }
    }
}
