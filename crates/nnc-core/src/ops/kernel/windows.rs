//! Lines of image windows, read into columns and added back.
//!
//! Feature maps have lines of 4 to 64 floats. A line of N to 2N floats is moved as two overlapping blocks of N, so that
//! every width takes two loads and two stores, and no loop.
#![allow(unsafe_code, reason = "calls functions compiled for the instruction set that the processor has")]

use super::isa::kernel;

/// The windows of one image that a tile of columns holds, all taps of them; strides and steps in floats.
///
/// Tap (c, i, j) reads `rows` lines of `width` floats, the first at `c · plane + i · down + j · right`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps {
    pub(crate) channels: usize,
    pub(crate) kernel: (usize, usize),
    /// From channel to channel.
    pub(crate) plane: usize,
    /// From tap to tap along a window's column.
    pub(crate) down: usize,
    /// From tap to tap along a window's row.
    pub(crate) right: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// From line to line.
    pub(crate) pitch: usize,
    /// From float to float of a line.
    pub(crate) step: usize,
    /// From tap to tap in the columns, where a tap's lines follow each other without gaps.
    pub(crate) tap_pitch: usize,
}

/// Runs a block for each line, with its first float's places in the image and in the columns.
///
/// Not a function that takes a closure: a closure that stays a call is not compiled for the instruction set.
macro_rules! each_line {
    ($taps:expr, |$image:ident, $columns:ident| $block:expr) => {
        let taps: &Taps = $taps;
        let mut tap = 0;
        for channel in 0..taps.channels {
            for row in 0..taps.kernel.0 {
                for col in 0..taps.kernel.1 {
                    let mut $image = channel * taps.plane + row * taps.down + col * taps.right;
                    let mut $columns = tap * taps.tap_pitch;
                    for _ in 0..taps.rows {
                        $block;
                        $image += taps.pitch;
                        $columns += taps.width;
                    }
                    tap += 1;
                }
            }
        }
    };
}

macro_rules! by_width {
    ($taps:expr, $function:ident($($arg:expr),*), $other:ident) => {
        match $taps.width {
            _ if $taps.step != 1 => $other($($arg),*),
            0 => (),
            1 => $function::<1>($($arg),*),
            2..4 => $function::<2>($($arg),*),
            4..8 => $function::<4>($($arg),*),
            8..16 => $function::<8>($($arg),*),
            16..32 => $function::<16>($($arg),*),
            32..64 => $function::<32>($($arg),*),
            _ => $other($($arg),*),
        }
    };
}

kernel! {
    /// Copies the windows of `image` to `columns`.
    pub(crate) fn copy(columns: &mut [f32], image: &[f32], taps: &Taps) {
        by_width!(taps, copy_lines(columns, image, taps), copy_any);
    }
}

kernel! {
    /// Adds `columns` to the windows of `image`: the adjoint of [`copy`].
    pub(crate) fn add(image: &mut [f32], columns: &[f32], taps: &Taps) {
        by_width!(taps, add_lines(image, columns, taps), add_any);
    }
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn copy_any(columns: &mut [f32], image: &[f32], taps: &Taps) {
    each_line!(taps, |from, to| {
        let out = &mut columns[to..to + taps.width];
        if taps.step == 1 {
            out.copy_from_slice(&image[from..from + taps.width]);
        } else {
            let source = image[from..].iter().step_by(taps.step);
            out.iter_mut().zip(source).for_each(|(out, source)| *out = *source);
        }
    });
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn add_any(image: &mut [f32], columns: &[f32], taps: &Taps) {
    each_line!(taps, |to, from| {
        let source = &columns[from..from + taps.width];
        if taps.step == 1 {
            let out = &mut image[to..to + taps.width];
            out.iter_mut().zip(source).for_each(|(out, source)| *out += *source);
        } else {
            let out = image[to..].iter_mut().step_by(taps.step);
            out.zip(source).for_each(|(out, source)| *out += *source);
        }
    });
}

/// Lines of `N` to `2N − 1` floats.
#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn copy_lines<const N: usize>(columns: &mut [f32], image: &[f32], taps: &Taps) {
    let width = taps.width;
    if width == N {
        each_line!(taps, |from, to| *block_mut::<N>(columns, to) = *block(image, from));
        return;
    }
    let second = width - N;
    each_line!(taps, |from, to| {
        let (first, last) = (*block::<N>(image, from), *block::<N>(image, from + second));
        *block_mut(columns, to) = first;
        *block_mut(columns, to + second) = last;
    });
}

/// Lines of `N` to `2N − 1` floats.
#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn add_lines<const N: usize>(image: &mut [f32], columns: &[f32], taps: &Taps) {
    let width = taps.width;
    if width == N {
        each_line!(taps, |to, from| {
            *block_mut(image, to) = sum(block::<N>(image, to), block(columns, from));
        });
        return;
    }
    let second = width - N;
    each_line!(taps, |to, from| {
        // Both sums before the first store: where the blocks overlap, both hold the same sum.
        let first = sum(block::<N>(image, to), block(columns, from));
        let last = sum(block::<N>(image, to + second), block(columns, from + second));
        *block_mut(image, to) = first;
        *block_mut(image, to + second) = last;
    });
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn block<const N: usize>(values: &[f32], at: usize) -> &[f32; N] {
    values[at..at + N].first_chunk().expect("N floats")
}

#[allow(clippy::inline_always, reason = "part of the kernels' loops")]
#[inline(always)]
fn block_mut<const N: usize>(values: &mut [f32], at: usize) -> &mut [f32; N] {
    values[at..at + N].first_chunk_mut().expect("N floats")
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
    fn windows_of_every_width_are_copied_and_added() {
        for (width, step) in (0..70).map(|width| (width, 1)).chain([(130, 1), (1, 2), (9, 2), (20, 3)]) {
            let (rows, line) = (3, width * step + 4);
            let taps = Taps {
                channels: 2,
                kernel: (2, 3),
                plane: 5 * line,
                down: line,
                right: 1,
                rows,
                width,
                pitch: line,
                step,
                tap_pitch: rows * width + 1,
            };
            let image: Vec<f32> =
                (0..2 * 5 * line).map(|i| f32::from(u16::try_from(i % 1000).unwrap())).collect();
            for_each_isa(|| {
                let mut columns = vec![-1.0; 12 * taps.tap_pitch];
                copy(&mut columns, &image, &taps);
                let (mut sums, mut expected) = (image.clone(), image.clone());
                add(&mut sums, &columns, &taps);
                for (tap, columns) in columns.chunks(taps.tap_pitch).enumerate() {
                    let (channel, down, right) = (tap / 6, tap / 3 % 2, tap % 3);
                    assert_eq!(columns[rows * width], -1.0, "a float past the lines");
                    for (row, col) in (0..rows).flat_map(|row| (0..width).map(move |col| (row, col))) {
                        let at = channel * 5 * line + (row + down) * line + col * step + right;
                        assert_eq!(columns[row * width + col], image[at]);
                        expected[at] += image[at];
                    }
                }
                assert_eq!(sums, expected);
            });
        }
    }
}
