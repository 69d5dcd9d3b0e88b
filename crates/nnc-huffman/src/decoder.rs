//! Bits → symbols by table lookup.
//!
//! The next `table_bits` ≤ 12 bits of the stream index a table that says which symbol they begin with and how long its
//! codeword is. Longer codewords (up to 16 bits, only in alphabets of more than 512 symbols or on request) leave a mark in
//! the table and are found by comparing with the first codeword of each length.
//!
//! Q: Why is this safe on hostile bytes? A: A complete code gives each bit pattern a symbol, so lookups cannot fail; the
//! caller's slice says how many there are; and a reader past its end yields zeros until the count of consumed bits,
//! checked in the slow tail only, exposes it.

use crate::bits::{BitReader, reversed};
use crate::encoder::stream_ranges;
use crate::symbol::Symbol;
use crate::varint::take_varint;
use crate::{Code, Error, MAX_LENGTH, Result};

mod long;

use long::LongWords;

/// Bits that index the table: 4,096 entries of 4 bytes leave half of a small L1 cache to the streams.
const MAX_TABLE_BITS: u32 = 12;

/// A [`Code`] laid out for decoding.
///
/// Takes at most 16 KiB, whatever the alphabet, plus 2 bytes a symbol where codewords exceed 12 bits.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// By the next bits: `symbol | length << 16`; length 0 marks the beginning of a longer codeword.
    table: Vec<u32>,
    long: Option<LongWords>,
    min_length: u32,
    width: u32,
    only_symbol: Option<u16>,
}

impl Decoder {
    /// Lays out `code`.
    pub fn new(code: &Code) -> Self {
        let table_bits = code.max_length().min(MAX_TABLE_BITS);
        let mut table = vec![0; 1 << table_bits];
        for word in code.codewords().take_while(|word| word.length <= table_bits) {
            let entry = u32::from(word.symbol) | word.length << 16;
            let first = usize::from(reversed(word.bits, word.length));
            table[first..].iter_mut().step_by(1 << word.length).for_each(|slot| *slot = entry);
        }
        Self {
            table,
            long: (code.max_length() > MAX_TABLE_BITS).then(|| LongWords::new(code, MAX_TABLE_BITS)),
            min_length: code.min_length(),
            width: code.width(),
            only_symbol: code.only_symbol(),
        }
    }

    /// Decodes a block of exactly `out.len()` symbols, as [`Encoder::encode`](crate::Encoder::encode) wrote it.
    ///
    /// # Errors
    /// [`Error::CountMismatch`] where `bytes` hold more or fewer symbols, [`Error::InvalidArgument`] where the code has
    /// symbols that `S` cannot hold. `out` is then partly written.
    pub fn decode_into<S: Symbol>(&self, bytes: &[u8], out: &mut [S]) -> Result<()> {
        let n = out.len();
        if !self.needs_bits::<S>(bytes, n, out)? {
            return Ok(());
        }
        let streams = streams(bytes, n)?;
        if let [a, b, c, d] = streams[..] {
            return self.decode_four([a, b, c, d], out);
        }
        let mut reader = BitReader::new(streams[0]);
        self.decode_run(&mut reader, out)?;
        check_end(&mut reader, bytes, n)
    }

    /// Decodes the symbols `start..start + out.len()` of a block of `n` symbols, reading past those before them.
    ///
    /// # Errors
    /// As [`decode_into`](Self::decode_into), as far as the part shows it.
    ///
    /// # Panics
    /// Where the part is not within the block.
    pub fn decode_part_into<S: Symbol>(
        &self,
        bytes: &[u8],
        n: usize,
        start: usize,
        out: &mut [S],
    ) -> Result<()> {
        let end = start.checked_add(out.len()).filter(|&end| end <= n).expect("a part within the block");
        if !self.needs_bits::<S>(bytes, n, out)? {
            return Ok(());
        }
        let mut rest = out;
        for (range, stream) in stream_ranges(n).into_iter().zip(streams(bytes, n)?) {
            let (from, to) = (start.clamp(range.start, range.end), end.clamp(range.start, range.end));
            if from == to {
                continue;
            }
            let (part, after) = rest.split_at_mut(to - from);
            rest = after;
            let mut reader = BitReader::new(stream);
            self.skip::<S>(&mut reader, from - range.start)?;
            self.decode_run(&mut reader, part)?;
            if to == range.end {
                check_end(&mut reader, stream, range.len())?;
            }
        }
        Ok(())
    }

    /// Settles what needs no bits: constant and empty blocks; says whether anything is left to do.
    fn needs_bits<S: Symbol>(&self, bytes: &[u8], n: usize, out: &mut [S]) -> Result<bool> {
        if self.width > S::BITS {
            return Err(Error::invalid("out", format!("symbols of {} bits", self.width), S::BITS));
        }
        let n_bits = 8 * bytes.len() as u64;
        // No n symbols in fewer than n codewords' bits: a claim of many costs nothing to refuse.
        let too_few = (n as u64).checked_mul(u64::from(self.min_length)).is_none_or(|needed| needed > n_bits);
        let holds_nothing = self.only_symbol.is_some() || n == 0;
        if too_few
            || (holds_nothing && n_bits > 0)
            || (self.min_length == 0 && self.only_symbol.is_none() && n > 0)
        {
            return Err(Error::CountMismatch { symbols: n as u64, bits: n_bits });
        }
        if let Some(symbol) = self.only_symbol {
            out.fill(S::truncate_from(symbol));
        }
        Ok(!holds_nothing)
    }

    fn decode_four<S: Symbol>(&self, streams: [&[u8]; 4], out: &mut [S]) -> Result<()> {
        let mut readers = streams.map(BitReader::new);
        let quarter = out.len().div_ceil(4);
        let mut parts = out.chunks_mut(quarter);
        let mut parts: [&mut [S]; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let n_done = if self.long.is_some() {
            self.decode_lockstep::<S, true, LONG_PER_REFILL>(&mut readers, &mut parts)
        } else {
            self.decode_lockstep::<S, false, SHORT_PER_REFILL>(&mut readers, &mut parts)
        };
        for ((reader, part), stream) in readers.iter_mut().zip(parts).zip(streams) {
            self.decode_run(reader, &mut part[n_done..])?;
            check_end(reader, stream, part.len())?;
        }
        Ok(())
    }

    /// Decodes as many symbols of four streams side by side as whole refills allow; how many of each.
    fn decode_lockstep<S: Symbol, const LONG: bool, const PER_REFILL: usize>(
        &self,
        readers: &mut [BitReader<'_>; 4],
        parts: &mut [&mut [S]; 4],
    ) -> usize {
        let [a, b, c, d] = parts.each_mut().map(|part| part.as_chunks_mut::<PER_REFILL>().0);
        let [mut ra, mut rb, mut rc, mut rd] = *readers;
        let mut n_done = 0;
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            if !(ra.refill_fast() && rb.refill_fast() && rc.refill_fast() && rd.refill_fast()) {
                break;
            }
            for i in 0..PER_REFILL {
                a[i] = self.next::<S, LONG>(&mut ra);
                b[i] = self.next::<S, LONG>(&mut rb);
                c[i] = self.next::<S, LONG>(&mut rc);
                d[i] = self.next::<S, LONG>(&mut rd);
            }
            n_done += PER_REFILL;
        }
        *readers = [ra, rb, rc, rd];
        n_done
    }

    /// Decodes the next `out.len()` symbols of one stream.
    fn decode_run<S: Symbol>(&self, reader: &mut BitReader<'_>, out: &mut [S]) -> Result<()> {
        if self.long.is_some() {
            self.decode_stream::<S, true, LONG_PER_REFILL>(reader, out)
        } else {
            self.decode_stream::<S, false, SHORT_PER_REFILL>(reader, out)
        }
    }

    fn decode_stream<S: Symbol, const LONG: bool, const PER_REFILL: usize>(
        &self,
        reader: &mut BitReader<'_>,
        out: &mut [S],
    ) -> Result<()> {
        let mut n_done = 0;
        for slots in out.as_chunks_mut::<PER_REFILL>().0 {
            if !reader.refill_fast() {
                break;
            }
            for slot in slots {
                *slot = self.next::<S, LONG>(reader);
            }
            n_done += PER_REFILL;
        }
        let n_left = out.len() - n_done;
        for slot in &mut out[n_done..] {
            reader.refill();
            let (symbol, length) = self.lookup::<LONG>(reader.peek());
            if length > reader.n_ready() {
                return Err(Error::CountMismatch { symbols: n_left as u64, bits: reader.n_left() });
            }
            reader.consume(length);
            *slot = S::truncate_from(symbol);
        }
        Ok(())
    }

    fn skip<S: Symbol>(&self, reader: &mut BitReader<'_>, n: usize) -> Result<()> {
        let mut sink = [S::default(); 512];
        for done in (0..n).step_by(sink.len()) {
            let n_now = sink.len().min(n - done);
            self.decode_run(reader, &mut sink[..n_now])?;
        }
        Ok(())
    }

    /// The next symbol where enough bits are ready.
    #[inline(always)]
    fn next<S: Symbol, const LONG: bool>(&self, reader: &mut BitReader<'_>) -> S {
        let (symbol, length) = self.lookup::<LONG>(reader.peek());
        reader.consume(length);
        S::truncate_from(symbol)
    }

    /// The symbol that `bits` begin with and the length of its codeword.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    fn lookup<const LONG: bool>(&self, bits: u64) -> (u16, u32) {
        let entry = self.table[bits as usize & (self.table.len() - 1)];
        if LONG && entry >> 16 == 0 {
            return self.long.as_ref().expect("LONG says so").lookup(bits as u16);
        }
        (entry as u16, entry >> 16)
    }
}

/// Codewords of at most 12, and of at most 16, bits that the 56 bits of a refill are enough for.
const SHORT_PER_REFILL: usize = (56 / MAX_TABLE_BITS) as usize;
const LONG_PER_REFILL: usize = (56 / MAX_LENGTH) as usize;

/// The streams of a block of `n` symbols.
fn streams(bytes: &[u8], n: usize) -> Result<Vec<&[u8]>> {
    let n_streams = stream_ranges(n).len();
    let mut rest = bytes;
    let lengths: Vec<u64> =
        (1..n_streams).map(|_| take_varint(&mut rest, "stream lengths")).collect::<Result<_>>()?;
    let mut streams = Vec::with_capacity(n_streams);
    for length in lengths {
        let stream = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (stream, after) = stream.ok_or(Error::UnexpectedEnd { what: "block" })?;
        streams.push(stream);
        rest = after;
    }
    streams.push(rest);
    Ok(streams)
}

fn check_end(reader: &mut BitReader<'_>, stream: &[u8], n: usize) -> Result<()> {
    if reader.is_at_end() {
        return Ok(());
    }
    Err(Error::CountMismatch { symbols: n as u64, bits: 8 * stream.len() as u64 })
}

impl Code {
    /// Decodes a block of exactly `out.len()` symbols; to decode several blocks, keep a [`Decoder`].
    ///
    /// # Errors
    /// As [`Decoder::decode_into`].
    pub fn decode_into<S: Symbol>(&self, bytes: &[u8], out: &mut [S]) -> Result<()> {
        Decoder::new(self).decode_into(bytes, out)
    }
}

#[cfg(test)]
mod tests;
