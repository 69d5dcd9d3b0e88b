//! One pass over a stream of symbols, a block at a time.

use super::{MAX_WIDTH, Symbols};
use crate::{Error, Result};

/// Symbols decoded at once: enough that a coded stream's cost per call does not show, 128 KiB of memory.
const BLOCK: usize = 1 << 16;

/// Reads a stream once from its start, block by block, so that it is never held decoded as a whole.
#[derive(Debug)]
pub(crate) struct SymbolReader<'a> {
    stream: &'a dyn Symbols,
    /// The decoded block and how much of it was handed out.
    block: Vec<u16>,
    n_taken: usize,
    /// Where the next block starts.
    next: usize,
}

impl<'a> SymbolReader<'a> {
    pub(crate) fn new(stream: &'a dyn Symbols) -> Self {
        Self { stream, block: Vec::new(), n_taken: 0, next: 0 }
    }

    /// The next symbol, or `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<u16>> {
        if self.n_taken == self.block.len() {
            let end = self.stream.len().min(self.next.saturating_add(BLOCK));
            if self.next == end {
                return Ok(None);
            }
            self.block.resize(end - self.next, 0);
            // Nothing is left to hand out until the block has been decoded.
            self.n_taken = self.block.len();
            self.stream.decode_into(self.next..end, &mut self.block)?;
            self.next = end;
            self.n_taken = 0;
        }
        self.n_taken += 1;
        Ok(Some(self.block[self.n_taken - 1]))
    }
}

/// Looks at every symbol once, checks it against `limit` (each must be `< limit`), and returns the stream's order-0
/// entropy in bits.
pub(crate) fn scan(stream: &dyn Symbols, what: &str, limit: u32, mut see: impl FnMut(u16)) -> Result<f64> {
    if stream.width() > MAX_WIDTH {
        return Err(Error::invalid(what, format!("symbols of at most {MAX_WIDTH} bits"), stream.width()));
    }
    let mut counts: Vec<u64> = Vec::new();
    let mut reader = SymbolReader::new(stream);
    while let Some(symbol) = reader.next()? {
        let i = usize::from(symbol);
        if i >= limit as usize {
            return Err(Error::corrupt(what, format!("symbol {symbol} where all are less than {limit}")));
        }
        if i >= counts.len() {
            counts.resize(i + 1, 0);
        }
        counts[i] += 1;
        see(symbol);
    }
    Ok(entropy_bits(&counts))
}

/// Σ cᵢ · log₂(N / cᵢ) over the counts cᵢ with sum N: the bits that an ideal order-0 coder needs.
pub(crate) fn entropy_bits(counts: &[u64]) -> f64 {
    let total = counts.iter().sum::<u64>() as f64;
    counts.iter().filter(|&&count| count > 0).map(|&count| count as f64 * (total / count as f64).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::PackedSymbols;

    #[test]
    fn entropy_is_that_of_shannon() {
        assert_eq!(entropy_bits(&[]), 0.0);
        assert_eq!(entropy_bits(&[9]), 0.0);
        assert_eq!(entropy_bits(&[4, 4]), 8.0);
        // Half, quarter, eighth, eighth of 16: 8·1 + 4·2 + 2·3 + 2·3 bits.
        assert_eq!(entropy_bits(&[8, 4, 0, 2, 2]), 28.0);
    }

    #[test]
    fn a_stream_longer_than_a_block_is_read_whole() {
        let symbols: Vec<u16> = (0..BLOCK + 3).map(|i| u16::try_from(i % 7).unwrap()).collect();
        let packed = PackedSymbols::from_symbols(3, &symbols).unwrap();
        let mut seen = Vec::new();
        scan(&packed, "symbols", 7, |symbol| seen.push(symbol)).unwrap();
        assert_eq!(seen, symbols);
        assert!(matches!(scan(&packed, "symbols", 6, |_| ()), Err(Error::Corrupt { .. })));
    }
}
