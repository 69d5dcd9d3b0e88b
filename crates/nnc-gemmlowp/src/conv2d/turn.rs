//! Transposition: channels by pixels to pixels by channels.

/// Writes element (line, i) of `from` to (i, line) of `out`, changed by `change`; `lines` and `len` are the sides of `from`, the
/// strides elements from line to line.
///
/// Eight by eight, so that both the lines read and those written stay in the first cache.
pub(crate) fn turn<T: Copy, U>(
    (from, from_stride): (&[T], usize),
    (out, out_stride): (&mut [U], usize),
    (lines, len): (usize, usize),
    change: impl Fn(T) -> U,
) {
    const BLOCK: usize = 8;
    for first in (0..lines).step_by(BLOCK) {
        let n = (lines - first).min(BLOCK);
        for start in (0..len).step_by(BLOCK) {
            let width = (len - start).min(BLOCK);
            for line in first..first + n {
                let from = &from[line * from_stride + start..][..width];
                for (i, &value) in from.iter().enumerate() {
                    out[(start + i) * out_stride + line] = change(value);
                }
            }
        }
    }
}
