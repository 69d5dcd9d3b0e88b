//! Transposition: channels by pixels to pixels by channels.

/// Writes element (line, i) of `from` to (line, i) of `out`, changed by `change`. With each slice come its steps, the elements
/// from line to line and from i to i; `sizes` are the lines and their length.
///
/// Eight by eight, so that both what is read and what is written stay in the first cache.
pub(crate) fn turn<T: Copy, U>(
    (from, from_line, from_step): (&[T], usize, usize),
    (out, out_line, out_step): (&mut [U], usize, usize),
    (n_lines, len): (usize, usize),
    change: impl Fn(T) -> U,
) {
    const BLOCK: usize = 8;
    for first in (0..n_lines).step_by(BLOCK) {
        let lines = first..n_lines.min(first + BLOCK);
        for start in (0..len).step_by(BLOCK) {
            for line in lines.clone() {
                for i in start..len.min(start + BLOCK) {
                    out[line * out_line + i * out_step] = change(from[line * from_line + i * from_step]);
                }
            }
        }
    }
}
